//! `kmi doctor`: looks at everything and says how to fix what is wrong.

mod daemon;
mod files;
mod machine;
mod service;
mod upstreams;

pub(crate) use daemon::has_no_directory;
pub(crate) use files::key_files;

use std::net::{Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::DaemonStatus;
use kmi_proto::methods::keys::LabelParams;
use kmid_config::env;
use kmid_core::said::Said;
use serde::Serialize;

use crate::app::App;
use crate::args::DoctorArgs;
use crate::commands::settings_next;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome, Stop};
use crate::output::View;
use crate::output::flow;
use crate::output::locale::Messages;
use crate::output::style::{Paint, Span};
use crate::settings::{self, DaemonSettings};
use crate::tr;

/// How long a program on this machine may take to accept a connection.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Fine.
    Ok,
    /// Works, but look at it.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    /// A stable word.
    name: &'static str,
    level: Level,
    /// What was found.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    /// The same as a line for a shell, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, detail: detail.into(), fix: None, command: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Warn, detail: detail.into(), fix: Some(fix.into()), command: None }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(name, detail, fix) }
    }

    /// Its fix is a command, which is never broken into lines: it is there to be pasted.
    fn with_command(self) -> Self {
        Self { command: self.fix.clone(), ..self }
    }

    /// A command that does what the fix says.
    fn and_run(self, command: impl Into<String>) -> Self {
        Self { command: Some(command.into()), ..self }
    }
}

pub(crate) fn run(app: &App, args: &DoctorArgs) -> Outcome {
    let checks = look(app, args)?;
    let failed = checks.iter().any(|check| check.level == Level::Fail);
    if app.json {
        app.print_json(&serde_json::json!({"ok": !failed, "checks": checks}))?;
    } else {
        app.print(&render(&app.view(), &checks))?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// Everything there is to look at, after what was asked for is done.
pub(crate) fn look(app: &App, args: &DoctorArgs) -> Outcome<Vec<Check>> {
    let found = connect::find(app, Start::No);
    let (found, status) = match found {
        Ok(Some(mut client)) => {
            let status = client.ask::<typed::DaemonStatus>(&Empty {}).ok();
            (Ok(Some(client)), status)
        }
        other => (other, None),
    };
    let theirs = match &status {
        Some(status) => settings::of_running(&status.daemon),
        None => settings::of_daemon(None),
    };
    let running = matches!(found, Ok(Some(_)));
    let mut checks = settings(app, &theirs, matches!(found, Ok(None)));
    checks.extend(status.as_ref().and_then(|status| not_in_force(app, &status.daemon)));
    checks.extend(files::check(app, &theirs.key_folders));
    checks.extend(machine::check(app, running));
    checks.extend(service::check(app, &theirs));
    match found {
        Ok(Some(mut client)) => {
            checks.extend(actions(app, &mut client, args)?);
            checks.extend(daemon::check(app, &mut client));
        }
        Ok(None) => checks.extend(absent(app, args, &theirs)),
        Err(Stop::ReaderGone) => return Err(Stop::ReaderGone),
        Err(Stop::Failure(failure)) => {
            checks.push(Check::fail("daemon", failure.what, failure.next.unwrap_or_default()));
        }
    }
    let allowed = match &status {
        Some(status) => status.rotation.allowed,
        None => theirs.rows.iter().any(|row| row.name == env::AUTO_ROTATE_ALLOWED.name && row.value == "1"),
    };
    checks.push(Check::ok("terms", terms(&app.messages, allowed)));
    Ok(checks)
}

fn terms(messages: &Messages, allowed: bool) -> String {
    let switching =
        if allowed { tr!(messages, "doctor-terms-on") } else { tr!(messages, "doctor-terms-off") };
    tr!(messages, "doctor-terms", switching = switching)
}

/// What a person set here for kmid, and kmid does not have.
fn not_in_force(app: &App, daemon: &DaemonStatus) -> Option<Check> {
    let names = settings::not_in_force(daemon);
    let file = file_in_words(&app.messages, daemon);
    (!names.is_empty()).then(|| {
        let detail = tr!(app.messages, "doctor-not-in-force", list = names.join(", "));
        let fix = tr!(app.messages, "doctor-not-in-force-fix", file = file);
        Check::warn("settings", detail, fix)
    })
}

/// Where a settings file is, or would be found.
#[derive(Debug, PartialEq, Eq)]
enum SettingsFile {
    /// In use, or the only one that kmid looks for.
    Known(PathBuf),
    /// None is in use, and the keys lie in some folder's `_auths`: kmid looks beside them if it was started in that
    /// folder, which it does not tell.
    Either {
        /// The one beside the keys.
        beside: PathBuf,
        /// That of the state directory.
        usual: PathBuf,
    },
}

fn settings_file(daemon: &DaemonStatus) -> SettingsFile {
    if let Some(file) = &daemon.env_file {
        return SettingsFile::Known(file.into());
    }
    let state_dir = Path::new(&daemon.state_dir);
    let usual = state_dir.join(".env");
    let keys = daemon.auths_dir.as_deref().map(Path::new).filter(|keys| keys.ends_with("_auths"));
    match keys.and_then(Path::parent).filter(|folder| *folder != state_dir) {
        Some(folder) => SettingsFile::Either { beside: folder.join(".env"), usual },
        None => SettingsFile::Known(usual),
    }
}

/// The settings file for a sentence.
fn file_in_words(messages: &Messages, daemon: &DaemonStatus) -> String {
    match settings_file(daemon) {
        SettingsFile::Known(file) => file.display().to_string(),
        SettingsFile::Either { beside, usual } => tr!(
            messages,
            "doctor-file-either",
            beside = beside.display().to_string(),
            usual = usual.display().to_string()
        ),
    }
}

/// The command that puts a setting into the file in use, whose last line may have no end; none where something stronger
/// sets it, or where it is not known which file that is.
fn set_in_file(daemon: &DaemonStatus, variable: &env::Variable, value: &str, then: &str) -> Option<String> {
    let name = variable.name;
    match settings_file(daemon) {
        SettingsFile::Known(file) if !daemon.environment.contains_key(name) => {
            Some(format!(r"printf '\n{name}={value}\n' >> {} && {then}", quoted(&file)))
        }
        _ => None,
    }
}

/// A setting to be changed: what to do, and the command, or else the file that it belongs into.
fn to_be_set(
    messages: &Messages,
    check: Check,
    daemon: &DaemonStatus,
    (variable, value, then): (&env::Variable, &str, &str),
) -> Check {
    match set_in_file(daemon, variable, value, then) {
        Some(command) => check.and_run(command),
        None if daemon.environment.contains_key(variable.name) => check,
        None => {
            let fix = check.fix.as_deref().unwrap_or_default();
            Check { fix: Some(format!("{fix} ({})", file_in_words(messages, daemon))), ..check }
        }
    }
}

/// Those of `kmi`; where no daemon is there to tell its own, also what the next one would make of its settings.
fn settings(app: &App, theirs: &DaemonSettings, is_absent: bool) -> Vec<Check> {
    let messages = &app.messages;
    let fix = || settings_next(app, &app.settings_errors);
    let mut checks: Vec<Check> = app
        .settings_errors
        .iter()
        .map(|error| Check::fail("settings", messages.said(error), fix()))
        .collect();
    checks.extend(
        app.settings_warnings.iter().map(|warning| Check::warn("settings", messages.said(warning), fix())),
    );
    if is_absent {
        let fix = || tr!(messages, "doctor-settings-stopped-fix");
        let new = |text: &&Said| !app.settings_errors.contains(text) && !app.settings_warnings.contains(text);
        let wrong =
            theirs.errors.iter().filter(new).map(|text| Check::fail("settings", messages.said(text), fix()));
        let odd = theirs
            .warnings
            .iter()
            .filter(new)
            .map(|text| Check::warn("settings", messages.said(text), fix()));
        checks.extend(wrong.chain(odd).map(|check| check.and_run("kmid --check-config")));
    }
    if checks.is_empty() {
        let source = match &app.settings.env_file {
            Some(path) => tr!(messages, "doctor-settings-file", path = path.display().to_string()),
            None => tr!(messages, "doctor-settings-environment"),
        };
        checks.push(Check::ok("settings", source));
    }
    let set = theirs.rows.iter().filter(|row| row.source != "default");
    let set: Vec<String> =
        set.map(|row| format!("{} ({})", row.name, view_source(app, row.source))).collect();
    if !set.is_empty() {
        checks.push(Check::ok("settings", tr!(messages, "doctor-settings-set", list = set.join(", "))));
    }
    checks
}

fn view_source(app: &App, source: &str) -> String {
    app.view().word("doctor-source", &source.replace(' ', "_"))
}

/// Without a daemon there is less to see, and nobody to do what was asked.
fn absent(app: &App, args: &DoctorArgs, theirs: &DaemonSettings) -> Vec<Check> {
    let messages = &app.messages;
    let stopped = tr!(messages, "doctor-not-running");
    let mut checks = vec![if theirs.errors.is_empty() && app.settings_errors.is_empty() {
        Check::warn("daemon", stopped, tr!(messages, "next-start")).and_run("kmi proxy")
    } else {
        Check::warn("daemon", stopped, tr!(messages, "doctor-not-startable-fix"))
    }];
    checks.extend(port(app, theirs));
    checks.extend(files::newer_state(app));
    checks.extend(files::keys(app, &theirs.key_folders));
    if args.recheck_keys || args.clear_blocklist {
        checks.push(
            Check::fail("keys", tr!(messages, "doctor-cannot-act"), tr!(messages, "next-start"))
                .and_run("kmi proxy"),
        );
    }
    checks
}

/// Whether the proxy's address is taken, which a kmid that is started now would not survive; nothing where the manager
/// of a service holds it for kmid, or where the settings do not name one.
fn port(app: &App, theirs: &DaemonSettings) -> Option<Check> {
    let listen = theirs.rows.iter().find(|row| row.name == env::PROXY_LISTEN.name)?.value.as_str();
    if crate::service::would_start(&app.settings.socket) || !is_taken(listen) {
        return None;
    }
    let detail = tr!(app.messages, "doctor-port-taken", listen = listen);
    Some(Check::fail("proxy", detail, tr!(app.messages, "doctor-proxy-other-fix")))
}

/// Whether somebody listens there. It is asked and not bound: that would be in the way of a kmid that is just starting.
fn is_taken(listen: &str) -> bool {
    let addresses = listen.to_socket_addrs().into_iter().flatten();
    addresses.filter(|address| address.port() != 0).any(|mut address| {
        if address.ip().is_unspecified() {
            let own = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            address.set_ip(own);
        }
        TcpStream::connect_timeout(&address, PORT_TIMEOUT).is_ok()
    })
}

fn actions(app: &App, client: &mut connect::Daemon, args: &DoctorArgs) -> Outcome<Vec<Check>> {
    let messages = &app.messages;
    let all = LabelParams::default();
    let mut checks = Vec::new();
    if args.clear_blocklist {
        let done = client.ask::<typed::KeysUnblock>(&all).map_err(|error| connect::failure(app, error))?;
        checks.push(Check::ok("clear_blocklist", cleared(app, &done.cleared)));
    }
    if args.recheck_keys && is_dry_run(client) {
        checks.push(Check::ok("recheck_keys", tr!(messages, "doctor-dry-run-skipped")));
    } else if args.recheck_keys {
        connect::patience(client, connect::SLOW);
        let done = client.ask::<typed::KeysRecheck>(&all).map_err(|error| connect::failure(app, error))?;
        checks.push(Check::ok("recheck_keys", cleared(app, &done.cleared)));
        if !done.still_blocked.is_empty() {
            let list = done.still_blocked.join(", ");
            let detail = tr!(messages, "doctor-still-blocked", list = list);
            checks.push(
                Check::warn("recheck_keys", detail, tr!(messages, "doctor-blocked-fix"))
                    .and_run("kmi doctor --recheck-keys"),
            );
        }
    }
    Ok(checks)
}

fn is_dry_run(client: &mut connect::Daemon) -> bool {
    client.ask::<typed::DaemonStatus>(&Empty {}).is_ok_and(|status| status.mode == "dry-run")
}

/// A path for a command that can be pasted into a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn cleared(app: &App, labels: &[String]) -> String {
    if labels.is_empty() {
        tr!(app.messages, "doctor-cleared-none")
    } else {
        tr!(app.messages, "doctor-cleared", list = labels.join(", "))
    }
}

/// One line a check, its fix below it, and the sum.
pub(crate) fn render(view: &View<'_>, checks: &[Check]) -> String {
    let messages = view.messages;
    let mut text = String::new();
    for check in checks {
        let (mark, paint) = match check.level {
            Level::Ok => ("OK  ", Paint::Good),
            Level::Warn => ("WARN", Paint::Warn),
            Level::Fail => ("FAIL", Paint::Bad),
        };
        let spans = [
            Span::new(paint, mark),
            Span::new(Paint::Strong, view.word("check", check.name)),
            Span::plain(&check.detail),
        ];
        text.push_str(&flow::spans(view.look, "", 6, &spans));
        if let Some(fix) = check.fix.as_deref().filter(|fix| !fix.is_empty()) {
            let line = tr!(messages, "doctor-fix", fix = fix);
            let line = Span::new(Paint::Faint, line);
            if check.command.as_deref() == Some(fix) {
                text.push_str(&format!("      {}\n", view.look.paint(line.paint, &line.text)));
            } else {
                text.push_str(&flow::spans(view.look, "      ", 8, &[line]));
                // One that the words name already is not repeated.
                let named = |command: &&String| fix.contains(&format!("`{command}`"));
                if let Some(command) = check.command.as_ref().filter(|command| !named(command)) {
                    text.push_str(&format!("        {}\n", view.look.paint(Paint::Strong, command)));
                }
            }
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let (fails, warns) = (count(Level::Fail), count(Level::Warn));
    let runs = !checks.iter().any(|check| check.name == "daemon" && check.level != Level::Ok);
    let verdict = match (fails, warns) {
        (0, warns) if !runs => Span::new(Paint::Warn, tr!(messages, "doctor-stopped", count = warns)),
        (0, 0) => Span::new(Paint::Good, tr!(messages, "doctor-all-ok")),
        (0, warns) => Span::new(Paint::Warn, tr!(messages, "doctor-warnings", count = warns)),
        (fails, warns) => {
            Span::new(Paint::Bad, tr!(messages, "doctor-failures", fails = fails, warns = warns))
        }
    };
    text.push('\n');
    text.push_str(&flow::spans(view.look, "", 2, &[verdict]));
    text
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
