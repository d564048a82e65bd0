//! The only reader of files and environment for settings: finds the settings file and the key directory, collects
//! what each source says, and hands it to the resolver.
//!
//! Everything here blocks (a few small files); on a runtime, call it from a blocking task.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use kmid_core::key::Secret;
use kmid_core::said::Said;
use kmid_core::say;

use crate::env;
use crate::env_file::{self, Unreadable};
use crate::issue::{BadSettings, Issue};
use crate::outside::Outside;
use crate::paths;
use crate::resolve::{self, Facts, RawValues, Source};
use crate::settings::{ClientSettings, Settings};
use crate::show::{self, Row};

/// How a program was started, as far as its settings are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launch {
    /// Values of command-line flags by the variable they stand for, for example `("KMI_SOCKET", ...)`.
    pub flags: Vec<(&'static str, OsString)>,
    /// The folder whose `_auths` and `.env` may be used: that in which a person typed `kmid` or `kmi proxy`.
    /// `None` for a daemon started on demand and for every other command of `kmi`.
    pub folder: Option<PathBuf>,
    /// Where the `.env` found by default was at the first start; a restart looks nowhere else.
    pub found_env_file: Option<PathBuf>,
}

impl Launch {
    /// The flags of `kmid` that say the same as this launch.
    #[must_use]
    pub fn to_args(&self) -> Vec<OsString> {
        let flag = |name: &str| FLAGS.iter().find(|(known, _)| *known == name).map(|(_, flag)| *flag);
        let flags = self.flags.iter().filter_map(|(name, value)| Some((flag(name)?, value.clone())));
        let folder = self.folder.iter().map(|folder| ("--folder", folder.clone().into_os_string()));
        let found =
            self.found_env_file.iter().map(|file| ("--found-env-file", file.clone().into_os_string()));
        flags.chain(folder).chain(found).flat_map(|(name, value)| [OsString::from(name), value]).collect()
    }

    /// The launch that arguments of `kmid` in a service's file mean; what says nothing of settings is passed over.
    #[must_use]
    pub fn from_args<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let mut launch = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let (flag, joined) = arg.split_once('=').map_or((arg, None), |(flag, value)| (flag, Some(value)));
            if let Some((name, _)) = FLAGS.iter().find(|(_, known)| *known == flag)
                && let Some(value) = joined.or_else(|| args.next())
            {
                launch.flags.push((name, value.into()));
            }
        }
        launch
    }
}

/// Variables with the flags of `kmid` that stand for them.
const FLAGS: [(&str, &str); 4] = [
    ("KMI_ENV_PATH", "--env-file"),
    ("KMI_STATE_DIR", "--state-dir"),
    ("KMI_SOCKET", "--socket"),
    ("KMI_AUTHS_DIR", "--auths-dir"),
];

/// Settings with what a caller needs around them.
#[derive(Debug, Clone)]
pub struct Loaded<S> {
    /// The resolved settings.
    pub settings: S,
    /// Warnings only.
    pub warnings: Vec<Issue>,
    /// Where each value came from.
    pub raw: RawValues,
    /// Directories of which the first that exists holds the keys; one when a person named it. To be watched.
    pub auths_candidates: Vec<PathBuf>,
    /// The same paths again, for a restart.
    pub restart: Launch,
}

impl Loaded<Settings> {
    /// For `kmid --check-config`: every variable, its value (a secret's is `set` or `unset`), its source.
    #[must_use]
    pub fn explain(&self) -> Vec<Row> {
        show::explain(&self.settings, &self.raw)
    }
}

/// Loads everything that `kmid` reads.
///
/// # Errors
/// With every issue, when one of them is an error.
pub fn load(launch: &Launch, outside: &Outside) -> Result<Loaded<Settings>, BadSettings> {
    resolve_found(launch, collect(launch, outside, RawValues::default()))
}

fn resolve_found(launch: &Launch, mut found: Found) -> Result<Loaded<Settings>, BadSettings> {
    let (settings, mut issues) = resolve::resolve(&found.raw, &found.facts);
    found.issues.append(&mut issues);
    if let Some(settings) = &settings {
        found.issues.extend(unreadable_tls_files(settings, &found.raw));
    }
    found.finish(launch, settings, |settings| {
        (&settings.state_dir, &settings.socket, settings.auths_dir.as_ref())
    })
}

/// What a running daemon reads anew.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// What counts from now on: what needs a restart is as it was.
    pub in_force: Loaded<Settings>,
    /// What a restart would bring.
    pub wanted: Settings,
}

/// Loads everything that `kmid` reads while it runs; `running` is what it was started with ([`Loaded::raw`]).
///
/// # Errors
/// With every issue, when one of them is an error: also one that only shows together with what needs a restart, such
/// as a token taken away while the listener that needs it is still there.
pub fn reload(launch: &Launch, outside: &Outside, running: &RawValues) -> Result<Reloaded, BadSettings> {
    let wanted = load(launch, outside)?.settings;
    let in_force = resolve_found(launch, collect(launch, outside, running.kept_while_running()))?;
    Ok(Reloaded { in_force, wanted })
}

/// Loads what `kmi` reads. Settings of the daemon's are not judged, and a broken `.env` found by default only warns.
///
/// # Errors
/// With every issue, when one of them is an error.
pub fn load_client(launch: &Launch, outside: &Outside) -> Result<Loaded<ClientSettings>, BadSettings> {
    let mut found = collect(launch, outside, RawValues::default());
    found.issues.retain(|issue| concerns_client(&issue.subject));
    for issue in &mut found.issues {
        issue.error &= env::find(&issue.subject).is_some();
    }
    let (settings, mut issues) = resolve::resolve_client(&found.raw, &found.facts);
    found.issues.append(&mut issues);
    found.finish(launch, settings, |settings| (&settings.state_dir, &settings.socket, None))
}

/// Variables of `kmi` and settings files; unknown names are the daemon's to report.
fn concerns_client(subject: &str) -> bool {
    env::find(subject).map_or(!subject.starts_with("KMI_"), |variable| variable.client)
}

/// Everything read, not yet resolved.
struct Found {
    raw: RawValues,
    facts: Facts,
    issues: Vec<Issue>,
    auths_candidates: Vec<PathBuf>,
    /// Where the default `.env` is or would be; `None` when a person named a file.
    default_env_file: Option<PathBuf>,
}

impl Found {
    fn finish<S>(
        self,
        launch: &Launch,
        settings: Option<S>,
        paths: impl Fn(&S) -> (&PathBuf, &PathBuf, Option<&PathBuf>),
    ) -> Result<Loaded<S>, BadSettings> {
        let failed = self.issues.iter().any(|issue| issue.error);
        let settings = match settings {
            Some(settings) if !failed => settings,
            _ => return Err(BadSettings { issues: self.issues }),
        };
        let (state_dir, socket, auths_dir) = paths(&settings);
        let named_file = self.facts.env_file.as_ref().filter(|_| self.default_env_file.is_none());
        let pinned = [
            (env::ENV_PATH.name, named_file),
            (env::STATE_DIR.name, Some(state_dir)),
            (env::SOCKET.name, Some(socket)),
            (env::AUTHS_DIR.name, auths_dir),
        ];
        let flags =
            pinned.into_iter().filter_map(|(name, path)| Some((name, path?.clone().into_os_string())));
        let restart = Launch {
            flags: flags.collect(),
            folder: launch.folder.clone(),
            found_env_file: self.default_env_file,
        };
        Ok(Loaded {
            settings,
            warnings: self.issues,
            raw: self.raw,
            auths_candidates: self.auths_candidates,
            restart,
        })
    }
}

fn collect(launch: &Launch, outside: &Outside, mut raw: RawValues) -> Found {
    let mut issues = Vec::new();
    for (name, value) in &launch.flags {
        set_os(&mut raw, name, value, Source::Flag, &mut issues);
    }
    for (name, value) in outside.vars.iter().filter(|(name, _)| name.starts_with("KMI_")) {
        set_os(&mut raw, name, value, Source::Environment, &mut issues);
    }
    let mut facts = Facts {
        home: outside.home.clone(),
        cwd: outside.cwd.clone(),
        user: outside.user.clone(),
        local_zone: outside.local_zone.clone(),
        system_locale: outside.locale(),
        no_color: outside.var(&["NO_COLOR"]).is_some() || outside.has_dumb_terminal(),
        https_proxy: text(outside.var(&["HTTPS_PROXY", "https_proxy"])).map(|proxy| Secret::new(&proxy)),
        no_proxy: text(outside.var(&["NO_PROXY", "no_proxy"])),
        env_file: None,
        found_auths_dir: None,
    };

    let env_path_source = raw.source(&env::ENV_PATH).clone();
    let named = resolve::named_path(&raw, &facts, &env::ENV_PATH);
    let was_named = env_path_source != Source::Default;
    match &named {
        Some(file) => match env_file::read(file) {
            Ok(found) => {
                env_file::take(&found, &Source::EnvFile(file.clone()), &mut raw, &mut issues);
                facts.env_file = Some(file.clone());
            }
            Err(why) => issues.push(Issue::error(
                env::ENV_PATH.name,
                say!(named_file_unreadable, path = file.display().to_string(), why = why.said()),
                Some(env_path_source),
            )),
        },
        None if was_named => {
            issues.push(Issue::error(env::ENV_PATH.name, say!(env_path_names_none), Some(env_path_source)));
        }
        None => {}
    }

    let state_dir = resolve::named_path(&raw, &facts, &env::STATE_DIR)
        .or_else(|| paths::expand(env::STATE_DIR.default, None, facts.home.as_deref()).ok());
    let default_candidates = candidates(launch, state_dir.as_deref(), facts.home.as_deref());
    facts.found_auths_dir = default_candidates.iter().find(|dir| dir.is_dir()).cloned();

    let mut default_env_file = None;
    if !was_named {
        let auths_dir = resolve::named_path(&raw, &facts, &env::AUTHS_DIR).or(facts.found_auths_dir.clone());
        default_env_file = match &launch.found_env_file {
            Some(pinned) => Some(pinned.clone()),
            None => find_env_file(launch, auths_dir.as_deref(), state_dir.as_deref()),
        };
        if let Some(file) = &default_env_file {
            read_found(file, &mut raw, &mut facts, &mut issues);
        }
    }
    let auths_candidates = match resolve::named_path(&raw, &facts, &env::AUTHS_DIR) {
        Some(named) => vec![named],
        None => default_candidates,
    };
    Found { raw, facts, issues, auths_candidates, default_env_file }
}

fn candidates(launch: &Launch, state_dir: Option<&Path>, home: Option<&Path>) -> Vec<PathBuf> {
    let in_folder = launch.folder.as_deref().map(|folder| folder.join("_auths"));
    let in_state_dir = state_dir.map(|dir| dir.join("_auths"));
    let in_home = home.map(|home| home.join(".kimi").join("_auths"));
    [in_folder, in_state_dir, in_home].into_iter().flatten().collect()
}

/// `./.env` if the keys in use are `./_auths`, else `<state dir>/.env`. An `_auths` that is a link to somewhere else
/// is not the folder's own: a strange folder must not redirect keys that live elsewhere.
fn find_env_file(launch: &Launch, auths_dir: Option<&Path>, state_dir: Option<&Path>) -> Option<PathBuf> {
    if let (Some(folder), Some(auths_dir)) = (&launch.folder, auths_dir) {
        let own = folder.join("_auths");
        let real = |path: &Path| path.canonicalize().ok();
        let is_own = real(&own).is_some() && real(&own) == real(auths_dir) && paths::lies_in(&own, folder);
        if is_own {
            return Some(folder.join(".env"));
        }
    }
    state_dir.map(|dir| dir.join(".env"))
}

/// Reads a `.env` that nobody named, if it is there. It may not send the daemon to other directories.
fn read_found(file: &Path, raw: &mut RawValues, facts: &mut Facts, issues: &mut Vec<Issue>) {
    let mut found = match env_file::read(file) {
        Ok(found) => found,
        Err(Unreadable::Missing) => return,
        Err(why) => {
            let message = say!(found_file_unreadable, why = why.said());
            issues.push(Issue::error(file.display().to_string(), message, None));
            return;
        }
    };
    facts.env_file = Some(file.to_owned());
    let source = Source::FoundEnvFile(file.to_owned());
    for variable in [&env::STATE_DIR, &env::SOCKET] {
        if found.get(variable.name).is_some() {
            issues.push(Issue::error(variable.name, say!(found_file_may_not), Some(source.clone())));
        }
    }
    if let Some(text) = found.get(env::AUTHS_DIR.name).filter(|text| !text.trim().is_empty()) {
        let folder = file.parent().unwrap_or(file);
        let inside = paths::expand(text, Some(folder), facts.home.as_deref())
            .is_ok_and(|path| paths::lies_in(&path, folder));
        if !inside {
            issues.push(Issue::error(
                env::AUTHS_DIR.name,
                say!(found_file_auths_outside),
                Some(source.clone()),
            ));
            found.pairs.retain(|(name, _)| name != env::AUTHS_DIR.name);
        }
    }
    found.pairs.retain(|(name, _)| name != env::STATE_DIR.name && name != env::SOCKET.name);
    env_file::take(&found, &source, raw, issues);
}

fn set_os(raw: &mut RawValues, name: &str, value: &OsStr, source: Source, issues: &mut Vec<Issue>) {
    match (env::find(name), value.to_str()) {
        (Some(variable), Some(value)) => raw.set(variable, value, source),
        (Some(variable), None) => {
            issues.push(Issue::error(variable.name, say!(not_utf8), Some(source)));
        }
        (None, _) => issues.push(env_file::unknown(name, source)),
    }
}

fn text(value: Option<&OsStr>) -> Option<String> {
    value.and_then(OsStr::to_str).map(str::to_owned)
}

/// A certificate or key that cannot be opened is better said now than when the listener starts.
fn unreadable_tls_files(settings: &Settings, raw: &RawValues) -> Vec<Issue> {
    let Some(tls) = &settings.proxy_tls else { return Vec::new() };
    [(&env::PROXY_TLS_CERT, &tls.cert), (&env::PROXY_TLS_KEY, &tls.key)]
        .into_iter()
        .filter_map(|(variable, file)| {
            let why = match std::fs::metadata(file) {
                Ok(found) if found.is_file() => Said::of_io(&std::fs::File::open(file).err()?),
                Ok(_) => say!(it_is_no_file),
                Err(error) => Said::of_io(&error),
            };
            let message = say!(tls_file_unreadable, path = file.display().to_string(), why = why);
            Some(Issue::error(variable.name, message, Some(raw.source(variable).clone())))
        })
        .collect()
}
