//! What `kmi` itself needs to know before it talks to the daemon.

use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::output::locale::Locale;

/// The settings of the client.
#[derive(Debug, Clone)]
pub(crate) struct ClientSettings {
    /// KMI_ENV_PATH or the settings file found by default
    pub(crate) env_file: Option<PathBuf>,
    /// KMI_STATE_DIR
    pub(crate) state_dir: PathBuf,
    /// KMI_SOCKET: a path, or on Windows a pipe's name
    pub(crate) socket: PathBuf,
    /// KMI_TIMEZONE
    pub(crate) timezone: TimeZone,
    /// KMI_LOCALE
    pub(crate) locale: Locale,
    /// KMI_PLAIN
    pub(crate) plain: bool,
    /// KMI_NO_COLOR, NO_COLOR
    pub(crate) no_color: bool,
    /// KMI_NO_AUTOSTART
    pub(crate) no_autostart: bool,
    /// KMI_AUTO_ROTATE_E2E
    pub(crate) auto_rotate_e2e: bool,
    /// KMI_PROXY_TOKEN
    pub(crate) proxy_token: Option<kmid_core::key::Secret>,
}

/// Settings with everything that is wrong with them; wrong ones stand at their defaults so that errors can be shown.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What to work with.
    pub(crate) settings: ClientSettings,
    /// What must be corrected first: variable, what is wrong, what is allowed.
    pub(crate) errors: Vec<String>,
    /// What to know besides.
    pub(crate) warnings: Vec<String>,
}

/// Resolves the settings; `socket` is the flag that beats `KMI_SOCKET`.
pub(crate) fn load(socket: Option<PathBuf>) -> Loaded {
    let mut errors = Vec::new();
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let mut flag =
        |name: &str, default: bool| match text(name).as_deref().map(str::to_ascii_lowercase).as_deref() {
            None => default,
            Some("1" | "true" | "yes" | "on") => true,
            Some("0" | "false" | "no" | "off") => false,
            Some(_) => {
                errors.push(format!("{name}: expected 1 or 0"));
                default
            }
        };
    let plain = flag("KMI_PLAIN", false);
    let no_color = flag("KMI_NO_COLOR", false) || text("NO_COLOR").is_some();
    let no_autostart = flag("KMI_NO_AUTOSTART", false);
    let auto_rotate_e2e = flag("KMI_AUTO_ROTATE_E2E", true);
    let home = std::env::home_dir().unwrap_or_default();
    let expand = |value: String| match value.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => PathBuf::from(value),
    };
    let state_dir = text("KMI_STATE_DIR").map_or_else(|| home.join(".kmi"), expand);
    let default_socket = || {
        if cfg!(windows) {
            PathBuf::from(format!(r"\\.\pipe\kmid-{}", text("USERNAME").unwrap_or_default()))
        } else {
            state_dir.join("kmid.sock")
        }
    };
    let socket = socket.or_else(|| text("KMI_SOCKET").map(expand)).unwrap_or_else(default_socket);
    let locale = match text("KMI_LOCALE").as_deref() {
        None | Some("en") => Locale::En,
        Some("ru") => Locale::Ru,
        Some(_) => {
            errors.push("KMI_LOCALE: expected en or ru".to_owned());
            Locale::En
        }
    };
    let timezone = match text("KMI_TIMEZONE").as_deref() {
        None | Some("local") => TimeZone::system(),
        Some("UTC") => TimeZone::UTC,
        Some(name) => TimeZone::get(name).unwrap_or_else(|_| {
            errors.push("KMI_TIMEZONE: expected local, UTC, +03:00 or an IANA name".to_owned());
            TimeZone::system()
        }),
    };
    let settings = ClientSettings {
        env_file: text("KMI_ENV_PATH").map(expand),
        state_dir,
        socket,
        timezone,
        locale,
        plain,
        no_color,
        no_autostart,
        auto_rotate_e2e,
        proxy_token: text("KMI_PROXY_TOKEN").map(|token| kmid_core::key::Secret::new(&token)),
    };
    Loaded { settings, errors, warnings: Vec::new() }
}
