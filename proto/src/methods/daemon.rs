//! `daemon.*`: the daemon itself.

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
    /// The sessions that are known.
    #[serde(default)]
    pub sessions: SessionStatus,
    /// Tokens over all keys.
    #[serde(default)]
    pub tokens: super::keys::Tokens,
    /// The part of the prompt tokens that came from the cache, 0 to 1; null without any.
    #[serde(default)]
    pub cache_share: Option<f64>,
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

/// Something a person should know about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// `key_file`, `settings`, `log_loss`, `state`, ...
    pub kind: String,
    /// `warn` or `error`
    pub level: String,
    /// The file or variable concerned.
    pub subject: String,
    /// What is wrong and what to do; never a secret.
    pub message: String,
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

/// Parameters of `daemon.stop`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct StopParams {
    /// End at once instead of draining.
    #[serde(default)]
    pub force: bool,
}
