//! One line of `trace/trace.jsonl` for each finished request.
//!
//! The request's path only fills in a [`TraceRecord`] and queues it; the JSON and the log's `proxy_request` event are
//! made on the writer's thread.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kmid_core::json::Object;
use kmid_core::key::Fingerprint;
use kmid_core::kimi::usage::Tokens;
use kmid_core::pool::Decision;
use kmid_core::session::SessionId;
use kmid_core::time::Time;
use smallvec::SmallVec;

use crate::line_log::Record;
use crate::local_time::Zone;

/// The version of the line's fields.
const SCHEMA_VERSION: u64 = 2;

/// A finished request.
#[derive(Debug, Clone)]
pub struct TraceRecord {
    /// The zone that `ts` is written in.
    pub zone: Zone,
    /// The response's true end.
    pub ended_at: Time,
    /// The response's `x-kmi-request-id`.
    pub request_id: RequestId,
    /// HTTP method.
    pub method: Method,
    /// Path below the base path, without the query.
    pub endpoint: Cow<'static, str>,
    /// What the client saw; 0 when it saw nothing.
    pub status: u16,
    /// From the request's head to the response's end.
    pub latency: Duration,
    /// From the request's head to the response's head.
    pub ttfb: Option<Duration>,
    /// The key of the last attempt.
    pub key: Option<(Arc<str>, Fingerprint)>,
    /// The round-robin position.
    pub rotation_index: u64,
    /// Every try upstream.
    pub attempts: TraceAttempts,
    /// How long it waited for a key, if it did.
    pub queued: Option<Duration>,
    /// Hash of the session id.
    pub session: Option<SessionId>,
    /// The name of the token that let it in, if that has one.
    pub client_name: Option<Arc<str>>,
    /// Why there was no key, or none any more; `None` where one served.
    pub refused: Option<Box<Decision>>,
    /// The model that the body names, for the history; the line does not have it.
    pub model: Option<Box<str>>,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    pub prompt_hint: Box<str>,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    pub prompt_head: Box<str>,
    /// As the response counted them.
    pub tokens: Option<Tokens>,
    /// Request body bytes.
    pub bytes_up: u64,
    /// Response body bytes.
    pub bytes_down: u64,
    /// Row of the error table, or a refusal of kmid's own.
    pub error_code: Option<&'static str>,
    /// `completed`, `client_left`, `cut_off`, `upstream_broke`, `refused` or an error row's name.
    pub outcome: &'static str,
}

/// Names a request: sixteen hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 16]);

impl RequestId {
    /// The id with this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(std::array::from_fn(|place| b"0123456789abcdef"[(number >> (60 - 4 * place)) as usize & 0xf]))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The tries of a request, of which there is mostly one.
pub type TraceAttempts = SmallVec<[TraceAttempt; 1]>;

/// One try upstream.
#[derive(Debug, Clone)]
pub struct TraceAttempt {
    /// The key it used.
    pub key_label: Arc<str>,
    /// The upstream's status, if one came.
    pub status: Option<u16>,
    /// What it meant.
    pub outcome: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Why this key.
    pub decision: Decision,
}

impl TraceAttempt {
    fn write_fields(&self, object: &mut Object<'_>) {
        object.text("key_label", &*self.key_label);
        object.number("status", self.status.map(u64::from));
        object.word("outcome", self.outcome);
        object.number("ms", millis(self.took));
        self.decision.write_json(object.name("decision"));
    }
}

impl Record for TraceRecord {
    /// The line's fields in their order.
    fn write_line(&self, out: &mut Vec<u8>) {
        let mut line = Object::begin(out);
        line.text("ts", &*self.zone.format(self.ended_at));
        line.text("request_id", self.request_id.as_str());
        line.text("method", self.method.as_str());
        line.text("endpoint", &*self.endpoint);
        line.number("status", u64::from(self.status));
        line.number("latency_ms", millis(self.latency));
        line.number("ttfb_ms", self.ttfb.map(millis));
        line.text("key_label", self.key.as_ref().map(|(label, _)| &**label));
        let mut digits = [0; 12];
        line.text("key_hash", self.key.as_ref().map(|(_, hash)| hash.text(&mut digits)));
        line.number("rotation_index", self.rotation_index);
        line.list("attempts", &self.attempts, |object, attempt| attempt.write_fields(object));
        line.number("queue_ms", self.queued.map(millis));
        line.text("session", self.session.map(|session| session.to_string()).as_deref());
        if let Some(name) = &self.client_name {
            line.text("client_name", &**name);
        }
        if let Some(refused) = &self.refused {
            refused.write_json(line.name("refused"));
        }
        line.text("prompt_hint", &*self.prompt_hint);
        line.text("prompt_head", &*self.prompt_head);
        match self.tokens {
            None => line.number("tokens", None),
            Some(Tokens { input, cached, output }) => {
                let mut tokens = Object::begin(line.name("tokens"));
                tokens.number("input", input);
                tokens.number("cached", cached);
                tokens.number("output", output);
                tokens.end();
            }
        }
        line.number("bytes_up", self.bytes_up);
        line.number("bytes_down", self.bytes_down);
        line.word("error_code", self.error_code);
        line.word("outcome", self.outcome);
        line.number("schema_version", SCHEMA_VERSION);
        line.end();
    }

    fn after(&self) {
        tracing::info!(
            key = self.key.as_ref().map(|(label, _)| &**label),
            method = self.method.as_str(),
            endpoint = &*self.endpoint,
            status = self.status,
            latency_ms = millis(self.latency),
            ttfb_ms = self.ttfb.map(millis),
            attempts = self.attempts.len(),
            queue_ms = self.queued.map(millis),
            client_name = self.client_name.as_deref(),
            input_tokens = self.tokens.map(|tokens| tokens.input),
            cached_tokens = self.tokens.map(|tokens| tokens.cached),
            output_tokens = self.tokens.map(|tokens| tokens.output),
            outcome = self.outcome,
            error_code = self.error_code,
            request_id = self.request_id.as_str(),
            "proxy_request"
        );
    }

    fn size_hint(&self) -> usize {
        size_of::<Self>()
            + self.endpoint.len()
            + self.prompt_hint.len()
            + self.prompt_head.len()
            + self.attempts.iter().map(|attempt| attempt.decision.size_hint()).sum::<usize>()
            + if self.attempts.spilled() { self.attempts.capacity() * size_of::<TraceAttempt>() } else { 0 }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
