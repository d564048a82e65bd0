//! Answers of `/messages`, in the Anthropic shape.

use bytes::Bytes;
use kmid_core::kimi::usage::Tokens;
use serde_json::{Value, json};

use super::words;

/// The answer in one piece.
pub(super) fn whole(id: &str, model: &str, tokens: Tokens) -> Bytes {
    let content = json!([{ "type": "text", "text": words::text() }]);
    message(id, model, content, json!("end_turn"), usage(tokens, tokens.output)).to_string().into()
}

/// The answer as events.
pub(super) fn events(id: &str, model: &str, tokens: Tokens) -> Vec<Bytes> {
    let opening = message(id, model, json!([]), Value::Null, usage(tokens, 0));
    let mut events = vec![
        event("message_start", json!({ "message": opening })),
        event("content_block_start", json!({ "index": 0, "content_block": { "type": "text", "text": "" } })),
        event("ping", json!({})),
    ];
    events.extend(words::pieces().map(|piece| {
        event("content_block_delta", json!({ "index": 0, "delta": { "type": "text_delta", "text": piece } }))
    }));
    let end = json!({ "stop_reason": "end_turn", "stop_sequence": null });
    events.push(event("content_block_stop", json!({ "index": 0 })));
    events.push(event("message_delta", json!({ "delta": end, "usage": usage(tokens, tokens.output) })));
    events.push(event("message_stop", json!({})));
    events
}

fn message(id: &str, model: &str, content: Value, stop_reason: Value, usage: Value) -> Value {
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "usage": usage,
    })
}

fn event(name: &str, mut data: Value) -> Bytes {
    if let Some(fields) = data.as_object_mut() {
        fields.insert("type".to_owned(), json!(name));
    }
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// On this wire `input_tokens` leaves the cached ones out.
fn usage(tokens: Tokens, output: u64) -> Value {
    json!({
        "input_tokens": tokens.input.saturating_sub(tokens.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": output,
    })
}
