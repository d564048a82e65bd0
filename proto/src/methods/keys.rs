//! `keys.*`: the keys of the pool.

use kmid_core::said::Said;
use serde::{Deserialize, Serialize};

/// Parameters of `keys.list`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct ListParams {
    /// Ask the upstream for fresh quotas first.
    #[serde(default)]
    pub refresh: bool,
}

/// Result of `keys.list`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyList {
    /// In pool order.
    pub keys: Vec<Key>,
    /// Key files that could not be used.
    #[serde(default)]
    pub issues: Vec<super::daemon::Issue>,
    /// What the Kimi clients on this machine are configured with.
    #[serde(default)]
    pub clients: Vec<ConfiguredClient>,
    /// The hosts that keys are sent to.
    #[serde(default)]
    pub upstreams: Vec<super::daemon::Upstream>,
}

/// A Kimi client's config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredClient {
    /// `kimi-code` or `kimi-cli`
    #[serde(default)]
    pub client: String,
    /// The file.
    pub path: String,
    /// The provider in use.
    pub provider: Option<String>,
    /// Fingerprint of the key written there, if there is one.
    pub fingerprint: Option<String>,
    /// The provider is kmid itself, so that key is not the one that is used.
    pub points_at_kmid: bool,
    /// Whether the proxy takes what stands there for a token; null unless the provider is kmid and a key stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_accepted: Option<bool>,
    /// `kmi connect` pointed it at kmid and has not been undone.
    #[serde(default)]
    pub connected: bool,
    /// The model in use, if its provider is Kimi's or kmid.
    #[serde(default)]
    pub model: Option<String>,
    /// How many tokens that model takes, as the file says.
    #[serde(default)]
    pub max_context_size: Option<u64>,
    /// The `type` of the provider that the default model leads to, as the file says.
    #[serde(default)]
    pub provider_type: Option<String>,
    /// Why nothing can be said, if so.
    pub problem: Option<String>,
    /// The same with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem_said: Option<Said>,
}

/// One key as people see it; never the secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Key {
    /// The person's name for it.
    pub label: String,
    /// `ready`, `warn`, `cooling`, `blocked` or `disabled`
    pub state: String,
    /// Why it is not ready, a stable word: `quota`, `rate_limited`, `invalid_key`, `payment`, ...
    pub reason: Option<String>,
    /// When the state ends by itself, RFC 3339.
    pub until: Option<String>,
    /// Whether it is the active key.
    pub active: bool,
    /// The last four characters.
    pub masked: String,
    /// First 12 hex digits of its SHA-256.
    pub fingerprint: String,
    /// `userId` of the account.
    pub account: Option<String>,
    /// E-mail of the account.
    pub email: Option<String>,
    /// The file it came from.
    pub source: String,
    /// Where it is sent.
    pub base_url: String,
    /// Higher comes first.
    pub priority: i32,
    /// RFC 3339.
    pub last_used: Option<String>,
    /// Attempts made with it.
    pub requests: u64,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Most attempts in flight for its account.
    pub cap: Option<u32>,
    /// By class.
    pub errors: Errors,
    /// As the responses counted them.
    #[serde(default)]
    pub tokens: Tokens,
    /// The part of the prompt tokens that came from the cache, 0 to 1; null without any.
    #[serde(default)]
    pub cache_share: Option<f64>,
    /// Sessions that stay with it.
    #[serde(default)]
    pub sessions: usize,
    /// Quota windows, shortest first.
    pub windows: Vec<Window>,
    /// Why the last quota refresh failed, if it did.
    pub refresh_error: Option<String>,
    /// The same with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_error_said: Option<Said>,
}

/// Tokens of responses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the cache.
    pub cached: u64,
    /// Completion tokens.
    pub output: u64,
}

/// Error counts by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// 401
    #[serde(rename = "401")]
    pub e401: u64,
    /// 402 and 403
    #[serde(rename = "403")]
    pub e403: u64,
    /// 429
    #[serde(rename = "429")]
    pub e429: u64,
    /// 5xx and transport failures
    #[serde(rename = "5xx")]
    pub e5xx: u64,
}

/// One quota window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// `5h`, `7d`, `month`, ...
    pub name: String,
    /// In the API's unit.
    pub limit: Option<f64>,
    /// In the API's unit.
    pub used: Option<f64>,
    /// 0 to 100.
    pub percent_left: f64,
    /// RFC 3339.
    pub resets_at: Option<String>,
    /// RFC 3339; tells how old the figure is.
    pub read_at: String,
    /// Who says it, the worst of all that do: `poll`; `error`, a refusal; `ledger`, the last poll less what went
    /// through kmid since; `reset`, the window has reset since the last poll.
    pub source: String,
    /// How old it is.
    #[serde(default)]
    pub age_seconds: u64,
    /// Nobody has looked for so long that it says how things stood, not how they stand.
    #[serde(default)]
    pub stale: bool,
    /// Percent of the window an hour at the account's present traffic, where known.
    #[serde(default)]
    pub burn_percent_per_hour: Option<f64>,
    /// When it is empty at that traffic, RFC 3339; null when that is unknown or after its reset.
    #[serde(default)]
    pub estimated_empty_at: Option<String>,
}

/// Parameters of methods that take one key or all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LabelParams {
    /// The key; all when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Result of `keys.unblock`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Unblocked {
    /// Labels whose block or cooldown was cleared.
    pub cleared: Vec<String>,
}

/// Result of `keys.recheck`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Rechecked {
    /// Labels whose block was lifted (half-open: the next request decides).
    pub cleared: Vec<String>,
    /// Labels that stay blocked.
    pub still_blocked: Vec<String>,
}
