//! One documented entry a variable: its name, its default, what it means, who reads it and when a change counts.
//!
//! The doc comment of an entry is also the line that `.env.example` carries; a test holds the two equal.
//! A new setting enters here, in `settings.rs`, in `resolve.rs` and in `.env.example` together.

use crate::settings::Settings;
use crate::show::{addresses, flag, megabytes, optional_path, path, rate, seconds, set, zone};

/// A `KMI_` variable.
#[derive(Debug)]
pub struct Variable {
    /// `KMI_...`
    pub name: &'static str,
    /// The default as it would be written; empty = none, or computed as `meaning` says.
    pub default: &'static str,
    /// One line for people.
    pub meaning: &'static str,
    /// The heading under which it stands.
    pub group: &'static str,
    /// Whether `kmi` reads it too.
    pub client: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// When a changed value counts.
    pub takes_effect: TakesEffect,
    pub(crate) show: fn(&Settings) -> String,
}

/// When a changed setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the reload: `now` in the table.
    Now,
    /// It is bound, opened or built once at start, so a restart is needed: `restart` in the table.
    Restart,
    /// Only `kmi` reads it, anew with each command: `kmi` in the table.
    NextCommand,
}

impl Variable {
    const fn new(
        name: &'static str,
        default: &'static str,
        meaning: &'static str,
        group: &'static str,
        takes_effect: TakesEffect,
        show: fn(&Settings) -> String,
    ) -> Self {
        Self { name, default, meaning, group, client: false, secret: false, takes_effect, show }
    }

    const fn client(self) -> Self {
        Self { client: true, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// The entry of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Variable> {
    ALL.iter().copied().find(|variable| variable.name == name)
}

/// The word of the table for when a changed value counts.
macro_rules! effect {
    (now) => {
        TakesEffect::Now
    };
    (restart) => {
        TakesEffect::Restart
    };
    (kmi) => {
        TakesEffect::NextCommand
    };
}

/// Per entry: meaning, name = default, when a change counts, marks, and how the resolved value is shown.
macro_rules! variables {
    ($($group:literal { $( #[doc = $meaning:literal] $name:ident = $default:literal $effect:ident $($mark:ident)*, $show:expr; )+ })+) => {
        $($(
            #[doc = $meaning]
            pub static $name: Variable =
                Variable::new(concat!("KMI_", stringify!($name)), $default, $meaning.trim_ascii(), $group, effect!($effect), $show)
                    $(.$mark())*;
        )+)+

        /// Every variable, in the order in which people read them.
        pub static ALL: &[&Variable] = &[$($(&$name,)+)+];
    };
}

variables! {
    "Where things are" {
        /// Settings file to use instead of a .env found by default; it beats the process environment (environment or flag only)
        ENV_PATH = "" restart client, |s| optional_path(s.env_file.as_ref());
        /// State, logs, traces and the control socket (environment, flag or a file that KMI_ENV_PATH names only)
        STATE_DIR = "~/.kmi" restart client, |s| path(&s.state_dir);
        /// Control socket; empty = kmid.sock in the state directory, on Windows a pipe named for the user (counts where KMI_STATE_DIR does)
        SOCKET = "" restart client, |s| path(&s.socket);
        /// Key files; empty = the first that exists of ./_auths, _auths in the state directory, ~/.kimi/_auths (in a found .env only a folder below its own)
        AUTHS_DIR = "" now, |s| optional_path(s.auths_dir.as_ref());
    }
    "What may happen" {
        /// 1 = no real request leaves this machine: the embedded simulator answers
        DRY_RUN = "1" restart, |s| flag(s.dry_run);
        /// 1 = rotation may write the chosen key into the Kimi clients' config files (never in dry-run)
        WRITE_CONFIG = "1" now, |s| flag(s.write_config);
        /// 1 = failover to another key, and round robin with `kmi rotate auto`; 0 = only `kmi rotate` switches
        AUTO_ROTATE_ALLOWED = "0" now, |s| flag(s.auto_rotate_allowed);
        /// 1 = kmi never starts the daemon by itself
        NO_AUTOSTART = "0" kmi client, |s| flag(s.no_autostart);
        /// Program that `kmi kimi` runs; empty = the first kimi on PATH
        KIMI_BIN = "" kmi client, |s| optional_path(s.kimi_bin.as_ref());
    }
    "Rotation" {
        /// 1 = `kmi rotate auto` checks the distribution afterwards
        AUTO_ROTATE_E2E = "1" kmi, |s| flag(s.auto_rotate_e2e);
        /// 1 = manual rotation moves on when the current key only ties for best
        ROTATE_ON_TIE = "1" now, |s| flag(s.rotate_on_tie);
        /// 1 = automatic rotation also uses keys in state warn
        ROTATE_INCLUDE_WARN = "0" now, |s| flag(s.rotate_include_warn);
        /// Which key is taken: round-robin, most-left, or drain (what would expire unused first)
        ROTATE_POLICY = "round-robin" now, |s| s.rotate_policy.name().to_owned();
        /// 1 = a session stays with its key while that key can serve it
        SESSION_AFFINITY = "1" now, |s| flag(s.session_affinity);
        /// Longest cooldown when nothing better is known (no Retry-After, no reset time)
        ROTATION_COOLDOWN_SECONDS = "300" now, |s| s.rotation_cooldown.as_secs().to_string();
        /// How long a payment or membership refusal blocks; 0 = until cleared by hand or a recheck succeeds
        PAYMENT_BLOCK_SECONDS = "3600" now, |s| seconds(s.payment_block);
    }
    "Quota" {
        /// 1 = only keys with a good cached quota reading serve
        REQUIRE_USAGE_BEFORE_REQUEST = "0" now, |s| flag(s.require_usage_before_request);
        /// 1 = while no reading exists yet, do not refuse
        FAIL_OPEN_ON_EMPTY_CACHE = "1" now, |s| flag(s.fail_open_on_empty_cache);
        /// Seconds between background quota refreshes; 0 = off
        USAGE_CACHE_SECONDS = "600" now, |s| seconds(s.usage_cache);
        /// Seconds between rechecks of blocked keys; 0 = off
        BLOCKLIST_RECHECK_SECONDS = "3600" now, |s| seconds(s.blocklist_recheck);
        /// Blocked keys rechecked at most in one pass
        BLOCKLIST_RECHECK_MAX = "3" now, |s| s.blocklist_recheck_max.to_string();
    }
    "Upstream" {
        /// Default upstream, https only; a key file may name its own
        UPSTREAM_BASE_URL = "https://api.kimi.com/coding/v1" now, |s| s.upstream_base_url.to_string();
        /// HTTP version towards the upstream: 1.1, 2 or auto (by ALPN)
        UPSTREAM_HTTP = "1.1" restart, |s| s.upstream_http.to_string();
        /// Comma-separated hosts that keys may be sent to, *.domain allowed; empty = any https host
        UPSTREAM_ALLOWLIST = "" now, |s| s.upstream_allowlist.0.join(",");
    }
    "Proxy" {
        /// host:port to listen on; port 0 = any free
        PROXY_LISTEN = "127.0.0.1:54123" restart, |s| s.proxy_listen.to_string();
        /// What stands for the upstream base path
        PROXY_BASE_PATH = "/kmi-rotor/v1" now,
            |s| if s.proxy_base_path.is_empty() { "/".to_owned() } else { s.proxy_base_path.clone() };
        /// 1 = allow a listen address that other machines can reach; then a token and TLS are required
        PROXY_ALLOW_REMOTE = "0" restart, |s| flag(s.proxy_allow_remote);
        /// Clients must present it (Authorization: Bearer, x-api-key or x-kmi-proxy-token), also on loopback
        PROXY_TOKEN = "" now secret, |s| set(s.proxy_tokens.unnamed.is_some());
        /// Further tokens with names, laptop:TOKEN,desktop:TOKEN; traces and usage say whose request it was
        PROXY_TOKENS = "" now secret, |s| set(!s.proxy_tokens.named.is_empty());
        /// PEM file with the proxy's own certificate chain; needs KMI_PROXY_TLS_KEY; read anew when it changes
        PROXY_TLS_CERT = "" restart, |s| optional_path(s.proxy_tls.as_ref().map(|tls| &tls.cert));
        /// PEM file with the private key of the certificate
        PROXY_TLS_KEY = "" restart, |s| optional_path(s.proxy_tls.as_ref().map(|tls| &tls.key));
        /// 1 = TLS ends in front of the proxy: only this machine and private networks may connect to it, with a token
        PROXY_TLS_TERMINATED = "0" restart, |s| flag(s.proxy_tls_terminated);
        /// IP addresses of other machines that end TLS in front, with commas; each stands for many clients
        PROXY_TERMINATORS = "" now, |s| addresses(&s.proxy_terminators);
        /// 0 = a remote listener without TLS, at your own risk
        PROXY_REQUIRE_TLS = "1" restart, |s| flag(s.proxy_require_tls);
    }
    "Metrics" {
        /// host:port for GET /metrics (OpenMetrics text); empty = off; beyond loopback only with the proxy's remote rules
        METRICS_LISTEN = "" restart, |s| s.metrics_listen.as_ref().map(ToString::to_string).unwrap_or_default();
    }
    "Proxy limits" {
        /// Requests a second over all; 0 = no limit
        PROXY_MAX_RPS = "0" now, |s| rate(s.proxy_limit.per_second);
        /// Requests a minute over all; 0 = no limit
        PROXY_MAX_RPM = "0" now, |s| rate(s.proxy_limit.per_minute);
        /// Requests a second and key; 0 = no limit
        PROXY_MAX_RPS_PER_KEY = "0" now, |s| rate(s.proxy_limit_per_key.per_second);
        /// Requests a minute and key; 0 = no limit
        PROXY_MAX_RPM_PER_KEY = "0" now, |s| rate(s.proxy_limit_per_key.per_minute);
        /// Further attempts after an upstream's failure (5xx, overload, connect)
        PROXY_RETRY_MAX = "0" now, |s| s.proxy_retry_max.to_string();
        /// First backoff in milliseconds, doubling, full jitter
        PROXY_RETRY_BASE_MS = "250" now, |s| s.proxy_retry_base.as_millis().to_string();
        /// Further attempts on other keys after a key's or account's failure, when switching is allowed
        PROXY_FAILOVER_MAX = "3" now, |s| s.proxy_failover_max.to_string();
        /// Requests that may wait for a key at a time; 0 = none waits
        QUEUE_MAX = "256" now, |s| s.queue_max.to_string();
        /// How long a request waits for a key that is only full or paused for a moment; 0 = it is refused at once
        QUEUE_MAX_WAIT_SECONDS = "30" now, |s| s.queue_max_wait.as_secs().to_string();
        /// Request bodies up to this many MiB are collected and can be replayed; larger ones pass with one attempt
        PROXY_REPLAY_MB = "16" now, |s| megabytes(s.proxy_replay);
        /// MiB that all collected request bodies may use together
        PROXY_REPLAY_TOTAL_MB = "256" now, |s| megabytes(s.proxy_replay_total);
        /// Longest wait for a connection to the upstream
        PROXY_CONNECT_TIMEOUT_SECONDS = "10" now, |s| s.proxy_connect_timeout.as_secs().to_string();
        /// Longest silence of the upstream, before the first byte and between bytes
        PROXY_IDLE_TIMEOUT_SECONDS = "600" now, |s| s.proxy_idle_timeout.as_secs().to_string();
        /// How long a stop waits for requests in flight
        PROXY_DRAIN_SECONDS = "30" now, |s| s.proxy_drain.as_secs().to_string();
    }
    "Connections" {
        /// Connections of clients at a time; more wait. Fewer where the system allows too few open files
        PROXY_MAX_CONNECTIONS = "4096" restart, |s| s.proxy_max_connections.to_string();
        /// Of these for one address beyond this machine, or one IPv6 /64; not counted when TLS ends in front
        PROXY_MAX_CONNECTIONS_PER_PEER = "256" now, |s| s.proxy_max_connections_per_peer.to_string();
        /// A client has so long for the head of a request, from its connection or its last answer on, and for TLS
        PROXY_HEADER_SECONDS = "30" now, |s| s.proxy_header_time.as_secs().to_string();
        /// Header fields of a request at most
        PROXY_MAX_HEADERS = "100" now, |s| s.proxy_max_headers.to_string();
        /// KiB of a request's head at most
        PROXY_MAX_HEADER_KB = "64" now, |s| (s.proxy_max_header >> 10).to_string();
        /// MiB of a request's body at most; 0 = no limit
        PROXY_MAX_BODY_MB = "1024" now, |s| (s.proxy_max_body.unwrap_or(0) >> 20).to_string();
        /// Longest pause of a client of another machine inside a body or while it takes an answer; then it is cut off
        PROXY_CLIENT_IDLE_SECONDS = "120" now, |s| s.proxy_client_idle.as_secs().to_string();
        /// Requests at a time on one HTTP/2 connection
        PROXY_MAX_STREAMS = "100" now, |s| s.proxy_max_streams.to_string();
    }
    "Traces and logs" {
        /// Size in MiB at which the trace file is rotated
        TRACE_MAX_MB = "5" now, |s| (s.trace_files.max_bytes >> 20).to_string();
        /// Old trace files kept
        TRACE_BACKUPS = "3" now, |s| s.trace_files.backups.to_string();
        /// 1 = keep the first words of the prompt in the trace
        TRACE_PROMPTS = "0" now, |s| flag(s.trace_prompts);
        /// Size in MiB at which a log is rotated
        LOG_MAX_MB = "5" now, |s| (s.log_files.max_bytes >> 20).to_string();
        /// Old files kept of each log
        LOG_BACKUPS = "3" now, |s| s.log_files.backups.to_string();
        /// error, warn, info, debug, trace, or a tracing filter
        LOG_LEVEL = "info" now, |s| s.log_level.clone();
    }
    "What people see" {
        /// local, UTC, an offset such as +03:00 or an IANA name, for times shown and written
        TIMEZONE = "local" now client, |s| zone(&s.timezone);
        /// system, en or ru: what kmi says (not kmid); system is what LC_ALL, LC_MESSAGES or LANG names, or else en
        LOCALE = "system" kmi client, |s| s.locale.to_string();
        /// 1 = no boxes and no colours
        PLAIN = "0" kmi client, |s| flag(s.plain);
        /// 1 = no colours; NO_COLOR, TERM=dumb and a non-terminal count too
        NO_COLOR = "0" kmi client, |s| flag(s.no_color);
    }
    "Files and audit" {
        /// 1 = tighten directories to 700 and files to 600 on POSIX; 0 = only warn
        ENFORCE_FILE_PERMS = "1" now, |s| flag(s.enforce_file_perms);
        /// Who is written into audit events; empty = the user's name
        AUDIT_ACTOR = "" now client, |s| s.audit_actor.clone();
    }
}
