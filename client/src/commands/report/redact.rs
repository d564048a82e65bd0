//! Takes out of texts what nobody else should read.

use std::path::Path;

use serde_json::{Map, Value};

/// What stands in place of a secret.
const GONE: &str = "[redacted]";
/// What stands in place of a person's name.
const SOMEBODY: &str = "[user]";
/// In the finished text only what is no common word is looked for once more.
const LONG: usize = 8;
/// What follows these, a colon or an equals sign is secret.
const FIELDS: [&str; 8] = [
    "x-api-key",
    "x-kmi-proxy-token",
    "proxy_token",
    "authorization",
    "api_key",
    "api-key",
    "apikey",
    "password",
];
/// User names that are those of services and programs.
const NOBODY: [&str; 4] = ["root", "kmi", "kmid", "kimi"];

/// What to take out.
#[derive(Debug)]
pub(super) struct Redactor {
    /// Known secrets, the longest first: one may be part of another.
    secrets: Vec<String>,
    /// The home, as it is named and as it really is.
    homes: Vec<String>,
    user: Option<String>,
}

impl Redactor {
    /// For these secrets and the person with this home.
    pub(super) fn new(mut secrets: Vec<String>, home: Option<&Path>) -> Self {
        secrets.retain(|secret| !secret.is_empty());
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let real = home.and_then(|home| home.canonicalize().ok());
        let homes = home.into_iter().chain(real.as_deref()).filter(|home| home.parent().is_some());
        let user = home.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Self {
            secrets,
            homes: homes.map(|home| home.display().to_string()).collect(),
            user: user.filter(|name| name.chars().count() > 2 && !NOBODY.contains(&name.as_str())),
        }
    }

    /// A text without secrets, e-mails and names.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret, GONE);
        }
        for home in &self.homes {
            text = text.replace(home, "~");
        }
        for folder in ["/home/", "/Users/", "\\Users\\"] {
            text = after(
                &text,
                folder,
                |c| !matches!(c, '/' | '\\' | '"' | '\'' | ':') && !c.is_whitespace(),
                SOMEBODY,
            );
        }
        text = keys(&text);
        text = after(&text, "bearer ", |c| !c.is_whitespace() && !matches!(c, '"' | '\'' | ','), GONE);
        for field in FIELDS {
            for sign in [":", ": ", "=", " = ", "=\"", " = \"", "\":\"", "\": \""] {
                let value = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | ',');
                text = after(&text, &format!("{field}{sign}"), value, GONE);
            }
        }
        // An address with the name in it goes as a whole.
        text = emails(&text);
        match &self.user {
            Some(user) => word(&text, user),
            None => text,
        }
    }

    /// The same for every text in a value, names of fields included.
    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => {
                let redacted = fields.into_iter().map(|(name, value)| (self.text(&name), self.value(value)));
                Value::Object(redacted.collect())
            }
            other => other,
        }
    }
}

/// The document as text, redacted value by value; then, as the last line of defence, once more as a whole.
pub(super) fn document(document: &Value, redactor: &Redactor) -> String {
    let redacted = redactor.value(document.clone());
    let mut text = format!("{redacted:#}\n");
    for secret in redactor.secrets.iter().filter(|secret| secret.len() >= LONG) {
        text = text.replace(secret, GONE);
    }
    emails(&keys(&text))
}

/// A log or trace entry without its prompts.
pub(super) fn without_prompts(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !name.starts_with("prompt_"));
            Value::Object(kept.map(|(name, value)| (name, without_prompts(value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_prompts).collect(),
        other => other,
    }
}

/// Replaces what follows `mark`, in any letter case, as long as `belongs` says so.
fn after(text: &str, mark: &str, belongs: impl Fn(char) -> bool, with: &str) -> String {
    // Only ASCII changes its case, so that places stay the same.
    let (lower, mark) = (text.to_ascii_lowercase(), mark.to_ascii_lowercase());
    let mut made = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = lower[at..].find(&mark) {
        let start = at + found + mark.len();
        let length = text[start..].find(|c| !belongs(c)).unwrap_or(text.len() - start);
        made.push_str(&text[at..start]);
        if length > 0 {
            made.push_str(with);
        }
        at = start + length;
    }
    made.push_str(&text[at..]);
    made
}

/// Replaces what looks like an API key: `sk-` and what hangs on it.
fn keys(text: &str) -> String {
    const MARK: &str = "sk-";
    const SHORTEST: usize = 8;
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = rest.find(MARK) {
        let before = rest[..found].chars().next_back();
        let tail = &rest[found + MARK.len()..];
        let length =
            tail.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-')).unwrap_or(tail.len());
        made.push_str(&rest[..found]);
        // "disk-bound-work" is no key.
        let is_key = tail.starts_with("kimi-") || !before.is_some_and(char::is_alphanumeric);
        made.push_str(if is_key && length >= SHORTEST {
            GONE
        } else {
            &rest[found..found + MARK.len() + length]
        });
        rest = &tail[length..];
    }
    made.push_str(rest);
    made
}

/// Replaces e-mail addresses, and what stands before the host in a URL.
fn emails(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || "\"'`/<>()[]{},;=".contains(c);
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let left = rest[..at]
            .rfind(ends)
            .map_or(0, |place| place + rest[place..].chars().next().map_or(1, char::len_utf8));
        let tail = &rest[at + 1..];
        let right =
            tail.find(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | '-')).unwrap_or(tail.len());
        if left < at && right > 0 {
            made.push_str(&rest[..left]);
            made.push_str(GONE);
        } else {
            made.push_str(&rest[..=at]);
            made.push_str(&tail[..right]);
        }
        rest = &tail[right..];
    }
    made.push_str(rest);
    made
}

/// Replaces a person's name where it stands as a word of its own.
fn word(text: &str, name: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let end = at + name.len();
        let alone = !rest[..at].chars().next_back().is_some_and(char::is_alphanumeric)
            && !rest[end..].chars().next().is_some_and(char::is_alphanumeric);
        made.push_str(&rest[..at]);
        made.push_str(if alone { SOMEBODY } else { name });
        rest = &rest[end..];
    }
    made.push_str(rest);
    made
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(
            vec!["part".into(), "part-of-more".into(), "p@ss \"w".into()],
            Some(Path::new("/home/anna")),
        )
    }

    #[test]
    fn what_looks_like_a_secret_goes_and_the_rest_stays() {
        for (text, expected) in [
            ("the key sk-kimi-abc_DEF-0123, again", "the key [redacted], again"),
            ("xsk-kimi-abcdef", "x[redacted]"),
            (
                "a disk-bound-work-load, risk-averse-person, sk-short",
                "a disk-bound-work-load, risk-averse-person, sk-short",
            ),
            ("Authorization: Bearer abc.def", "Authorization: [redacted] [redacted]"),
            ("sent bearer tok~en\" on", "sent bearer [redacted]\" on"),
            ("x-api-key: v1, X-API-KEY=v2", "x-api-key: [redacted], X-API-KEY=[redacted]"),
            (
                "{\"api_key\":\"v1\", \"password\": \"v2\"}",
                "{\"api_key\":\"[redacted]\", \"password\": \"[redacted]\"}",
            ),
            ("mail anna.b+c@example.org or <почта@пример.рф>", "mail [redacted] or <[redacted]>"),
            ("http://user:pa$s@proxy:3128/x", "http://[redacted]:3128/x"),
            ("npm i @moonshot-ai/kimi-code @ 5", "npm i @moonshot-ai/kimi-code @ 5"),
            ("part-of-more and part", "[redacted] and [redacted]"),
            ("/home/anna/.kmi/x and /home/bert/y", "~/.kmi/x and /home/[user]/y"),
            ("actor=anna hanna annas", "actor=[user] hanna annas"),
            ("key=alpha status=200", "key=alpha status=200"),
            ("", ""),
        ] {
            assert_eq!(redactor().text(text), expected, "{text}");
        }
    }

    #[test]
    fn the_whole_document_stays_json() {
        let value = json!({"a": ["p@ss \"w", {"sk-kimi-0123456789": 1}], "path": "C:\\Users\\bert\\x", "n": 1.5,
            "prompt_head": "write", "deeper": {"prompt_hint": "x", "kept": "y"}});
        let text = document(&without_prompts(value), &redactor());
        let read: Value = serde_json::from_str(&text).expect("JSON");
        let expected = json!({"a": ["[redacted]", {"[redacted]": 1}], "path": "C:\\Users\\[user]\\x", "n": 1.5,
            "deeper": {"kept": "y"}});
        assert_eq!(read, expected);
    }

    #[test]
    fn no_text_makes_it_panic() {
        for text in
            ["@", "é@é", "sk-", "ſk-kimi-ſſſ", "Bearer ", "BEARER é", "/home/", "\u{130}bearer x", "@@@a@"]
        {
            let _ = redactor().text(text);
        }
    }
}
