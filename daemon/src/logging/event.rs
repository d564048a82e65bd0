//! One event as a line: JSON for programs, words for people. A line is bounded, and stays one line whatever is in it.

use std::error::Error;
use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// Most bytes of a line.
const MAX_LINE: usize = 16 << 10;
/// Most bytes of one value in it, as written.
const MAX_VALUE: usize = 4 << 10;
/// Most bytes of all fields: the rest is for the time, the level, the message and the end.
const MAX_FIELDS: usize = MAX_LINE - MAX_VALUE - 512;
/// The least room in which a value is worth beginning.
const LEAST: usize = 64;
/// What stands where something was left out.
const CUT: &str = "...";

/// An event, its fields written in both forms while they are visited.
pub(super) struct Entry {
    level: Level,
    /// The module, for events of dependencies.
    target: Option<&'static str>,
    message: String,
    json_fields: String,
    human_fields: String,
    /// There was no room for all fields.
    cut: bool,
}

impl Entry {
    pub(super) fn new(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut entry = Self {
            level: *metadata.level(),
            target: Some(metadata.target()).filter(|target| !target.starts_with("kmi")),
            message: String::new(),
            json_fields: String::with_capacity(384),
            human_fields: String::with_capacity(384),
            cut: false,
        };
        event.record(&mut entry);
        entry
    }

    /// `{"ts":...,"level":...,"message":...,` and the fields.
    pub(super) fn json(&self, ts: &str) -> String {
        let mut out = String::with_capacity(128 + self.message.len() + self.json_fields.len());
        push_all(&mut out, &[r#"{"ts":""#, ts, r#"","level":""#, self.level.as_str(), r#"","message":""#]);
        escape(&mut out, &self.message, MAX_VALUE);
        out.push('"');
        if let Some(target) = self.target {
            push_all(&mut out, &[r#","target":""#, target, "\""]);
        }
        out.push_str(&self.json_fields);
        out.push_str(if self.cut { r#","cut":true}"# } else { "}" });
        out
    }

    /// `2026-11-23 12:00:00.123 +0300 INFO proxy_request key=alpha ...`
    pub(super) fn human(&self, ts: &str) -> String {
        let mut out = String::with_capacity(128 + self.message.len() + self.human_fields.len());
        push_all(&mut out, &[ts, " ", self.level.as_str(), " "]);
        if let Some(target) = self.target {
            push_all(&mut out, &[target, ": "]);
        }
        escape_controls(&mut out, &self.message, MAX_VALUE);
        out.push_str(&self.human_fields);
        if self.cut {
            out.push_str(" ...");
        }
        out
    }

    /// Writes a field's name in both forms and returns the room for its value.
    fn begin(&mut self, name: &str) -> Option<usize> {
        let used = self.json_fields.len().max(self.human_fields.len()) + name.len() + LEAST;
        let room = MAX_FIELDS.checked_sub(used).filter(|left| *left > LEAST && !self.cut);
        if room.is_none() {
            self.cut = true;
            return None;
        }
        // These stand at the front already, and a JSON object has each name once.
        let twin = if matches!(name, "ts" | "level" | "target" | "cut") { "_" } else { "" };
        push_all(&mut self.json_fields, &[",\"", twin, name, "\":"]);
        push_all(&mut self.human_fields, &[" ", name, "="]);
        room.map(|left| left.min(MAX_VALUE))
    }

    fn text(&mut self, name: &str, text: &str) {
        if name == "message" {
            self.message = bounded(format_args!("{text}"));
            return;
        }
        let Some(room) = self.begin(name) else { return };
        if is_simple(text) && text.len() <= room {
            push_all(&mut self.json_fields, &["\"", text, "\""]);
            self.human_fields.push_str(text);
            return;
        }
        self.json_fields.push('"');
        escape(&mut self.json_fields, text, room);
        self.json_fields.push('"');
        if is_a_word(text) {
            escape_controls(&mut self.human_fields, text, room);
        } else {
            self.human_fields.push('"');
            escape(&mut self.human_fields, text, room);
            self.human_fields.push('"');
        }
    }

    /// A number or a boolean, which reads the same in JSON and for people.
    fn bare(&mut self, name: &str, value: &str) {
        if name == "message" {
            self.message = value.to_owned();
        } else if self.begin(name).is_some() {
            self.json_fields.push_str(value);
            self.human_fields.push_str(value);
        }
    }
}

fn push_all(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

/// Reads the same in JSON and for people; most values do.
fn is_simple(text: &str) -> bool {
    let simple = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'/' | b'-' | b':');
    !text.is_empty() && text.bytes().all(simple)
}

fn is_a_word(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '=' | '\\'))
}

/// As inside a JSON string.
fn escape(out: &mut String, text: &str, most: usize) {
    escape_as(out, text, most, |c| matches!(c, '"' | '\\'));
}

/// Only what would break the line or steer a terminal.
fn escape_controls(out: &mut String, text: &str, most: usize) {
    escape_as(out, text, most, |_| false);
}

fn escape_as(out: &mut String, text: &str, most: usize, quoted: impl Fn(char) -> bool) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && !quoted(char::from(byte));
    if text.len() <= most && text.bytes().all(plain) {
        out.push_str(text);
        return;
    }
    let end = out.len() + most;
    for c in text.chars() {
        // The longest escape has six bytes.
        if out.len() + 6 + CUT.len() > end {
            out.push_str(CUT);
            return;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if quoted(c) => out.extend(['\\', c]),
            // Also U+0080 to U+009F, which some terminals obey, and Unicode's own line ends.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

impl Visit for Entry {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field.name(), itoa::Buffer::new().format(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field.name(), itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field.name(), if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field.name(), &value.to_string());
        } else {
            // JSON has no such number.
            self.text(field.name(), &value.to_string());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = bounded(format_args!("{value}"));
        let mut source = value.source();
        while let Some(error) = source.filter(|_| text.len() < MAX_VALUE) {
            text = bounded(format_args!("{text}: {error}"));
            source = error.source();
        }
        self.text(field.name(), &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = bounded(format_args!("{value:?}"));
        if field.name() == "message" {
            self.message = text;
        } else {
            self.text(field.name(), &text);
        }
    }
}

/// Formats no more than can be written, however much there is.
fn bounded(arguments: fmt::Arguments<'_>) -> String {
    struct Bounded(String);

    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let left = MAX_VALUE.saturating_sub(self.0.len());
            let part = &text[..text.floor_char_boundary(left)];
            self.0.push_str(part);
            if part.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }

    let mut out = Bounded(String::new());
    if out.write_fmt(arguments).is_err() {
        out.0.push_str(CUT);
    }
    out.0
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
