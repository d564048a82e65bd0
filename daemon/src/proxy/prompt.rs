//! The first words of a prompt, for traces of people who ask for them (KMI_TRACE_PROMPTS=1).

use bytes::Bytes;
use serde::Deserialize;

/// Larger bodies are not looked at.
const LARGEST: usize = 4 * 1024 * 1024;
const HINT_CHARS: usize = 60;
const HEAD_CHARS: usize = 240;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: serde_json::Value,
}

/// The last user message's first words, short and longer; both empty when there are none.
pub(super) fn hint_and_head(chunks: &[Bytes]) -> (Box<str>, Box<str>) {
    let length: usize = chunks.iter().map(Bytes::len).sum();
    if length > LARGEST {
        return Default::default();
    }
    let Ok(body) = serde_json::from_slice::<Body>(&chunks.concat()) else { return Default::default() };
    let user = body.messages.iter().rev().find(|message| message.role == "user");
    let Some(text) = user.and_then(|message| text_of(&message.content)) else { return Default::default() };
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let first = |count: usize| words.chars().take(count).collect::<String>().into();
    (first(HINT_CHARS), first(HEAD_CHARS))
}

fn text_of(content: &serde_json::Value) -> Option<&str> {
    match content {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Array(parts) => parts.iter().rev().find_map(|part| part.get("text")?.as_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_of_content() {
        let of = |text: &'static str| hint_and_head(&[Bytes::from_static(text.as_bytes())]);
        let plain =
            of(r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"fix  the\nbug"}]}"#);
        assert_eq!(&*plain.0, "fix the bug");
        let parts = of(r#"{"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}"#);
        assert_eq!(&*parts.1, "hello");
        assert_eq!(of("not json"), Default::default());
    }
}
