//! What `kmi` itself needs to know before it talks to the daemon, by the resolver that both programs share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kmid_config::env;
use kmid_config::issue::BadSettings;
use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use kmid_config::resolve::resolve_access;
use kmid_config::settings::{ClientSettings, Locale, ProxyAccess};
use kmid_config::show::Row;

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

/// Resolves the settings; `socket` is the flag that beats `KMI_SOCKET`. Only a command that reads the folder it was
/// typed in says so by `in_folder`.
pub(crate) fn load(socket: Option<&Path>, in_folder: bool) -> Loaded {
    let outside = Outside::capture();
    let launch = Launch {
        flags: socket.map(|path| (env::SOCKET.name, path.as_os_str().to_owned())).into_iter().collect(),
        folder: outside.cwd.clone().filter(|_| in_folder),
        found_env_file: None,
    };
    let texts = |issues: &[kmid_config::issue::Issue], errors: bool| {
        issues.iter().filter(|issue| issue.error == errors).map(ToString::to_string).collect()
    };
    match load::load_client(&launch, &outside) {
        Ok(loaded) => {
            Loaded { settings: loaded.settings, errors: Vec::new(), warnings: texts(&loaded.warnings, false) }
        }
        Err(bad) => Loaded {
            errors: texts(&bad.issues, true),
            warnings: texts(&bad.issues, false),
            settings: without_wrong_ones(&launch, outside, &bad),
        },
    }
}

/// The settings as far as they can be used, so that what is wrong is told in the person's language.
fn without_wrong_ones(launch: &Launch, mut outside: Outside, bad: &BadSettings) -> ClientSettings {
    for issue in &bad.issues {
        outside.vars.remove(&issue.subject);
    }
    let defaults = Outside { vars: BTreeMap::new(), ..outside.clone() };
    [outside, defaults]
        .iter()
        .find_map(|outside| Some(load::load_client(launch, outside).ok()?.settings))
        .unwrap_or_else(nothing_known)
}

/// For a person without a home: enough to show an error with.
fn nothing_known() -> ClientSettings {
    ClientSettings {
        env_file: None,
        state_dir: PathBuf::from(".kmi"),
        socket: PathBuf::from(".kmi/kmid.sock"),
        no_autostart: true,
        kimi_bin: None,
        timezone: jiff::tz::TimeZone::system(),
        locale: Locale::En,
        plain: false,
        no_color: false,
        audit_actor: String::new(),
    }
}

/// The daemon's settings as they would be resolved from here.
#[derive(Debug, Default)]
pub(crate) struct DaemonSettings {
    /// Every variable, its value (of a secret only whether it is set) and its source; none when something is wrong.
    pub(crate) rows: Vec<Row>,
    /// Directories of which the first that exists holds the keys.
    pub(crate) key_folders: Vec<PathBuf>,
    /// What is wrong.
    pub(crate) errors: Vec<String>,
    /// What to know besides.
    pub(crate) warnings: Vec<String>,
}

/// Judges everything that a daemon started on demand would read; `env_file` is the settings file of one that runs.
pub(crate) fn of_daemon(env_file: Option<&str>) -> DaemonSettings {
    let launch = Launch { found_env_file: env_file.map(PathBuf::from), ..Launch::default() };
    let texts = |issues: &[kmid_config::issue::Issue], errors: bool| {
        issues.iter().filter(|issue| issue.error == errors).map(ToString::to_string).collect()
    };
    match load::load(&launch, &Outside::capture()) {
        Ok(loaded) => DaemonSettings {
            rows: loaded.explain(),
            warnings: texts(&loaded.warnings, false),
            errors: Vec::new(),
            key_folders: loaded.auths_candidates,
        },
        Err(bad) => DaemonSettings {
            errors: texts(&bad.issues, true),
            warnings: texts(&bad.issues, false),
            ..DaemonSettings::default()
        },
    }
}

/// What to know as a client of the proxy. The daemon may have been started in another folder: its settings file
/// stands for the one that would be found from here.
pub(crate) fn access(daemon_env_file: Option<&str>) -> ProxyAccess {
    let launch = Launch { found_env_file: daemon_env_file.map(PathBuf::from), ..Launch::default() };
    match load::load_client(&launch, &Outside::capture()) {
        Ok(loaded) => resolve_access(&loaded.raw),
        Err(_) => ProxyAccess { token: None, auto_rotate_e2e: true },
    }
}

/// The key directory that a daemon started now by `kmi` would take; the first candidate when none exists yet.
pub(crate) fn auths_dir() -> Option<PathBuf> {
    let candidates = load::load_client(&Launch::default(), &Outside::capture()).ok()?.auths_candidates;
    candidates.iter().find(|dir| dir.is_dir()).or(candidates.first()).cloned()
}
