//! What the API answers when a test scripts nothing. Shapes: `kimi-upstream.md` (clients' sources and issue threads
//! of 2026-11).

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::{Value, json};

use super::{Reply, Seen};

/// The answer to a request.
#[must_use]
pub(super) fn answer(seen: &Seen) -> Reply {
    let body = seen.body().unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let stream = request["stream"] == true;
    let reply = match (seen.head.method.as_str(), seen.endpoint()) {
        (_, "/models") => Reply::json(200, &models()),
        ("GET", "/usages") => Reply::json(200, &Usages::of(&seen.key().unwrap_or_default()).json()),
        ("POST", "/chat/completions") if stream => chat_events().into_iter().fold(Reply::sse(), Reply::send),
        ("POST", "/chat/completions") => Reply::json(200, &chat()),
        ("POST", "/messages") if stream => message_events().into_iter().fold(Reply::sse(), Reply::send),
        ("POST", "/messages") => Reply::json(200, &message()),
        (method, endpoint) => Reply::json(200, &json!({"method": method, "endpoint": endpoint})),
    };
    reply.field("x-trace-id", "trace-1")
}

/// `/models`
#[must_use]
pub fn models() -> Value {
    let model = |id| json!({"id": id, "object": "model", "owned_by": "moonshot", "context_length": 262_144});
    let data = ["k3", "k3-256k", "kimi-for-coding", "kimi-for-coding-highspeed"].map(model);
    json!({"object": "list", "data": data})
}

/// `/chat/completions` without a stream.
#[must_use]
pub fn chat() -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "model": "kimi-for-coding",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "cached_tokens": 4}})
}

/// The events of a streamed `/chat/completions`, the terminal one last.
#[must_use]
pub fn chat_events() -> Vec<String> {
    let delta = |delta: Value, end: Value| {
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "kimi-for-coding",
            "choices": [{"index": 0, "delta": delta, "finish_reason": end}]})
    };
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15, "cached_tokens": 4}});
    vec![
        data(&delta(json!({"role": "assistant"}), Value::Null)),
        data(&delta(json!({"content": "Hel"}), Value::Null)),
        data(&delta(json!({"content": "lo."}), json!("stop"))),
        data(&usage),
        "data: [DONE]\n\n".into(),
    ]
}

/// `/messages` without a stream.
#[must_use]
pub fn message() -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "kimi-for-coding",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 3}})
}

/// The events of a streamed `/messages`, the terminal one last.
#[must_use]
pub fn message_events() -> Vec<String> {
    let event = |name: &str, value: Value| format!("event: {name}\ndata: {value}\n\n");
    vec![
        event(
            "message_start",
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
                "content": [], "model": "kimi-for-coding",
                "usage": {"input_tokens": 8, "cache_read_input_tokens": 4, "output_tokens": 0}}}),
        ),
        event(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ),
        event(
            "content_block_delta",
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}}),
        ),
        event("content_block_stop", json!({"type": "content_block_stop", "index": 0})),
        event(
            "message_delta",
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
        ),
        event("message_stop", json!({"type": "message_stop"})),
    ]
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

/// When windows start anew unless a test says otherwise: in 20 days, to the second and the same all through a run.
/// No cooldown is longer than 31 days, so a later time would not come back as it was.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "the rule about the time is the daemon's")]
pub fn reset() -> Timestamp {
    static RESET: LazyLock<Timestamp> = LazyLock::new(|| {
        #[allow(clippy::disallowed_methods, reason = "the daemon's clock is the real one, too")]
        let in_twenty_days = Timestamp::now() + SignedDuration::from_hours(20 * 24);
        in_twenty_days.round(Unit::Second).unwrap()
    });
    *RESET
}

/// A time as the API spells it.
fn as_sent(time: Timestamp) -> String {
    format!("{}.443553353Z", time.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// An answer of `/usages`: what one account has left.
#[derive(Debug, Clone)]
pub struct Usages {
    /// `user.userId`
    pub account: String,
    /// Used percent of the 5-hour window.
    pub five_hours: u32,
    /// Used percent of the 7-day window.
    pub week: u32,
    /// When the 5-hour window starts anew.
    pub resets_at: String,
    /// When the 7-day window does.
    pub week_resets_at: String,
    /// `parallel.limit`
    pub parallel: Option<u32>,
}

impl Usages {
    /// An account of its own for a key, with little used.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self {
            account: format!(
                "u-{:08x}",
                key.bytes()
                    .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
            ),
            five_hours: 3,
            week: 6,
            resets_at: as_sent(reset()),
            week_resets_at: as_sent(reset()),
            parallel: None,
        }
    }

    /// The same with other shares used.
    #[must_use]
    pub fn used(mut self, five_hours: u32, week: u32) -> Self {
        self.five_hours = five_hours;
        self.week = week;
        self
    }

    /// The same with a 7-day window that starts anew at another time than the other one.
    #[must_use]
    pub fn week_resets(mut self, at: Timestamp) -> Self {
        self.week_resets_at = as_sent(at);
        self
    }

    /// The same with another account.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.account = account.into();
        self
    }

    /// The answer. Numbers are decimal strings and zeros are dropped, as the API does.
    #[must_use]
    pub fn json(&self) -> Value {
        let counts = |used: u32, resets_at: &str| {
            let mut detail = json!({"limit": "100", "resetTime": resets_at});
            if used > 0 {
                detail["used"] = json!(used.to_string());
            }
            if used < 100 {
                detail["remaining"] = json!((100 - used).to_string());
            }
            detail
        };
        let mut value = json!({
            "user": {"userId": self.account, "region": "REGION_CN", "membership": {"level": "LEVEL_INTERMEDIATE"}},
            "usage": counts(self.week, &self.week_resets_at),
            "limits": [{"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                "detail": counts(self.five_hours, &self.resets_at)}],
            "authentication": {"method": "METHOD_API_KEY", "scope": "FEATURE_CODING"}});
        if let Some(limit) = self.parallel {
            value["parallel"] = json!({"limit": limit.to_string()});
        }
        value
    }
}
