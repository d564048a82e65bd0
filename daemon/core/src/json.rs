//! JSON objects written field by field. A trace line has some sixty fields for every request; written by a general
//! serializer they were a tenth of all that kmid did for a small one (measured 2026-11).

use serde::Serialize;

/// An object that is being written. Names are identifiers, which stand in JSON as they are.
#[derive(Debug)]
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    /// Opens an object.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Closes it.
    pub fn end(self) {
        self.out.push(b'}');
    }

    /// A field whose value is written to what this returns. Inlined: the names are known where they are written, and
    /// copying one is then a move or two.
    #[inline(always)]
    pub fn name(&mut self, name: &'static str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.empty) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A string, or null.
    #[inline(always)]
    pub fn text<'t>(&mut self, name: &'static str, value: impl Into<Option<&'t str>>) {
        let out = self.name(name);
        match value.into() {
            Some(value) => text(out, value),
            None => null(out),
        }
    }

    /// A word of our own, which stands in JSON as it is, or null.
    #[inline(always)]
    pub fn word(&mut self, name: &'static str, value: impl Into<Option<&'static str>>) {
        let out = self.name(name);
        match value.into() {
            Some(value) => quoted(out, value),
            None => null(out),
        }
    }

    /// A whole number, or null.
    #[inline(always)]
    pub fn number(&mut self, name: &'static str, value: impl Into<Option<u64>>) {
        let out = self.name(name);
        match value.into() {
            Some(value) => number(out, value),
            None => null(out),
        }
    }

    /// True or false.
    #[inline(always)]
    pub fn flag(&mut self, name: &'static str, value: bool) {
        self.name(name).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Anything else, by its own form.
    pub fn value(&mut self, name: &'static str, value: &impl Serialize) {
        let out = self.name(name);
        let start = out.len();
        if serde_json::to_writer(&mut *out, value).is_err() {
            // Half a value would spoil the line.
            out.truncate(start);
            null(out);
        }
    }

    /// Objects in brackets, each written by `write`.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        let out = self.name(name);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let mut object = Object::begin(out);
            write(&mut object, item);
            object.end();
        }
        out.push(b']');
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

fn quoted(out: &mut Vec<u8>, plain: &str) {
    out.push(b'"');
    out.extend_from_slice(plain.as_bytes());
    out.push(b'"');
}

fn text(out: &mut Vec<u8>, value: &str) {
    // Without a way out in the middle sixteen bytes are looked at in one step.
    let plain = |all, byte| all & (byte >= 0x20) & (byte != b'"') & (byte != b'\\');
    if value.bytes().fold(true, plain) {
        quoted(out, value);
    } else if serde_json::to_writer(&mut *out, value).is_err() {
        null(out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn reads_back_as_what_was_written(
            texts in proptest::collection::vec(any::<String>(), 0..4), number in any::<u64>(), flag in any::<bool>(),
        ) {
            let mut out = Vec::new();
            let mut object = Object::begin(&mut out);
            object.text("first", texts.first().map(String::as_str));
            object.number("number", number);
            object.number("none", None);
            object.flag("flag", flag);
            object.value("value", &(1.5, "a\nb"));
            object.list("list", &texts, |object, text| object.text("text", text.as_str()));
            object.end();
            let list: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
            let expected = json!({
                "first": texts.first(), "number": number, "none": null, "flag": flag, "value": [1.5, "a\nb"],
                "list": list,
            });
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }

    #[test]
    fn an_empty_object() {
        let mut out = Vec::new();
        Object::begin(&mut out).end();
        assert_eq!(out, b"{}");
    }
}
