//! What a service has to be: which program, with which paths, by the settings that it will see itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kmid_config::env;
use kmid_config::issue::BadSettings;
use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use kmid_config::resolve::Source;
use kmid_config::settings::ListenAddr;

use super::written::Written;

/// Variables besides KMI_ ones that the daemon reads and that a service does not get from a shell.
const OUTSIDE: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "KIMI_SHARE_DIR",
    "KIMI_CODE_HOME",
];

/// A service of one state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The daemon's program.
    pub(crate) kmid: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// KMI_STATE_DIR
    pub(crate) state_dir: PathBuf,
    /// KMI_SOCKET
    pub(crate) socket: PathBuf,
    /// KMI_PROXY_LISTEN
    pub(crate) proxy: ListenAddr,
    /// KMI_PROXY_DRAIN_SECONDS
    pub(crate) drain: Duration,
    /// KMI_PROXY_REPLAY_TOTAL_MB, in bytes
    pub(crate) replay_total: usize,
    /// Version of the manager, where files differ by it.
    pub(crate) manager_version: Option<u32>,
    /// Variables of this shell that the service will not see.
    pub(crate) left_behind: Vec<String>,
}

/// Why there can be no such service.
#[derive(Debug)]
pub(crate) enum PlanError {
    /// The settings are bad.
    Settings(BadSettings),
    /// No text, or with a line break.
    Path(PathBuf),
    /// Clients could not find the service at this address again, and no manager can hold it. With the state directory.
    Listen(ListenAddr, PathBuf),
}

/// How much memory the service may take, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// From here on the kernel slows it down to get some back.
    pub(crate) high: u64,
    /// Here it kills it.
    pub(crate) max: u64,
}

impl Memory {
    /// For KMI_PROXY_REPLAY_TOTAL_MB in bytes. Twice that, because during a restart the old process still holds bodies
    /// while the new one takes some; the rest is for connections and the program itself, which take far less.
    pub(crate) fn of(replay_total: usize) -> Self {
        let bodies = u64::try_from(replay_total >> 20).unwrap_or(u64::MAX).saturating_mul(2);
        Self { high: bodies.saturating_add(256), max: bodies.saturating_add(512) }
    }
}

/// A stop waits for requests in flight, and has 10 s more for the last lines of the logs.
pub(crate) fn stop_seconds(drain: Duration) -> u64 {
    drain.as_secs() + 10
}

/// What is around a service: nothing of this shell's that kmid reads, and what its files set.
pub(crate) fn bare(outside: &Outside, environment: &[(String, String)]) -> Outside {
    let mut bare = outside.clone();
    bare.vars.retain(|name, _| !name.starts_with("KMI_") && !OUTSIDE.contains(&name.as_str()));
    bare.vars.extend(environment.iter().map(|(name, value)| (name.clone(), value.into())));
    bare
}

/// Paths that this person gave by flag or environment are kept for the service; all else it reads from its settings
/// file, where this shell's variables do not reach. `installed` is the one that is there already.
pub(crate) fn make(
    kmid: &Path,
    socket_flag: Option<&Path>,
    manager_version: Option<u32>,
    installed: &Written,
) -> Result<Plan, PlanError> {
    let outside = Outside::capture();
    let flag = socket_flag.map(|path| (env::SOCKET.name, path.as_os_str().to_owned()));
    let asked = Launch { flags: flag.into_iter().collect(), ..Launch::default() };
    let here = load::load(&asked, &outside).map_err(PlanError::Settings)?;
    let chosen = |name: &str| {
        [&env::ENV_PATH, &env::STATE_DIR, &env::SOCKET, &env::AUTHS_DIR].into_iter().any(|variable| {
            variable.name == name && matches!(here.raw.source(variable), Source::Flag | Source::Environment)
        })
    };
    let flags: Vec<(&'static str, OsString)> =
        here.restart.flags.iter().filter(|(name, _)| chosen(name)).cloned().collect();
    let launch = Launch { flags, ..Launch::default() };
    let bare = bare(&outside, &installed.environment);
    let there = load::load(&launch, &bare).map_err(PlanError::Settings)?.settings;

    let mut left_behind: Vec<String> = here
        .explain()
        .into_iter()
        .filter(|row| row.source == Source::Environment.word() && !chosen(row.name))
        .filter(|row| env::find(row.name).is_some_and(|variable| !variable.client))
        .map(|row| row.name.to_owned())
        .collect();
    let set = |name: &&&str| outside.vars.get(**name).is_some_and(|value| !value.is_empty());
    left_behind.extend(OUTSIDE.iter().filter(set).map(|name| (*name).to_owned()));
    left_behind.retain(|name| !installed.sets(name));

    let mut args = vec!["--no-folder".to_owned()];
    for arg in launch.to_args() {
        args.push(arg.into_string().map_err(|arg| PlanError::Path(arg.into()))?);
    }
    let listen = &there.proxy_listen;
    let fixed = listen.host == "localhost" || listen.host.parse::<std::net::IpAddr>().is_ok();
    if !fixed || listen.port == 0 {
        return Err(PlanError::Listen(listen.clone(), there.state_dir));
    }
    let plan = Plan {
        kmid: kmid.to_owned(),
        args,
        state_dir: there.state_dir,
        socket: there.socket,
        proxy: there.proxy_listen,
        drain: there.proxy_drain,
        replay_total: there.proxy_replay_total,
        manager_version,
        left_behind,
    };
    for path in [&plan.kmid, &plan.state_dir, &plan.socket] {
        if path.to_str().is_none_or(|text| text.contains(['\n', '\r'])) {
            return Err(PlanError::Path(path.clone()));
        }
    }
    if plan.args.iter().any(|arg| arg.contains(['\n', '\r'])) {
        return Err(PlanError::Path(plan.args.join(" ").into()));
    }
    Ok(plan)
}

impl Plan {
    /// How long a stop may take.
    pub(crate) fn stop_seconds(&self) -> u64 {
        stop_seconds(self.drain)
    }

    /// How much memory it may take.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.replay_total)
    }

    /// What is left behind: settings of kmid, which its settings file may hold, and what only its environment may.
    pub(crate) fn left_behind(&self) -> (Vec<&str>, Vec<&str>) {
        self.left_behind.iter().map(String::as_str).partition(|name| env::find(name).is_some())
    }
}

#[cfg(test)]
pub(crate) fn example() -> Plan {
    Plan {
        kmid: "/home/me/.cargo/bin/kmid".into(),
        args: vec!["--no-folder".into()],
        state_dir: "/home/me/.kmi".into(),
        socket: "/home/me/.kmi/kmid.sock".into(),
        proxy: ListenAddr { host: "127.0.0.1".into(), port: 54123 },
        drain: Duration::from_secs(30),
        replay_total: 256 << 20,
        manager_version: Some(252),
        left_behind: Vec::new(),
    }
}
