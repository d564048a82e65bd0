//! `kmi doctor`: looks at everything and says how to fix what is wrong.

mod daemon;
mod files;
mod machine;
mod service;
mod upstreams;

pub(crate) use files::key_files;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::LabelParams;
use serde::Serialize;

use crate::app::App;
use crate::args::DoctorArgs;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome, Stop};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span};
use crate::settings::{self, DaemonSettings};
use crate::tr;

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
    /// The fix is a command as it stands.
    #[serde(skip)]
    is_command: bool,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, detail: detail.into(), fix: None, is_command: false }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, level: Level::Warn, detail: detail.into(), fix: Some(fix.into()), is_command: false }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(name, detail, fix) }
    }

    /// Its fix is a command, which is never broken into lines: it is there to be pasted.
    fn with_command(self) -> Self {
        Self { is_command: true, ..self }
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
    let theirs = settings::of_daemon(None);
    let running = matches!(found, Ok(Some(_)));
    let mut checks = settings(app, &theirs);
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
    checks.push(Check::ok("terms", tr!(app.messages, "doctor-terms")));
    Ok(checks)
}

fn settings(app: &App, theirs: &DaemonSettings) -> Vec<Check> {
    let messages = &app.messages;
    let fix = || tr!(messages, "next-settings");
    let mut checks: Vec<Check> =
        app.settings_errors.iter().map(|error| Check::fail("settings", error.as_str(), fix())).collect();
    checks
        .extend(app.settings_warnings.iter().map(|warning| Check::warn("settings", warning.as_str(), fix())));
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
    let mut checks =
        vec![Check::warn("daemon", tr!(messages, "doctor-not-running"), tr!(messages, "next-start"))];
    let fix = || tr!(messages, "doctor-settings-fix");
    let new = |text: &&String| !app.settings_errors.contains(text) && !app.settings_warnings.contains(text);
    checks.extend(theirs.errors.iter().filter(new).map(|text| Check::fail("settings", text.as_str(), fix())));
    checks
        .extend(theirs.warnings.iter().filter(new).map(|text| Check::warn("settings", text.as_str(), fix())));
    // Without settings that can be used nobody knows where the keys would be.
    if theirs.errors.is_empty() {
        checks.push(files::keys(app, &theirs.key_folders));
    }
    if args.recheck_keys || args.clear_blocklist {
        checks.push(Check::fail("keys", tr!(messages, "doctor-cannot-act"), tr!(messages, "next-start")));
    }
    checks
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
        connect::patience(client, Some(connect::SLOW));
        let done = client.ask::<typed::KeysRecheck>(&all).map_err(|error| connect::failure(app, error))?;
        checks.push(Check::ok("recheck_keys", cleared(app, &done.cleared)));
        if !done.still_blocked.is_empty() {
            let list = done.still_blocked.join(", ");
            let detail = tr!(messages, "doctor-still-blocked", list = list);
            checks.push(Check::warn("recheck_keys", detail, tr!(messages, "doctor-blocked-fix")));
        }
    }
    Ok(checks)
}

fn is_dry_run(client: &mut connect::Daemon) -> bool {
    client.ask::<typed::DaemonStatus>(&Empty {}).is_ok_and(|status| status.mode == "dry-run")
}

/// A path for a command that can be pasted into a shell.
fn quoted(path: &std::path::Path) -> String {
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
            if check.is_command {
                text.push_str(&format!("      {}\n", view.look.paint(line.paint, &line.text)));
            } else {
                text.push_str(&flow::spans(view.look, "      ", 8, &[line]));
            }
        }
    }
    let count = |level| checks.iter().filter(|check| check.level == level).count();
    let (fails, warns) = (count(Level::Fail), count(Level::Warn));
    let verdict = match (fails, warns) {
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
