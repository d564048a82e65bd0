//! What `kmi` itself needs to know before it talks to the daemon, by the resolver that both programs share.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use kmi_proto::methods::daemon::{DaemonStatus, Status};
use kmid_config::env::{self, TakesEffect};
use kmid_config::issue::{BadSettings, Issue};
use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use kmid_config::resolve::resolve_access;
use kmid_config::settings::{ClientSettings, Locale, ProxyAccess};
use kmid_config::show::Row;
use kmid_config::zone_files;
use kmid_core::said::Said;
use kmid_core::say;

/// Settings with everything that is wrong with them; wrong ones stand at their defaults so that errors can be shown.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What to work with.
    pub(crate) settings: ClientSettings,
    /// What must be corrected first: variable, what is wrong, what is allowed.
    pub(crate) errors: Vec<Said>,
    /// What to know besides.
    pub(crate) warnings: Vec<Said>,
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
    match load::load_client(&launch, &outside) {
        Ok(loaded) => {
            Loaded { settings: loaded.settings, errors: Vec::new(), warnings: lines(&loaded.warnings, false) }
        }
        Err(bad) => Loaded {
            errors: lines(&bad.issues, true),
            warnings: lines(&bad.issues, false),
            settings: without_wrong_ones(&launch, outside, &bad),
        },
    }
}

/// The errors of these, or the rest.
fn lines(issues: &[Issue], errors: bool) -> Vec<Said> {
    issues.iter().filter(|issue| issue.error == errors).map(Issue::line).collect()
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
        timezone: zone_files::local(),
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
    pub(crate) errors: Vec<Said>,
    /// What to know besides.
    pub(crate) warnings: Vec<Said>,
}

/// Judges everything that a daemon started on demand would read; `env_file` is the settings file of one that runs.
pub(crate) fn of_daemon(env_file: Option<&str>) -> DaemonSettings {
    judge(&Launch { found_env_file: env_file.map(PathBuf::from), ..Launch::default() }, &Outside::capture())
}

fn judge(launch: &Launch, outside: &Outside) -> DaemonSettings {
    match load::load(launch, outside) {
        Ok(loaded) => DaemonSettings {
            rows: loaded.explain(),
            warnings: lines(&loaded.warnings, false),
            errors: Vec::new(),
            key_folders: loaded.auths_candidates,
        },
        Err(bad) => DaemonSettings {
            errors: lines(&bad.issues, true),
            warnings: lines(&bad.issues, false),
            key_folders: key_folders(launch, outside.clone(), &bad),
            ..DaemonSettings::default()
        },
    }
}

/// Where the keys lie, as far as that does not hang on what is wrong.
fn key_folders(launch: &Launch, mut outside: Outside, bad: &BadSettings) -> Vec<PathBuf> {
    for issue in &bad.issues {
        outside.vars.remove(&issue.subject);
    }
    load::load_client(launch, &outside).map(|found| found.auths_candidates).unwrap_or_default()
}

/// The settings of a running daemon: its settings file, and its environment in place of this shell's.
pub(crate) fn of_running(daemon: &DaemonStatus) -> DaemonSettings {
    let launch = Launch { found_env_file: daemon.env_file.as_ref().map(PathBuf::from), ..Launch::default() };
    judge(&launch, &with_environment(Outside::capture(), &daemon.environment))
}

fn with_environment(mut outside: Outside, theirs: &BTreeMap<String, Option<String>>) -> Outside {
    // An older daemon does not tell.
    if theirs.is_empty() {
        return outside;
    }
    let ours = std::mem::take(&mut outside.vars);
    outside.vars = ours.iter().filter(|(name, _)| !name.starts_with("KMI_")).map(owned).collect();
    for (name, value) in theirs {
        let value = match value {
            Some(value) => value.into(),
            // Of a secret only that it is set: any value does.
            None => ours.get(name).cloned().unwrap_or_else(|| UNSEEN.into()),
        };
        outside.vars.insert(name.clone(), value);
    }
    outside
}

fn owned((name, value): (&String, &OsString)) -> (String, OsString) {
    (name.clone(), value.clone())
}

/// In place of a secret that kmid has and this shell has not; fits where a token does and where tokens with names do.
const UNSEEN: &str = "kmid:set-in-the-environment-of-kmid";

/// Names of what this shell sets for kmid and the running one has not, or otherwise.
pub(crate) fn not_in_force(daemon: &DaemonStatus) -> Vec<&'static str> {
    differing(&Outside::capture().vars, &daemon.environment)
}

fn differing(
    ours: &BTreeMap<String, OsString>,
    theirs: &BTreeMap<String, Option<String>>,
) -> Vec<&'static str> {
    // An older daemon does not tell.
    if theirs.is_empty() {
        return Vec::new();
    }
    let differs = |variable: &&&env::Variable| {
        let ours = ours.get(variable.name).filter(|value| !value.is_empty());
        let same = |theirs: &Option<String>| match theirs {
            Some(theirs) => ours.is_some_and(|ours| ours == theirs.as_str()),
            None => true,
        };
        ours.is_some() && !theirs.get(variable.name).is_some_and(same)
    };
    let of_kmid = env::ALL.iter().filter(|variable| variable.takes_effect != TakesEffect::NextCommand);
    of_kmid.filter(differs).map(|variable| variable.name).collect()
}

/// What keeps a daemon that is started from here from starting; `in_folder` when it reads the folder as well.
pub(crate) fn obstacles(socket: Option<&Path>, in_folder: bool) -> Vec<Said> {
    let outside = Outside::capture();
    let launch = Launch {
        flags: socket.map(|path| (env::SOCKET.name, path.as_os_str().to_owned())).into_iter().collect(),
        folder: outside.cwd.clone().filter(|_| in_folder),
        found_env_file: None,
    };
    judge(&launch, &outside).errors
}

/// What to know as a client of the proxy. The daemon may have been started in another folder: its settings file
/// stands for the one that would be found from here.
pub(crate) fn access(daemon_env_file: Option<&str>) -> ProxyAccess {
    let launch = Launch { found_env_file: daemon_env_file.map(PathBuf::from), ..Launch::default() };
    match load::load_client(&launch, &Outside::capture()) {
        Ok(loaded) => resolve_access(&loaded.raw),
        Err(_) => ProxyAccess { token: None, token_place: None, auto_rotate_e2e: true },
    }
}

/// The setting that holds the token which the running daemon asks for, and where it stands.
pub(crate) fn token_place(daemon: &DaemonStatus) -> Option<(&'static str, Said)> {
    let in_its_environment = || {
        let names = [env::PROXY_TOKEN.name, env::PROXY_TOKENS.name];
        let name = names.into_iter().find(|name| daemon.environment.contains_key(*name))?;
        Some((name, say!(environment_of_kmid)))
    };
    access(daemon.env_file.as_deref()).token_place.or_else(in_its_environment)
}

/// The same where `kmi` does not see the token itself, because only kmid's environment has it.
pub(crate) fn unseen_token(daemon: &DaemonStatus) -> Option<(&'static str, Said)> {
    if access(daemon.env_file.as_deref()).token.is_some() { None } else { token_place(daemon) }
}

/// Whether a rotation of the running daemon writes the active key into the clients' config files.
pub(crate) fn rotation_writes(status: &Status) -> bool {
    let is_off = |row: &Row| row.name == env::WRITE_CONFIG.name && row.value == "0";
    status.mode == "live" && !of_running(&status.daemon).rows.iter().any(is_off)
}

/// The key directory that a daemon started now by `kmi` would take; the first candidate when none exists yet.
pub(crate) fn auths_dir() -> Option<PathBuf> {
    let candidates = load::load_client(&Launch::default(), &Outside::capture()).ok()?.auths_candidates;
    candidates.iter().find(|dir| dir.is_dir()).or(candidates.first()).cloned()
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
