//! Pure resolution: raw values with their sources go in, settings and every issue at once come out.

mod checks;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use kmid_core::door::Tokens;
use kmid_core::key::Secret;
use kmid_core::said::Said;
use kmid_core::say;

use self::checks::cross_checks;
pub use self::values::{RawValues, Source};
use crate::env::{self, Variable};
use crate::issue::Issue;
use crate::parse::{self, Parsed};
use crate::paths;
use crate::pipe;
use crate::settings::{ClientSettings, FileLimit, Locale, ProxyAccess, RateLimit, Settings, TlsFiles};

/// What is known of the machine and the person, besides `KMI_` variables.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Stands for `~`.
    pub home: Option<PathBuf>,
    /// Relative paths of flags and the environment start here; those in a file start at the file's folder.
    pub cwd: Option<PathBuf>,
    /// The user's name.
    pub user: String,
    /// What `local` means.
    pub local_zone: TimeZone,
    /// The language of the system, as far as kmi speaks it.
    pub system_locale: Locale,
    /// `NO_COLOR` is set and not empty, or the terminal is a dumb one.
    pub no_color: bool,
    /// `HTTPS_PROXY` or `https_proxy`
    pub https_proxy: Option<Secret>,
    /// `NO_PROXY` or `no_proxy`
    pub no_proxy: Option<String>,
    /// The settings file in use.
    pub env_file: Option<PathBuf>,
    /// The key directory that exists, for when nobody names one.
    pub found_auths_dir: Option<PathBuf>,
}

/// Resolves everything that `kmid` reads. `None` when an issue is an error.
#[must_use]
pub fn resolve(raw: &RawValues, facts: &Facts) -> (Option<Settings>, Vec<Issue>) {
    let mut reader = Reader::new(raw, facts);
    let settings = reader.settings();
    cross_checks(&mut reader, &settings);
    reader.finish(settings)
}

/// Resolves only what `kmi` reads; settings of the daemon's are not even looked at.
#[must_use]
pub fn resolve_client(raw: &RawValues, facts: &Facts) -> (Option<ClientSettings>, Vec<Issue>) {
    let mut reader = Reader::new(raw, facts);
    let client = reader.client();
    reader.finish(client)
}

/// Resolves what `kmi` needs as a client of the proxy. A value that is wrong counts as unset: it is the daemon's to
/// report.
#[must_use]
pub fn resolve_access(raw: &RawValues) -> ProxyAccess {
    let text = |variable: &'static Variable| raw.get(variable).map_or(variable.default, |raw| &raw.text);
    let tokens = Tokens {
        unnamed: parse::token(text(&env::PROXY_TOKEN)).unwrap_or_default(),
        named: parse::named_tokens(text(&env::PROXY_TOKENS)).unwrap_or_default(),
    };
    let variable = if tokens.unnamed.is_some() { &env::PROXY_TOKEN } else { &env::PROXY_TOKENS };
    ProxyAccess {
        token: tokens.own().cloned(),
        token_place: (!tokens.is_empty()).then(|| (variable.name, raw.source(variable).said())),
        auto_rotate_e2e: parse::boolean(text(&env::AUTO_ROTATE_E2E)).unwrap_or(true),
    }
}

/// The path a variable names, as the resolver would read it; `None` when nobody set it or it is not a path.
pub(crate) fn named_path(raw: &RawValues, facts: &Facts, variable: &'static Variable) -> Option<PathBuf> {
    Reader::new(raw, facts).optional_path(variable)
}

struct Reader<'a> {
    raw: &'a RawValues,
    facts: &'a Facts,
    issues: Vec<Issue>,
}

impl<'a> Reader<'a> {
    fn new(raw: &'a RawValues, facts: &'a Facts) -> Self {
        Self { raw, facts, issues: Vec::new() }
    }

    fn finish<T>(self, settings: T) -> (Option<T>, Vec<Issue>) {
        let failed = self.issues.iter().any(|issue| issue.error);
        ((!failed).then_some(settings), self.issues)
    }

    /// The parsed value, or the default with an issue noted.
    fn get<T>(&mut self, variable: &'static Variable, parse: impl Fn(&str) -> Parsed<T>) -> T {
        if let Some(raw) = self.raw.get(variable) {
            match parse(&raw.text) {
                Ok(value) => return value,
                Err(allowed) => self.refuse(variable, &allowed),
            }
        }
        match parse(variable.default) {
            Ok(value) => value,
            Err(_) => unreachable!("the table's own defaults parse; a test holds that"),
        }
    }

    /// Notes what was wrong and what is allowed; a secret's value is not shown.
    fn refuse(&mut self, variable: &Variable, allowed: &Said) {
        let raw = self.raw.get(variable);
        let message = match raw {
            // a URL may carry a password
            Some(raw) if !variable.secret && !raw.text.contains("://") => {
                say!(value_not_allowed, value = shortened(&raw.text), allowed = allowed)
            }
            _ => say!(hidden_value_not_allowed, allowed = allowed),
        };
        let source = raw.map(|raw| raw.source.clone());
        self.issues.push(Issue::error(variable.name, message, source));
    }

    fn flag(&mut self, variable: &'static Variable) -> bool {
        self.get(variable, parse::boolean)
    }

    fn whole(&mut self, variable: &'static Variable, low: u32, high: u32) -> u32 {
        let value = self.get(variable, parse::whole(low.into(), high.into()));
        u32::try_from(value).unwrap_or(high)
    }

    fn seconds(&mut self, variable: &'static Variable, low: u32, high: u32) -> Duration {
        Duration::from_secs(self.whole(variable, low, high).into())
    }

    /// Seconds where 0 means none.
    fn optional_seconds(&mut self, variable: &'static Variable, high: u32) -> Option<Duration> {
        Some(self.seconds(variable, 0, high)).filter(|duration| !duration.is_zero())
    }

    fn rates(&mut self, second: &'static Variable, minute: &'static Variable) -> RateLimit {
        let mut rate = |variable| Some(self.whole(variable, 0, 1_000_000)).filter(|limit| *limit > 0);
        RateLimit { per_second: rate(second), per_minute: rate(minute) }
    }

    fn files(&mut self, size: &'static Variable, backups: &'static Variable) -> FileLimit {
        let max_bytes = u64::from(self.whole(size, 1, 10_240)) << 20;
        FileLimit { max_bytes, backups: self.whole(backups, 0, 100) }
    }

    fn mebibytes(&mut self, variable: &'static Variable, high: u32) -> usize {
        usize::try_from(u64::from(self.whole(variable, 0, high)) << 20).unwrap_or(usize::MAX)
    }

    fn optional_path(&mut self, variable: &'static Variable) -> Option<PathBuf> {
        let raw = self.raw.get(variable)?;
        let base = match &raw.source {
            Source::EnvFile(file) | Source::FoundEnvFile(file) => file.parent(),
            Source::Flag | Source::Environment | Source::Default => self.facts.cwd.as_deref(),
        };
        match paths::expand(&raw.text, base, self.facts.home.as_deref()) {
            Ok(path) => Some(path),
            Err(allowed) => {
                self.refuse(variable, &allowed);
                None
            }
        }
    }

    fn state_dir(&mut self) -> PathBuf {
        if self.raw.get(&env::STATE_DIR).is_some() {
            return self.optional_path(&env::STATE_DIR).unwrap_or_default();
        }
        paths::expand(env::STATE_DIR.default, None, self.facts.home.as_deref()).unwrap_or_else(|why| {
            self.refuse(&env::STATE_DIR, &why);
            PathBuf::new()
        })
    }

    fn socket(&mut self, state_dir: &Path) -> PathBuf {
        let socket = match self.raw.get(&env::SOCKET) {
            Some(raw) if cfg!(windows) => PathBuf::from(pipe::named(&raw.text)),
            Some(_) => self.optional_path(&env::SOCKET).unwrap_or_default(),
            None if cfg!(windows) => {
                PathBuf::from(pipe::default(&self.facts.user, self.facts.home.as_deref(), state_dir))
            }
            None => state_dir.join("kmid.sock"),
        };
        let length = socket.as_os_str().len();
        if !cfg!(windows) && length > LONGEST_SOCKET {
            let message = say!(socket_path_too_long, length = length, most = LONGEST_SOCKET);
            self.issues.push(Issue::error(
                env::SOCKET.name,
                message,
                Some(self.raw.source(&env::SOCKET).clone()),
            ));
        }
        socket
    }

    fn client(&mut self) -> ClientSettings {
        let state_dir = self.state_dir();
        let actor = self.get(&env::AUDIT_ACTOR, parse::name);
        ClientSettings {
            env_file: self.facts.env_file.clone(),
            socket: self.socket(&state_dir),
            state_dir,
            no_autostart: self.flag(&env::NO_AUTOSTART),
            kimi_bin: self.optional_path(&env::KIMI_BIN),
            timezone: self.get(&env::TIMEZONE, parse::timezone(&self.facts.local_zone)),
            locale: self.get(&env::LOCALE, parse::locale(self.facts.system_locale)),
            plain: self.flag(&env::PLAIN),
            no_color: self.flag(&env::NO_COLOR) || self.facts.no_color,
            audit_actor: if actor.is_empty() { self.facts.user.clone() } else { actor },
        }
    }

    fn settings(&mut self) -> Settings {
        let ClientSettings {
            env_file,
            state_dir,
            socket,
            no_autostart,
            kimi_bin,
            timezone,
            locale,
            plain,
            no_color,
            audit_actor,
        } = self.client();
        Settings {
            env_file,
            state_dir,
            socket,
            auths_dir: match self.raw.get(&env::AUTHS_DIR) {
                Some(_) => self.optional_path(&env::AUTHS_DIR),
                None => self.facts.found_auths_dir.clone(),
            },
            dry_run: self.flag(&env::DRY_RUN),
            write_config: self.flag(&env::WRITE_CONFIG),
            auto_rotate_allowed: self.flag(&env::AUTO_ROTATE_ALLOWED),
            no_autostart,
            kimi_bin,
            auto_rotate_e2e: self.flag(&env::AUTO_ROTATE_E2E),
            rotate_on_tie: self.flag(&env::ROTATE_ON_TIE),
            rotate_include_warn: self.flag(&env::ROTATE_INCLUDE_WARN),
            rotate_policy: self.get(&env::ROTATE_POLICY, parse::rotate_policy),
            session_affinity: self.flag(&env::SESSION_AFFINITY),
            rotation_cooldown: self.seconds(&env::ROTATION_COOLDOWN_SECONDS, 1, MONTH),
            payment_block: self.optional_seconds(&env::PAYMENT_BLOCK_SECONDS, YEAR),
            require_usage_before_request: self.flag(&env::REQUIRE_USAGE_BEFORE_REQUEST),
            fail_open_on_empty_cache: self.flag(&env::FAIL_OPEN_ON_EMPTY_CACHE),
            usage_cache: self.optional_seconds(&env::USAGE_CACHE_SECONDS, MONTH),
            blocklist_recheck: self.optional_seconds(&env::BLOCKLIST_RECHECK_SECONDS, MONTH),
            blocklist_recheck_max: self.whole(&env::BLOCKLIST_RECHECK_MAX, 0, 1000) as usize,
            upstream_base_url: self.get(&env::UPSTREAM_BASE_URL, parse::base_url),
            upstream_http: self.get(&env::UPSTREAM_HTTP, parse::upstream_http),
            upstream_allowlist: self.get(&env::UPSTREAM_ALLOWLIST, parse::allowlist),
            proxy_listen: self.get(&env::PROXY_LISTEN, parse::listen_addr),
            proxy_base_path: self.get(&env::PROXY_BASE_PATH, parse::base_path),
            proxy_allow_remote: self.flag(&env::PROXY_ALLOW_REMOTE),
            proxy_tokens: self.tokens(),
            proxy_tls: self.tls(),
            proxy_tls_terminated: self.flag(&env::PROXY_TLS_TERMINATED),
            proxy_terminators: self.get(&env::PROXY_TERMINATORS, parse::addresses),
            proxy_require_tls: self.flag(&env::PROXY_REQUIRE_TLS),
            metrics_listen: self.get(&env::METRICS_LISTEN, parse::optional_listen_addr),
            proxy_limit: self.rates(&env::PROXY_MAX_RPS, &env::PROXY_MAX_RPM),
            proxy_limit_per_key: self.rates(&env::PROXY_MAX_RPS_PER_KEY, &env::PROXY_MAX_RPM_PER_KEY),
            proxy_retry_max: self.whole(&env::PROXY_RETRY_MAX, 0, 20),
            proxy_retry_base: Duration::from_millis(self.whole(&env::PROXY_RETRY_BASE_MS, 0, 60_000).into()),
            proxy_failover_max: self.whole(&env::PROXY_FAILOVER_MAX, 0, 100),
            queue_max: self.whole(&env::QUEUE_MAX, 0, 100_000) as usize,
            // kimi-code gives up after 300 s without headers [clients observed, 2026-11].
            queue_max_wait: self.seconds(&env::QUEUE_MAX_WAIT_SECONDS, 0, 300),
            proxy_replay: self.mebibytes(&env::PROXY_REPLAY_MB, 1024),
            proxy_replay_total: self.mebibytes(&env::PROXY_REPLAY_TOTAL_MB, 65_536),
            proxy_connect_timeout: self.seconds(&env::PROXY_CONNECT_TIMEOUT_SECONDS, 1, 600),
            proxy_idle_timeout: self.seconds(&env::PROXY_IDLE_TIMEOUT_SECONDS, 1, 86_400),
            proxy_drain: self.seconds(&env::PROXY_DRAIN_SECONDS, 0, 3600),
            proxy_max_connections: self.whole(&env::PROXY_MAX_CONNECTIONS, 1, 100_000) as usize,
            proxy_max_connections_per_peer: self.whole(&env::PROXY_MAX_CONNECTIONS_PER_PEER, 1, 100_000)
                as usize,
            proxy_header_time: self.seconds(&env::PROXY_HEADER_SECONDS, 1, 3600),
            proxy_max_headers: self.whole(&env::PROXY_MAX_HEADERS, 1, 10_000) as usize,
            proxy_max_header: self.whole(&env::PROXY_MAX_HEADER_KB, 4, 1024) << 10,
            proxy_max_body: Some(u64::from(self.whole(&env::PROXY_MAX_BODY_MB, 0, 1 << 20)) << 20)
                .filter(|most| *most > 0),
            proxy_client_idle: self.seconds(&env::PROXY_CLIENT_IDLE_SECONDS, 1, 86_400),
            proxy_max_streams: self.whole(&env::PROXY_MAX_STREAMS, 1, 10_000),
            trace_files: self.files(&env::TRACE_MAX_MB, &env::TRACE_BACKUPS),
            trace_prompts: self.flag(&env::TRACE_PROMPTS),
            log_files: self.files(&env::LOG_MAX_MB, &env::LOG_BACKUPS),
            log_level: self.get(&env::LOG_LEVEL, parse::log_level),
            timezone,
            locale,
            plain,
            no_color,
            enforce_file_perms: self.flag(&env::ENFORCE_FILE_PERMS),
            audit_actor,
            https_proxy: self.facts.https_proxy.clone(),
            no_proxy: self.facts.no_proxy.clone(),
        }
    }

    fn tokens(&mut self) -> Tokens {
        let tokens = Tokens {
            unnamed: self.get(&env::PROXY_TOKEN, parse::token),
            named: self.get(&env::PROXY_TOKENS, parse::named_tokens),
        };
        if let Some(unnamed) = &tokens.unnamed
            && let Some(twin) =
                tokens.named.iter().find(|token| token.secret.matches(unnamed.expose().as_bytes()))
        {
            let message = say!(token_twice, name = &*twin.name);
            let source = self.raw.source(&env::PROXY_TOKENS).clone();
            self.issues.push(Issue::error(env::PROXY_TOKENS.name, message, Some(source)));
        }
        tokens
    }

    fn tls(&mut self) -> Option<TlsFiles> {
        for (variable, other) in
            [(&env::PROXY_TLS_CERT, &env::PROXY_TLS_KEY), (&env::PROXY_TLS_KEY, &env::PROXY_TLS_CERT)]
        {
            if self.raw.get(variable).is_some() && self.raw.get(other).is_none() {
                let message = say!(needs_the_other, other = other.name);
                let source = self.raw.source(variable).clone();
                self.issues.push(Issue::error(variable.name, message, Some(source)));
            }
        }
        let (cert, key) = (self.optional_path(&env::PROXY_TLS_CERT), self.optional_path(&env::PROXY_TLS_KEY));
        Some(TlsFiles { cert: cert?, key: key? })
    }
}

const MONTH: u32 = 30 * 86_400;
const YEAR: u32 = 365 * 86_400;

/// `sun_path` with its closing zero byte taken off: 108 bytes on Linux, 104 on macOS and the BSDs.
const LONGEST_SOCKET: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// A value for a message: quoted, on one line, not endless.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    let start: String = text.chars().take(LONGEST).collect();
    let dots = if start.len() < text.len() { "..." } else { "" };
    format!("\"{}{dots}\"", start.escape_debug())
}
