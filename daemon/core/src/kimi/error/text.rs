//! The structured fields of an error answer, on either wire.

use serde_json::{Map, Value};

/// Longer bodies are not error answers; reading one would only cost memory.
const MAX_BODY: usize = 256 * 1024;
/// Characters of a message that are kept. The stable parts of the table stand within the first hundred.
const MAX_MESSAGE: usize = 2048;
/// Characters of a type or a code that are kept.
const MAX_WORD: usize = 128;

/// The structured fields of an error answer. Only these are searched, never the whole body: a user's prompt
/// echoed in a 400 must not block a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorText {
    /// `error.message`
    pub message: String,
    /// `error.type`
    pub kind: Option<String>,
    /// `error.code`
    pub code: Option<String>,
}

/// Reads the structured error fields out of a body of either wire.
///
/// Understood: `{"error":{"message","type","code"}}`, the same inside `{"type":"error"}`, `{"error":"text"}`,
/// `{"error":"type","error_description":"text"}` and `{"message","type","code"}` at the top.
#[must_use]
pub fn parse(body: &[u8]) -> Option<ErrorText> {
    let top = object(body)?;
    match top.get("error") {
        Some(Value::Object(error)) => Some(from_object(error)),
        Some(Value::String(error)) => {
            let described = text_of(&top, &["error_description", "message"], MAX_MESSAGE);
            Some(match described {
                Some(message) => {
                    ErrorText { message, kind: Some(cut(error, MAX_WORD)), code: word(top.get("code")) }
                }
                None => ErrorText {
                    message: cut(error, MAX_MESSAGE),
                    kind: word(top.get("type")),
                    code: word(top.get("code")),
                },
            })
        }
        _ => {
            let found = from_object(&top);
            (found != ErrorText::default()).then_some(found)
        }
    }
}

/// Reads an error object out of the data of a server-sent event; `None` when the event is no error.
///
/// An event of a healthy stream may carry `"error":null` and fields called `message`, `type` and `code` of its own,
/// so only an `error` member counts, or `"type":"error"`.
#[must_use]
pub(crate) fn error_event(data: &[u8]) -> Option<ErrorText> {
    let data = data.strip_prefix(b"data:").unwrap_or(data);
    let top = object(data)?;
    match top.get("error") {
        Some(Value::Object(_) | Value::String(_)) => parse(data),
        _ if top.get("type").and_then(Value::as_str) == Some("error") => Some(from_object(&top)),
        _ => None,
    }
}

/// A line about an error that no row knows, fit for the log.
///
/// Type and code are the API's own words and are kept when they look like words. The message is kept for statuses
/// that speak about keys, accounts and the upstream (401, 402, 403, 429, 5xx), where the API has no reason to
/// repeat the request; there too quoted parts and words that look like identifiers or secrets are replaced by
/// `…`, and it ends after 120 characters. For every other status, and inside a 200 stream, the message may repeat
/// what the user wrote and is left out.
#[must_use]
pub fn log_text(status: u16, text: &ErrorText) -> String {
    let mut line = format!("status={status}");
    for (name, value) in [("type", &text.kind), ("code", &text.code)] {
        if let Some(value) = value.as_deref().filter(|value| is_plain_word(value)) {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    if matches!(status, 401 | 402 | 403 | 429 | 500..=599) {
        let message = redacted(&text.message);
        if !message.is_empty() {
            line.push_str(&format!(" message={message:?}"));
        }
    }
    line
}

/// How many characters of a message reach the log.
const LOGGED: usize = 120;

fn redacted(message: &str) -> String {
    let mut kept = String::new();
    let mut length = 0;
    for word in without_quoted(message).split_whitespace() {
        let word = if is_harmless(word) { word } else { "…" };
        let more = word.chars().count() + usize::from(length > 0);
        if length + more > LOGGED {
            break;
        }
        if length > 0 {
            kept.push(' ');
        }
        kept.push_str(word);
        length += more;
    }
    kept
}

/// Replaces everything between quotes; an opening quote that never closes swallows the rest.
fn without_quoted(message: &str) -> String {
    let mut kept = String::new();
    let mut closing = None;
    let mut before = ' ';
    for c in message.chars() {
        match closing {
            Some(end) if c == end => closing = None,
            Some(_) => {}
            None => {
                closing = match c {
                    '"' | '`' => Some(c),
                    // an apostrophe inside a word is no quote
                    '\'' if !before.is_alphanumeric() => Some(c),
                    '\u{201c}' => Some('\u{201d}'),
                    '\u{2018}' => Some('\u{2019}'),
                    '\u{ab}' => Some('\u{bb}'),
                    '<' => Some('>'),
                    '{' => Some('}'),
                    _ => None,
                };
                kept.push(if closing.is_some() { '…' } else { c });
            }
        }
        before = c;
    }
    kept
}

/// Long words, and words of letters and digits mixed, may be keys, addresses or identifiers.
fn is_harmless(word: &str) -> bool {
    let length = word.chars().count();
    let letters = word.chars().any(char::is_alphabetic);
    let digits = word.chars().any(|c| c.is_ascii_digit());
    let identifier = letters && digits && length >= 8;
    let odd = word.contains('@') || word.contains("sk-") || word.chars().any(char::is_control);
    length <= 24 && !identifier && !odd
}

fn is_plain_word(value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    !value.is_empty()
        && value.len() <= 64
        && digits <= 6
        && !value.contains("sk-")
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn object(body: &[u8]) -> Option<Map<String, Value>> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.len() > MAX_BODY {
        return None;
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn from_object(error: &Map<String, Value>) -> ErrorText {
    ErrorText {
        message: text_of(error, &["message", "error_description"], MAX_MESSAGE).unwrap_or_default(),
        kind: word(error.get("type")),
        code: word(error.get("code")),
    }
}

fn text_of(from: &Map<String, Value>, names: &[&str], max: usize) -> Option<String> {
    names.iter().find_map(|name| from.get(*name)?.as_str().map(|text| cut(text, max)))
}

fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(cut(text, MAX_WORD)),
        Value::Number(number) => Some(cut(&number.to_string(), MAX_WORD)),
        _ => None,
    }
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    fn text(message: &str, kind: Option<&str>, code: Option<&str>) -> ErrorText {
        ErrorText { message: message.into(), kind: kind.map(Into::into), code: code.map(Into::into) }
    }

    #[test]
    fn every_shape() {
        for (body, expected) in [
            (r#"{"error":{"message":"m","type":"t","code":"c"}}"#, text("m", Some("t"), Some("c"))),
            (r#"{"error":{"message":"m","type":"t","code":429}}"#, text("m", Some("t"), Some("429"))),
            (r#"{"error":{"message":"m","type":null,"code":null}}"#, text("m", None, None)),
            (r#"{"type":"error","error":{"type":"t","message":"m"}}"#, text("m", Some("t"), None)),
            (r#"{"error":"m"}"#, text("m", None, None)),
            (r#"{"error":"t","error_description":"m"}"#, text("m", Some("t"), None)),
            (r#"{"message":"m","code":16}"#, text("m", None, Some("16"))),
            (r#"{"message":"m","type":"t"}"#, text("m", Some("t"), None)),
            (r#"{"error_description":"m"}"#, text("m", None, None)),
            ("\u{feff}{\"error\":{\"message\":\"m\"}}", text("m", None, None)),
            (r#"{"error":{}}"#, text("", None, None)),
        ] {
            assert_eq!(parse(body.as_bytes()), Some(expected), "{body}");
        }
        for body in
            ["", "null", "[]", "\"m\"", "{}", r#"{"id":"x"}"#, "<html>m</html>", r#"{"error":{"message":"m"#]
        {
            assert_eq!(parse(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn only_structured_fields_are_read() {
        let body = r#"{"error":{"message":"bad request","type":"invalid_request_error"},
            "request":{"messages":[{"role":"user","content":"API Key appears to be invalid"}]},"message":"other"}"#;
        assert_eq!(parse(body.as_bytes()), Some(text("bad request", Some("invalid_request_error"), None)));
    }

    #[test]
    fn long_fields_are_cut() {
        let long = "é".repeat(10_000);
        let found =
            parse(format!(r#"{{"error":{{"message":"{long}","type":"{long}"}}}}"#).as_bytes()).unwrap();
        assert_eq!(found.message.chars().count(), MAX_MESSAGE);
        assert_eq!(found.kind.unwrap().chars().count(), MAX_WORD);
        assert_eq!(parse(format!(r#"{{"error":"{}"}}"#, "x".repeat(MAX_BODY)).as_bytes()), None);
    }

    #[test]
    fn error_events_and_events_that_only_look_like_one() {
        assert_eq!(error_event(br#"{"error":{"message":"m"}}"#), Some(text("m", None, None)));
        assert_eq!(error_event(br#"data: {"error":"m"}"#), Some(text("m", None, None)));
        assert_eq!(
            error_event(br#"{"type":"error","error":{"type":"t","message":"m"}}"#),
            Some(text("m", Some("t"), None))
        );
        for data in [
            r#"{"type":"message_start","message":{"type":"message"}}"#,
            r#"{"id":"x","error":null,"choices":[]}"#,
            r#"{"message":"m","code":1}"#,
            "[DONE]",
        ] {
            assert_eq!(error_event(data.as_bytes()), None, "{data}");
        }
    }

    #[test]
    fn the_log_text_holds_no_user_content() {
        let unknown = text(
            "You've sent 'my secret plan' with sk-kimi-abc and id 0f3c9a77b1 to a@b.example: \"x y",
            Some("odd_error"),
            Some("17"),
        );
        assert_eq!(
            log_text(403, &unknown),
            "status=403 type=odd_error code=17 message=\"You've sent … with … and id … to … …\""
        );
        assert_eq!(log_text(400, &unknown), "status=400 type=odd_error code=17");
        let odd = text("", Some("what the user wrote"), Some("sk-kimi-abcdef"));
        assert_eq!(log_text(429, &odd), "status=429");
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse(&body), error_event(&body));
        }

        #[test]
        fn log_text_is_short(status in 0u16..700, message in ".{0,400}", word in ".{0,100}") {
            let line = log_text(status, &text(&message, Some(&word), Some(&word)));
            prop_assert!(line.lines().count() <= 1 && line.len() < 3000);
        }
    }
}
