//! A scripted model: it has a command run first and then says that it is done, on both wires, as a stream or not.

use std::sync::atomic::{AtomicBool, Ordering};

use kmi_tests::upstream::{Ending, Reply, Seen};
use serde_json::{Value, json};

/// What the model has run. Only its output holds [`OUTPUT`].
const COMMAND: &str = "echo turn-$((40+2))";
pub(crate) const OUTPUT: &str = "turn-42";

/// What it says at the end of a turn.
pub(crate) const DONE: &str = "The whole turn went well.";

/// What it says before a stream breaks.
const HALF: &str = "Only a half of";

/// The words of a quota refusal (kimi-upstream.md, 2026-11).
const QUOTA: &str = "You've reached your usage limit for this billing cycle.";

/// The answer of a key that works.
pub(crate) fn answer(seen: &Seen) -> Reply {
    let request = request(seen);
    let say = match shell(&request) {
        Some(shell) if !is_second(seen) => Say::Run(shell),
        _ => Say::Text(if is_second(seen) { DONE } else { "Hello." }),
    };
    let stream = request["stream"] == true;
    match seen.endpoint() {
        "/messages" if stream => messages_stream(&say),
        "/messages" => Reply::json(200, &message(&say)),
        _ if stream => chat_stream(&say),
        _ => Reply::json(200, &chat(&say)),
    }
}

/// The answer of a key whose quota ends in the middle of a turn.
pub(crate) fn answer_until_empty(seen: &Seen) -> Reply {
    match seen.endpoint() {
        _ if !is_second(seen) => answer(seen),
        endpoint => quota_refusal(endpoint),
    }
}

fn quota_refusal(endpoint: &str) -> Reply {
    match endpoint {
        "/messages" => Reply::anthropic_error(403, "permission_error", QUOTA),
        _ => Reply::openai_error(403, "access_terminated_error", QUOTA),
    }
}

/// The answer of a key whose first turn breaks in the middle of its words; from then on its quota is empty.
pub(crate) fn answer_that_breaks() -> impl Fn(&Seen) -> Reply + Send + Sync {
    let broken = AtomicBool::new(false);
    move |seen| {
        // What a client asks beside its turn has no tools.
        if shell(&request(seen)).is_none() {
            return answer(seen);
        }
        if broken.swap(true, Ordering::Relaxed) {
            return quota_refusal(seen.endpoint());
        }
        let whole = if seen.endpoint() == "/messages" {
            messages_stream(&Say::Text(HALF))
        } else {
            chat_stream(&Say::Text(HALF))
        };
        whole.without_last(3).ending(Ending::Close)
    }
}

/// Whether a request carries what came of the first one.
pub(crate) fn is_second(seen: &Seen) -> bool {
    request(seen)["messages"].to_string().contains(OUTPUT)
}

fn request(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body().unwrap_or_default()).unwrap_or_default()
}

enum Say {
    Text(&'static str),
    Run(Shell),
}

/// The client's tool that runs a command.
struct Shell {
    name: String,
    arguments: Value,
}

/// The tool among those that the client offers, as either wire lists them.
fn shell(request: &Value) -> Option<Shell> {
    request["tools"].as_array()?.iter().find_map(|tool| {
        let tool = if tool["function"].is_object() { &tool["function"] } else { tool };
        let name =
            tool["name"].as_str().filter(|name| ["bash", "shell"].contains(&name.to_lowercase().as_str()))?;
        let schema = if tool["parameters"].is_object() { &tool["parameters"] } else { &tool["input_schema"] };
        let mut arguments = json!({"command": COMMAND});
        if schema["properties"]["description"].is_object() {
            arguments["description"] = json!("Counts");
        }
        Some(Shell { name: name.to_owned(), arguments })
    })
}

fn chat(say: &Say) -> Value {
    let (message, reason) = match say {
        Say::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Say::Run(shell) => {
            (json!({"role": "assistant", "content": null, "tool_calls": [tool_call(shell)]}), "tool_calls")
        }
    };
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "kimi-for-coding",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": chat_usage()})
}

fn chat_stream(say: &Say) -> Reply {
    let chunk = |delta: Value, reason: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "kimi-for-coding",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
    };
    let (delta, reason) = match say {
        Say::Text(text) => (json!({"content": text}), "stop"),
        Say::Run(shell) => (json!({"tool_calls": [tool_call(shell)]}), "tool_calls"),
    };
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
        "model": "kimi-for-coding", "choices": [], "usage": chat_usage()});
    [
        chunk(json!({"role": "assistant"}), Value::Null),
        chunk(delta, Value::Null),
        chunk(json!({}), json!(reason)),
        usage,
    ]
    .into_iter()
    .fold(Reply::sse(), |reply, event| reply.send(format!("data: {event}\n\n")))
    .send("data: [DONE]\n\n")
}

fn tool_call(shell: &Shell) -> Value {
    json!({"index": 0, "id": "call_1", "type": "function",
        "function": {"name": shell.name, "arguments": shell.arguments.to_string()}})
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "cached_tokens": 4})
}

fn message(say: &Say) -> Value {
    let (block, reason) = match say {
        Say::Text(text) => (json!({"type": "text", "text": text}), "end_turn"),
        Say::Run(shell) => (
            json!({"type": "tool_use", "id": "toolu_1", "name": shell.name, "input": shell.arguments}),
            "tool_use",
        ),
    };
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "kimi-for-coding", "content": [block],
        "stop_reason": reason, "stop_sequence": null,
        "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 3}})
}

fn messages_stream(say: &Say) -> Reply {
    let mut whole = message(say);
    let (mut block, reason) = (whole["content"][0].take(), whole["stop_reason"].take());
    whole["content"] = json!([]);
    let delta = match say {
        Say::Text(text) => {
            block["text"] = json!("");
            json!({"type": "text_delta", "text": text})
        }
        Say::Run(shell) => {
            block["input"] = json!({});
            json!({"type": "input_json_delta", "partial_json": shell.arguments.to_string()})
        }
    };
    [
        json!({"type": "message_start", "message": whole}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 3}}),
        json!({"type": "message_stop"}),
    ]
    .into_iter()
    .fold(Reply::sse(), |reply, event| {
        let name = event["type"].as_str().unwrap_or_default();
        reply.send(format!("event: {name}\ndata: {event}\n\n"))
    })
}
