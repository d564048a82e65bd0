//! Answers of `/chat/completions`, in the OpenAI shape.

use bytes::Bytes;
use kmid_core::kimi::usage::Tokens;
use serde_json::{Value, json};

use super::words;

/// What every part of one answer repeats.
#[derive(Debug)]
pub(super) struct Head {
    /// `chatcmpl-...`
    pub(super) id: String,
    /// As the request named it.
    pub(super) model: String,
    /// Seconds since the Unix epoch.
    pub(super) created: i64,
}

/// The answer in one piece.
pub(super) fn whole(head: &Head, tokens: Tokens) -> Bytes {
    let message = json!({ "role": "assistant", "content": words::text() });
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": usage(tokens),
    })
    .to_string()
    .into()
}

/// The answer as events.
pub(super) fn events(head: &Head, tokens: Tokens, include_usage: bool) -> Vec<Bytes> {
    let delta = |delta: Value, finish: Value| {
        chunk(head, json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), None)
    };
    let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend(words::pieces().map(|piece| delta(json!({ "content": piece }), Value::Null)));
    events.push(delta(json!({}), json!("stop")));
    if include_usage {
        events.push(chunk(head, json!([]), Some(tokens)));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn chunk(head: &Head, choices: Value, tokens: Option<Tokens>) -> Bytes {
    let mut chunk = json!({
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "choices": choices,
    });
    if let (Some(tokens), Some(fields)) = (tokens, chunk.as_object_mut()) {
        fields.insert("usage".to_owned(), usage(tokens));
    }
    format!("data: {chunk}\n\n").into()
}

/// Cache hits come back as `usage.cached_tokens` [kimi-upstream.md, 2026-11]; OpenAI clients look into
/// `prompt_tokens_details`.
fn usage(tokens: Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
        "cached_tokens": tokens.cached,
        "prompt_tokens_details": { "cached_tokens": tokens.cached },
    })
}
