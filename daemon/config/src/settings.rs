//! The resolved settings.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kmid_core::door::Tokens;
use kmid_core::door::peer::Exposure;
use kmid_core::key::{Allowlist, BaseUrl, Secret};
use kmid_core::policy::Policy;
use kmid_core::said::Said;

/// Every setting, parsed and checked. Field names are the variables' names without `KMI_`; units are in the types.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The settings file in use, if any.
    pub env_file: Option<PathBuf>,
    /// KMI_STATE_DIR
    pub state_dir: PathBuf,
    /// KMI_SOCKET: a path, or on Windows a pipe's name
    pub socket: PathBuf,
    /// KMI_AUTHS_DIR as resolved; `None` when no candidate exists yet
    pub auths_dir: Option<PathBuf>,
    /// KMI_DRY_RUN
    pub dry_run: bool,
    /// KMI_WRITE_CONFIG
    pub write_config: bool,
    /// KMI_AUTO_ROTATE_ALLOWED
    pub auto_rotate_allowed: bool,
    /// KMI_NO_AUTOSTART
    pub no_autostart: bool,
    /// KMI_KIMI_BIN
    pub kimi_bin: Option<PathBuf>,
    /// KMI_AUTO_ROTATE_E2E
    pub auto_rotate_e2e: bool,
    /// KMI_ROTATE_ON_TIE
    pub rotate_on_tie: bool,
    /// KMI_ROTATE_INCLUDE_WARN
    pub rotate_include_warn: bool,
    /// KMI_ROTATE_POLICY
    pub rotate_policy: Policy,
    /// KMI_SESSION_AFFINITY
    pub session_affinity: bool,
    /// KMI_ROTATION_COOLDOWN_SECONDS
    pub rotation_cooldown: Duration,
    /// KMI_PAYMENT_BLOCK_SECONDS; `None` (0) = until cleared by hand or a recheck succeeds
    pub payment_block: Option<Duration>,
    /// KMI_REQUIRE_USAGE_BEFORE_REQUEST
    pub require_usage_before_request: bool,
    /// KMI_FAIL_OPEN_ON_EMPTY_CACHE
    pub fail_open_on_empty_cache: bool,
    /// KMI_USAGE_CACHE_SECONDS; `None` (0) = no background refresh
    pub usage_cache: Option<Duration>,
    /// KMI_BLOCKLIST_RECHECK_SECONDS; `None` (0) = off
    pub blocklist_recheck: Option<Duration>,
    /// KMI_BLOCKLIST_RECHECK_MAX
    pub blocklist_recheck_max: usize,
    /// KMI_UPSTREAM_BASE_URL
    pub upstream_base_url: BaseUrl,
    /// KMI_UPSTREAM_HTTP
    pub upstream_http: UpstreamHttp,
    /// KMI_UPSTREAM_ALLOWLIST
    pub upstream_allowlist: Allowlist,
    /// KMI_PROXY_LISTEN
    pub proxy_listen: ListenAddr,
    /// KMI_PROXY_BASE_PATH: starts with a slash, ends without one; `/` alone is the empty string
    pub proxy_base_path: String,
    /// KMI_PROXY_ALLOW_REMOTE
    pub proxy_allow_remote: bool,
    /// KMI_PROXY_TOKEN and KMI_PROXY_TOKENS
    pub proxy_tokens: Tokens,
    /// KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY: both or neither
    pub proxy_tls: Option<TlsFiles>,
    /// KMI_PROXY_TERMINATORS, IPv4 addresses as such
    pub proxy_terminators: BTreeSet<std::net::IpAddr>,
    /// KMI_PROXY_TLS_TERMINATED
    pub proxy_tls_terminated: bool,
    /// KMI_PROXY_REQUIRE_TLS
    pub proxy_require_tls: bool,
    /// KMI_METRICS_LISTEN; `None` = off
    pub metrics_listen: Option<ListenAddr>,
    /// KMI_PROXY_MAX_RPS and _MAX_RPM
    pub proxy_limit: RateLimit,
    /// KMI_PROXY_MAX_RPS_PER_KEY and _MAX_RPM_PER_KEY
    pub proxy_limit_per_key: RateLimit,
    /// KMI_PROXY_RETRY_MAX
    pub proxy_retry_max: u32,
    /// KMI_PROXY_RETRY_BASE_MS
    pub proxy_retry_base: Duration,
    /// KMI_PROXY_FAILOVER_MAX
    pub proxy_failover_max: u32,
    /// KMI_QUEUE_MAX
    pub queue_max: usize,
    /// KMI_QUEUE_MAX_WAIT_SECONDS
    pub queue_max_wait: Duration,
    /// KMI_PROXY_REPLAY_MB, in bytes
    pub proxy_replay: usize,
    /// KMI_PROXY_REPLAY_TOTAL_MB, in bytes
    pub proxy_replay_total: usize,
    /// KMI_PROXY_CONNECT_TIMEOUT_SECONDS
    pub proxy_connect_timeout: Duration,
    /// KMI_PROXY_IDLE_TIMEOUT_SECONDS
    pub proxy_idle_timeout: Duration,
    /// KMI_PROXY_DRAIN_SECONDS
    pub proxy_drain: Duration,
    /// KMI_PROXY_MAX_CONNECTIONS
    pub proxy_max_connections: usize,
    /// KMI_PROXY_MAX_CONNECTIONS_PER_PEER
    pub proxy_max_connections_per_peer: usize,
    /// KMI_PROXY_HEADER_SECONDS
    pub proxy_header_time: Duration,
    /// KMI_PROXY_MAX_HEADERS
    pub proxy_max_headers: usize,
    /// KMI_PROXY_MAX_HEADER_KB, in bytes
    pub proxy_max_header: u32,
    /// KMI_PROXY_MAX_BODY_MB, in bytes; `None` (0) = no limit
    pub proxy_max_body: Option<u64>,
    /// KMI_PROXY_CLIENT_IDLE_SECONDS
    pub proxy_client_idle: Duration,
    /// KMI_PROXY_MAX_STREAMS
    pub proxy_max_streams: u32,
    /// KMI_TRACE_MAX_MB and KMI_TRACE_BACKUPS
    pub trace_files: FileLimit,
    /// KMI_TRACE_PROMPTS
    pub trace_prompts: bool,
    /// KMI_LOG_MAX_MB and KMI_LOG_BACKUPS
    pub log_files: FileLimit,
    /// KMI_LOG_LEVEL, a tracing filter
    pub log_level: String,
    /// KMI_TIMEZONE
    pub timezone: jiff::tz::TimeZone,
    /// KMI_LOCALE
    pub locale: Locale,
    /// KMI_PLAIN
    pub plain: bool,
    /// KMI_NO_COLOR, NO_COLOR, TERM=dumb
    pub no_color: bool,
    /// KMI_ENFORCE_FILE_PERMS
    pub enforce_file_perms: bool,
    /// KMI_AUDIT_ACTOR
    pub audit_actor: String,
    /// `HTTPS_PROXY` / `https_proxy` (may carry a password)
    pub https_proxy: Option<Secret>,
    /// `NO_PROXY` / `no_proxy`
    pub no_proxy: Option<String>,
}

impl Settings {
    /// Whether connections from this address to a listener of this exposure stand for many clients, so that what one of
    /// them does wrong must not keep the others out.
    #[must_use]
    pub fn is_shared(&self, exposure: Exposure, address: std::net::IpAddr) -> bool {
        let is_terminator = || self.proxy_terminators.contains(&address.to_canonical());
        exposure.is_shared(address) || (exposure == Exposure::Terminated && is_terminator())
    }

    /// How a listener on this address may be reached, under these settings.
    #[must_use]
    pub fn exposure(&self, bound: std::net::IpAddr) -> Exposure {
        match bound.to_canonical().is_loopback() {
            _ if self.proxy_tls_terminated && self.proxy_tls.is_none() => Exposure::Terminated,
            true => Exposure::Loopback,
            false => Exposure::Open,
        }
    }
}

/// The settings that `kmi` reads: a bad setting of the daemon's must not keep `kmi` from saying so.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// The settings file in use, if any.
    pub env_file: Option<PathBuf>,
    /// KMI_STATE_DIR
    pub state_dir: PathBuf,
    /// KMI_SOCKET: a path, or on Windows a pipe's name
    pub socket: PathBuf,
    /// KMI_NO_AUTOSTART
    pub no_autostart: bool,
    /// KMI_KIMI_BIN
    pub kimi_bin: Option<PathBuf>,
    /// KMI_TIMEZONE
    pub timezone: jiff::tz::TimeZone,
    /// KMI_LOCALE
    pub locale: Locale,
    /// KMI_PLAIN
    pub plain: bool,
    /// KMI_NO_COLOR, NO_COLOR, TERM=dumb
    pub no_color: bool,
    /// KMI_AUDIT_ACTOR
    pub audit_actor: String,
}

/// What `kmi` has to know of the daemon's settings to be a client of its proxy.
#[derive(Debug, Clone)]
pub struct ProxyAccess {
    /// KMI_PROXY_TOKEN, or the first of KMI_PROXY_TOKENS
    pub token: Option<Secret>,
    /// Which of the two it is, and where that was set.
    pub token_place: Option<(&'static str, Said)>,
    /// KMI_AUTO_ROTATE_E2E
    pub auto_rotate_e2e: bool,
}

/// The HTTP version spoken to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// HTTP/1.1 with a connection pool
    Http1,
    /// HTTP/2
    Http2,
    /// What ALPN chooses
    Auto,
}

impl std::fmt::Display for UpstreamHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            UpstreamHttp::Http1 => "1.1",
            UpstreamHttp::Http2 => "2",
            UpstreamHttp::Auto => "auto",
        })
    }
}

/// An address to listen on; the host is an IP address or `localhost`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddr {
    /// IP address (IPv6 without brackets), or a name that resolves to one
    pub host: String,
    /// 0 = any free
    pub port: u16,
}

impl std::fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl ListenAddr {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// PEM files of the proxy's own TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// KMI_PROXY_TLS_CERT
    pub cert: PathBuf,
    /// KMI_PROXY_TLS_KEY
    pub key: PathBuf,
}

/// Requests allowed a second and a minute; `None` (0) = no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// a second
    pub per_second: Option<u32>,
    /// a minute
    pub per_minute: Option<u32>,
}

/// How large a log or trace file grows and how many old ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// bytes
    pub max_bytes: u64,
    /// old files kept
    pub backups: u32,
}

/// The language of what kmi says; kmid says English.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locale {
    /// English
    #[default]
    En,
    /// Russian
    Ru,
}

impl std::fmt::Display for Locale {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Locale::En => "en",
            Locale::Ru => "ru",
        })
    }
}
