//! `requests.*`: finished requests.

use serde::{Deserialize, Serialize};

use super::decisions::Decision;

/// Parameters of `requests.tail`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TailParams {
    /// `30s`, `10m`, `1h`, `2d` or an ISO time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// At most so many of the backlog, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Go on with what happens next.
    #[serde(default)]
    pub follow: bool,
}

/// Parameters of `requests.get`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GetParams {
    /// The response's `x-kmi-request-id`.
    pub request_id: String,
}

/// One line of `trace.jsonl`. Unknown fields of newer versions are kept in `more`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceEntry {
    /// End of the request, in KMI_TIMEZONE: `2026-02-02 12:00:00.123 +0300`
    pub ts: String,
    /// The response's `x-kmi-request-id`.
    pub request_id: String,
    /// HTTP method.
    pub method: String,
    /// Path below the base path.
    pub endpoint: String,
    /// What the client saw; 0 when it saw nothing.
    pub status: u16,
    /// From the request's head to the response's end.
    pub latency_ms: u64,
    /// From the request's head to the response's head.
    pub ttfb_ms: Option<u64>,
    /// The key of the last attempt.
    pub key_label: Option<String>,
    /// Its fingerprint.
    pub key_hash: Option<String>,
    /// The round-robin position.
    pub rotation_index: u64,
    /// Every try upstream.
    pub attempts: Vec<TraceAttempt>,
    /// How long it waited for a key, if it did.
    #[serde(default)]
    pub queue_ms: Option<u64>,
    /// Hash of the session id.
    pub session: Option<String>,
    /// The name of the token that let it in (KMI_PROXY_TOKENS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Why there was no key, or none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Decision>,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    #[serde(default)]
    pub prompt_hint: String,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    #[serde(default)]
    pub prompt_head: String,
    /// As the response counted them.
    pub tokens: Option<TraceTokens>,
    /// Request body bytes.
    pub bytes_up: u64,
    /// Response body bytes.
    pub bytes_down: u64,
    /// Row of the error table, or a refusal of kmid's own.
    pub error_code: Option<String>,
    /// `completed`, `client_left`, `cut_off`, `upstream_broke`, `refused` or an error row's name
    pub outcome: String,
    /// 2
    pub schema_version: u32,
    /// What newer versions add.
    #[serde(flatten)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// One try upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceAttempt {
    /// The key it used.
    pub key_label: String,
    /// The upstream's status, if one came.
    pub status: Option<u16>,
    /// What it meant.
    pub outcome: String,
    /// How long it took.
    pub ms: u64,
    /// Why this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// Tokens of one request.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct TraceTokens {
    /// Prompt, cached ones included.
    pub input: u64,
    /// Prompt tokens from the cache.
    pub cached: u64,
    /// Completion.
    pub output: u64,
}
