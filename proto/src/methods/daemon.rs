//! `daemon.*`: the daemon itself.

use std::collections::BTreeMap;

use kmid_core::said::Said;
use serde::{Deserialize, Serialize};

/// Parameters of `daemon.hello`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HelloParams {
    /// The client program, `kmi`.
    pub client: String,
    /// Its version.
    pub version: String,
    /// The protocol it speaks.
    pub protocol: u32,
}

/// Result of `daemon.hello`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// The daemon's version.
    pub version: String,
    /// The protocol it speaks.
    pub protocol: u32,
    /// Names of optional features.
    pub capabilities: Vec<String>,
    /// Process id.
    pub pid: u32,
    /// RFC 3339.
    pub started_at: String,
}

/// Result of `daemon.status`: fields people already script against, then ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// `live` or `dry-run`
    pub mode: String,
    /// The proxy listener.
    pub proxy: ProxyStatus,
    /// The default upstream base URL.
    pub upstream: String,
    /// How many keys are in which state.
    pub keys: KeyCounts,
    /// Label of the active key.
    pub active_key: Option<String>,
    /// Where the rotation stands.
    pub rotation: RotationStatus,
    /// The rules for readings.
    pub policy: PolicyStatus,
    /// The refresher's rules.
    pub cache: CacheStatus,
    /// KMI_PAYMENT_BLOCK_SECONDS
    pub payment_block_seconds: u64,
    /// When quotas were last read, RFC 3339.
    pub last_health_refresh: Option<String>,
    /// The process.
    pub daemon: DaemonStatus,
    /// Requests since start.
    pub requests: RequestCounts,
    /// Requests that wait for a key.
    #[serde(default)]
    pub queue: QueueStatus,
    /// What the accounts have in flight, in pool order of their first keys.
    #[serde(default)]
    pub accounts: Vec<AccountSlots>,
    /// The sessions that are known.
    #[serde(default)]
    pub sessions: SessionStatus,
    /// Tokens over all keys.
    #[serde(default)]
    pub tokens: super::keys::Tokens,
    /// The part of the prompt tokens that came from the cache, 0 to 1; null without any.
    #[serde(default)]
    pub cache_share: Option<f64>,
    /// The hosts that keys are sent to.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
    /// Key files that could not be used, settings warnings, lost log lines.
    pub issues: Vec<Issue>,
}

/// The proxy listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Whether it accepts connections.
    pub running: bool,
    /// Bound address.
    pub host: String,
    /// Bound port.
    pub port: u16,
    /// What to point a client at.
    pub url: String,
    /// Process ids.
    pub pids: Vec<u32>,
    /// Path of `proxy.out`.
    pub daemon_log: String,
}

/// How many keys are in which state.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct KeyCounts {
    /// All keys.
    pub total: usize,
    /// Switched off in their files.
    pub disabled: usize,
    /// Waiting for a person or a recheck.
    pub blocked: usize,
    /// Cooling.
    pub exhausted: usize,
}

/// Where the rotation stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RotationStatus {
    /// Place of the active key in the pool; 0 without keys.
    pub active_index: usize,
    /// The round-robin position.
    pub rotation_index: u64,
    /// Automatic rotation on.
    pub auto_rotate: bool,
    /// KMI_AUTO_ROTATE_ALLOWED
    pub allowed: bool,
    /// `manual`, `failover` or `auto`
    pub mode: String,
    /// KMI_ROTATE_POLICY: `round-robin`, `most-left` or `drain`
    #[serde(default)]
    pub policy: String,
    /// When no key has anything left at the present traffic, if no window resets before, RFC 3339; null when unknown.
    #[serde(default)]
    pub estimated_empty_at: Option<String>,
}

/// The rules for readings.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// KMI_REQUIRE_USAGE_BEFORE_REQUEST
    pub strict_usage_check: bool,
    /// KMI_FAIL_OPEN_ON_EMPTY_CACHE
    pub fail_open_on_empty_cache: bool,
}

/// The refresher's rules.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct CacheStatus {
    /// KMI_USAGE_CACHE_SECONDS
    pub usage_refresh_seconds: u64,
    /// KMI_BLOCKLIST_RECHECK_SECONDS
    pub blocklist_recheck_seconds: u64,
    /// KMI_BLOCKLIST_RECHECK_MAX
    pub blocklist_max: usize,
}

/// The process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// kmid's version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// RFC 3339.
    pub started_at: String,
    /// Since start.
    pub uptime_seconds: u64,
    /// Resident memory; 0 where the platform does not say.
    pub rss_bytes: u64,
    /// The settings file in use.
    pub env_file: Option<String>,
    /// The key directory.
    pub auths_dir: Option<String>,
    /// The state directory.
    pub state_dir: String,
    /// Names of settings that were changed and wait for a restart.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// The KMI_ variables of its environment; of a secret only that it is there. A settings file may overrule them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, Option<String>>,
}

/// The sessions that are known.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct SessionStatus {
    /// KMI_SESSION_AFFINITY
    pub affinity: bool,
    /// Those that have a key, in auto mode.
    pub known: usize,
}

/// Requests since start.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Finished and in flight.
    pub total: u64,
    /// Now.
    pub in_flight: u64,
    /// Finished with an error that the client saw.
    pub failed: u64,
}

/// Requests that wait for a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Now.
    pub length: usize,
    /// KMI_QUEUE_MAX
    pub most: usize,
    /// KMI_QUEUE_MAX_WAIT_SECONDS
    pub max_wait_seconds: u64,
}

/// What one account has in flight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSlots {
    /// Labels of its keys.
    pub keys: Vec<String>,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Most attempts in flight.
    pub cap: u32,
    /// While the account is taken up step by step: most attempts in flight for now.
    pub ramp: Option<u32>,
}

/// A host that keys are sent to, and its breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// `host` or `host:port`.
    pub host: String,
    /// `closed` (requests pass), `open` (they get the last answer at once) or `half-open` (one decides)
    pub breaker: String,
    /// When one request may pass, RFC 3339; while it is open or one decides.
    pub until: Option<String>,
    /// What opened it: `membership`, `throughput` or `failure`; `gate` when it is shut for single client programs
    /// only.
    pub trouble: Option<String>,
    /// Status of the last answer; `null` when there was none.
    pub status: Option<u16>,
}

/// Something a person should know about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// `key_file`, `settings`, `log_loss`, `state`, ...
    pub kind: String,
    /// `warn` or `error`
    pub level: String,
    /// The file or variable concerned.
    pub subject: String,
    /// What is wrong and what to do, as `message`, with its `code` and `args`; never a secret.
    #[serde(flatten)]
    pub said: Said,
}

/// Result of `daemon.reload`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reloaded {
    /// Names of settings that changed, and `keys` when keys did.
    pub changed: Vec<String>,
    /// Changed settings that take effect at the next start only.
    #[serde(default)]
    pub needs_restart: Vec<String>,
    /// What could not be used; with settings issues the old settings stay in force.
    pub issues: Vec<Issue>,
}

/// Result of `daemon.restart`: the new kmid serves, the old one finishes its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// Process id of the new one.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

/// Result of `daemon.check_upstreams`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamChecks {
    /// `dry_run` when nothing was tried, because nothing may leave the machine.
    pub skipped: Option<String>,
    /// One entry a host.
    pub upstreams: Vec<UpstreamCheck>,
}

/// How one question without a key went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamCheck {
    /// `host` or `host:port`.
    pub host: String,
    /// Whether a connection was made.
    pub reachable: bool,
    /// Whether TLS came about on it, with a certificate that is trusted.
    pub tls: bool,
    /// How many seconds this machine's clock is ahead of the answer's `Date`; negative when it is behind. `null`
    /// without a `Date`.
    pub clock_skew_seconds: Option<i64>,
    /// What went wrong, without secrets.
    pub error: Option<String>,
    /// The same with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_said: Option<Said>,
}

/// Parameters of `daemon.stop`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct StopParams {
    /// End at once instead of draining.
    #[serde(default)]
    pub force: bool,
}
