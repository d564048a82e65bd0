//! The user's own systemd: kmid.service with a socket unit for each of its two listeners.

use std::path::{Path, PathBuf};
use std::process::Output;

use kmid_config::settings::ListenAddr;

use super::plan::Plan;
use super::step::{Step, is_on_path};
use super::written::Written;
use super::{Activity, BAD_SETTINGS, State, Unreachable};

/// Its name in JSON.
pub(crate) const NAME: &str = "systemd";
/// The service.
pub(crate) const SERVICE: &str = "kmid.service";
/// The proxy's listener.
const PROXY: &str = "kmid.socket";
/// The control socket's listener.
const CONTROL: &str = "kmid-control.socket";
/// Where packages and administrators put units for every user (systemd.unit(5), 2026-11).
pub(crate) const SYSTEM_FOLDERS: [&str; 2] = ["/etc/systemd/user", "/usr/lib/systemd/user"];
/// From this version on a restart can wait longer from failure to failure (systemd NEWS 254).
const KNOWS_STEPS: u32 = 254;

const TEMPLATE: &str = include_str!("../../../systemd/kmid.service");
const PROXY_TEMPLATE: &str = include_str!("../../../systemd/kmid.socket");
const CONTROL_TEMPLATE: &str = include_str!("../../../systemd/kmid-control.socket");

/// Where its files are.
#[derive(Debug)]
pub(crate) struct Systemd {
    home: PathBuf,
    folder: PathBuf,
}

impl Systemd {
    /// For a home; `config` is XDG_CONFIG_HOME.
    pub(crate) fn new(home: &Path, config: Option<PathBuf>) -> Self {
        let config = config.unwrap_or_else(|| home.join(".config"));
        Self { home: home.to_owned(), folder: config.join("systemd/user") }
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        [SERVICE, PROXY, CONTROL].map(|name| self.folder.join(name)).to_vec()
    }

    pub(super) fn files(&self, plan: &Plan) -> Vec<(PathBuf, String)> {
        let texts = [service(plan), proxy(plan), control(plan)];
        self.paths().into_iter().zip(texts).collect()
    }

    /// The control socket of the installed unit; `None` when no unit holds it.
    pub(super) fn socket(&self, service: &Path) -> Option<PathBuf> {
        let text = std::fs::read_to_string(service.with_file_name(CONTROL)).ok()?;
        let path = text.lines().find_map(|line| line.trim().strip_prefix("ListenStream="))?;
        Some(PathBuf::from(specified(path, &self.home)))
    }

    /// What a unit on the disk says, and what systemd made of it and of what a person added (`systemctl edit`).
    pub(super) fn written(&self, unit: &str) -> Written {
        let shown = systemctl(["show", WRITTEN, SERVICE, PROXY]).run();
        let shown = shown.ok().as_ref().and_then(said).unwrap_or_default();
        Written { args: exec_words(unit, &self.home), ..parse_written(&shown) }
    }
}

fn service(plan: &Plan) -> String {
    let mut text = set(TEMPLATE, "ExecStart", &exec_start(plan));
    text = set(&text, "WorkingDirectory", &format!("-{}", escaped(&plan.state_dir.display().to_string())));
    text = set(&text, "TimeoutStopSec", &plan.stop_seconds().to_string());
    let memory = plan.memory();
    text = set(&text, "MemoryHigh", &format!("{}M", memory.high));
    text = set(&text, "MemoryMax", &format!("{}M", memory.max));
    if plan.manager_version.is_some_and(|version| version >= KNOWS_STEPS) {
        text = text.replace("\nRestartSec=7\n", "\n").replace("\n#Restart", "\nRestart");
    }
    text
}

fn proxy(plan: &Plan) -> String {
    set(PROXY_TEMPLATE, "ListenStream", &listen_stream(&plan.proxy))
}

/// Units know no host names.
fn listen_stream(listen: &ListenAddr) -> String {
    match listen.host.as_str() {
        "localhost" => format!("127.0.0.1:{}", listen.port),
        _ => listen.to_string(),
    }
}

fn control(plan: &Plan) -> String {
    set(CONTROL_TEMPLATE, "ListenStream", &escaped(&plan.socket.display().to_string()))
}

/// Replaces the value of a directive that stands once in the template.
fn set(text: &str, name: &str, value: &str) -> String {
    let start = format!("{name}=");
    let line = |line: &str| match line.starts_with(&start) {
        true => format!("{start}{value}\n"),
        false => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// `%` begins a specifier (systemd.unit(5)).
fn escaped(text: &str) -> String {
    text.replace('%', "%%")
}

/// Words that are not plain are quoted (systemd.service(5), COMMAND LINES); the colon keeps `$` from being replaced.
fn exec_start(plan: &Plan) -> String {
    let kmid = plan.kmid.display().to_string();
    let words: Vec<&str> =
        std::iter::once(kmid.as_str()).chain(plan.args.iter().map(String::as_str)).collect();
    let colon = if words.iter().any(|word| word.contains('$')) { ":" } else { "" };
    let quoted = |word: &&str| {
        let text = escaped(word);
        let plain = |c: char| c.is_alphanumeric() || "-_./%=+,@$".contains(c);
        match text.chars().all(plain) && !text.is_empty() {
            true => text,
            false => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    };
    let quoted: Vec<String> = words.iter().map(quoted).collect();
    format!("{colon}{}", quoted.join(" "))
}

/// `%h` is the person's home in a unit and `%%` a percent sign (systemd.unit(5), SPECIFIERS); others are left.
fn specified(text: &str, home: &Path) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        whole.push_str(before);
        let (word, taken) = match after.chars().next() {
            Some('h') => (home.display().to_string(), 1),
            Some('%') => ("%".to_owned(), 1),
            _ => ("%".to_owned(), 0),
        };
        whole.push_str(&word);
        rest = &after[taken..];
    }
    whole + rest
}

/// The words of a line, with or without quotation marks (systemd.syntax(7), QUOTING).
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The program of a unit and its arguments.
fn exec_words(unit: &str, home: &Path) -> Vec<String> {
    let start = unit.lines().find_map(|line| line.trim().strip_prefix("ExecStart=")).unwrap_or_default();
    let start = start.trim_start_matches([':', '-', '@', '+', '!']);
    words(start).iter().map(|word| specified(word, home)).collect()
}

/// The program of a unit, as doctor looks at it: the first word of ExecStart.
pub(crate) fn program(unit: &str, home: &Path) -> Option<PathBuf> {
    exec_words(unit, home).into_iter().next().map(PathBuf::from)
}

fn systemctl<const N: usize>(args: [&str; N]) -> Step {
    Step::new("systemctl", ["--user"].into_iter().chain(args))
}

pub(super) fn enable() -> Vec<Step> {
    vec![
        systemctl(["daemon-reload"]),
        systemctl(["reset-failed", SERVICE, PROXY, CONTROL]).or_not(),
        systemctl(["enable", "--quiet", SERVICE]),
        systemctl(["start", CONTROL, PROXY, SERVICE]),
    ]
}

pub(super) fn disable() -> Vec<Step> {
    vec![
        systemctl(["stop", PROXY, CONTROL, SERVICE]).or_not(),
        systemctl(["disable", "--quiet", SERVICE, PROXY, CONTROL]).or_not(),
    ]
}

pub(super) fn forget() -> Vec<Step> {
    vec![systemctl(["daemon-reload"]), systemctl(["reset-failed", SERVICE, PROXY, CONTROL]).or_not()]
}

/// A person's wish counts more than a limit on starts that was reached before.
pub(super) fn start() -> Vec<Step> {
    vec![
        systemctl(["reset-failed", SERVICE, PROXY, CONTROL]).or_not(),
        systemctl(["start", CONTROL, PROXY, SERVICE]),
    ]
}

/// The sockets first, or a request would start it again.
pub(super) fn stop() -> Vec<Step> {
    vec![systemctl(["stop", PROXY, CONTROL, SERVICE])]
}

/// The sockets stay, and hold the requests that come meanwhile.
pub(super) fn restart() -> Vec<Step> {
    vec![
        systemctl(["reset-failed", SERVICE, PROXY, CONTROL]).or_not(),
        systemctl(["start", CONTROL, PROXY]),
        systemctl(["restart", SERVICE]),
    ]
}

pub(super) fn logs(lines: usize, follow: bool) -> Step {
    let lines = lines.to_string();
    let mut args = vec!["--user", "--unit", SERVICE, "--lines", &lines, "--no-pager"];
    if follow {
        args.push("--follow");
    }
    Step::new("journalctl", args)
}

pub(super) fn reachable() -> Result<(), Unreachable> {
    if !is_on_path("systemctl") || !Path::new("/run/systemd/system").is_dir() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // Microsoft's kernel names itself (WSL 1 and 2, 2026-11).
        let is_wsl = kernel.to_lowercase().contains("microsoft");
        return Err(if is_wsl { Unreachable::Wsl } else { Unreachable::NoSystemd });
    }
    match version() {
        Some(_) => Ok(()),
        None => Err(Unreachable::NoSession),
    }
}

/// The user manager's version; `None` when it does not answer.
pub(crate) fn version() -> Option<u32> {
    let output = systemctl(["show", "--property=Version", "--value"]).run().ok()?;
    let text = said(&output)?;
    // `252.38-1~deb12u1`, `255 (255.4)`
    text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Asked for the user by number: without one logind tells of itself (loginctl(1), 2026-11).
#[cfg(unix)]
pub(super) fn lingers() -> bool {
    let user = rustix::process::getuid().as_raw().to_string();
    says_yes(&Step::new("loginctl", ["show-user", &user, "--property=Linger", "--value"]))
}

/// Elsewhere there is no systemd.
#[cfg(not(unix))]
pub(super) fn lingers() -> bool {
    false
}

/// A user without a session and without lingering is one that logind does not know.
#[cfg(unix)]
fn says_yes(step: &Step) -> bool {
    step.run().ok().as_ref().and_then(said).is_some_and(|text| text.trim() == "yes")
}

fn said(output: &Output) -> Option<String> {
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,Result,MainPID,NRestarts,StatusText,\
                          UnitFileState,ExecMainStatus";

pub(super) fn state(file: Option<PathBuf>) -> State {
    let shown = systemctl(["show", PROPERTIES, SERVICE, PROXY, CONTROL]).run();
    match shown.ok().as_ref().and_then(said) {
        Some(text) => parse(&text, file),
        None => State::unknown(NAME, file),
    }
}

/// A value in blocks of `Name=value`, one a unit, with an empty line between them; empty when it is not there.
fn value(text: &str, id: &str, name: &str) -> String {
    let own = format!("Id={id}");
    let block = text.split("\n\n").find(|block| block.lines().any(|line| line == own)).unwrap_or_default();
    let start = format!("{name}=");
    block.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
}

fn parse(text: &str, file: Option<PathBuf>) -> State {
    let value = |id: &str, name: &str| value(text, id, name);
    let own = |name: &str| value(SERVICE, name);
    let listens = [PROXY, CONTROL].iter().any(|unit| value(unit, "ActiveState") == "active");
    let exit_status = own("ExecMainStatus").parse().ok().filter(|status| *status != 0);
    let activity = match own("ActiveState").as_str() {
        "active" | "reloading" => Activity::Running,
        "activating" if own("SubState") == "auto-restart" => Activity::Restarting,
        "activating" => Activity::Starting,
        "deactivating" => Activity::Stopping,
        // A request starts it then, which ends the same way.
        "failed" if exit_status == Some(BAD_SETTINGS) => Activity::Failed,
        "inactive" | "failed" if listens => Activity::Waiting,
        "inactive" => Activity::Stopped,
        "failed" => Activity::Failed,
        _ => Activity::Unknown,
    };
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let result = filled(own("Result")).filter(|result| result != "success");
    let exit_status = exit_status.filter(|_| result.is_some());
    let result = result.map(|result| match exit_status {
        None => result,
        Some(status) => format!("{result}, status {status}"),
    });
    let enabled = |unit| value(unit, "UnitFileState") == "enabled";
    State {
        manager: NAME,
        file,
        enabled: enabled(SERVICE) || enabled(PROXY),
        activity,
        pid: own("MainPID").parse().ok().filter(|pid| *pid != 0),
        restarts: own("NRestarts").parse().ok(),
        result,
        exit_status,
        status: filled(own("StatusText")).filter(|_| activity == Activity::Running),
        listens,
    }
}

const WRITTEN: &str = "--property=Id,Environment,MemoryMax,Listen";

fn parse_written(text: &str) -> Written {
    let environment = words(&value(text, SERVICE, "Environment"));
    let split = |pair: &String| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    // `127.0.0.1:54123 (Stream)`
    let listens = value(text, PROXY, "Listen").split_whitespace().next().map(str::to_owned);
    Written {
        environment: environment.iter().filter_map(split).collect(),
        listens,
        // A number, or `infinity`.
        memory: value(text, SERVICE, "MemoryMax").parse().ok(),
        ..Written::default()
    }
}

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
