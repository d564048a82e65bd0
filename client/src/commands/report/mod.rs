//! `kmi report`: what a bug report needs, in one file, and nothing that is secret or personal.

mod redact;
mod secrets;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::{KeyList, ListParams};
use serde_json::{Value, json};

use self::redact::Redactor;
use super::{doctor, log_files};
use crate::app::App;
use crate::args::{DoctorArgs, ReportArgs};
use crate::connect::{self, Start, VERSION};
use crate::exit::{Exit, Failure, Outcome, Stop};
use crate::output::flow;
use crate::output::style::Span;
use crate::{settings, tr};

/// The newest lines of each log.
const LOG_LINES: usize = 200;
/// The newest finished requests.
const TRACE_LINES: usize = 100;
/// Of a line that no JSON is, in characters.
const LONGEST_LINE: usize = 4096;

pub(crate) fn run(app: &App, args: &ReportArgs) -> Outcome {
    let (document, known) = collect(app)?;
    let text = redact::document(&document, &Redactor::new(known, std::env::home_dir().as_deref()));
    if args.output.as_deref() == Some(Path::new("-")) {
        app.print(&text)?;
        return Ok(Exit::Ok);
    }
    let path = args.output.clone().unwrap_or_else(|| default_path(app));
    let shown = path.display().to_string();
    write_private(&path, &text).map_err(|error| {
        let what =
            tr!(app.messages, "report-unwritable", path = shown.as_str(), why = app.messages.io(&error));
        Failure::new(Exit::Failed, what).next(tr!(app.messages, "report-unwritable-next"))
    })?;
    if app.json {
        app.print_json(&json!({"path": shown, "bytes": text.len()}))?;
    } else {
        let done = Span::plain(tr!(app.messages, "report-written", path = shown));
        app.print(&flow::spans(app.view().look, "", 2, &[done]))?;
    }
    Ok(Exit::Ok)
}

/// The report as it would be without redaction of its texts, and the secrets that are known.
fn collect(app: &App) -> Outcome<(Value, Vec<String>)> {
    let (mut status, mut keys, mut unanswered) = (None, None, None);
    match connect::find(app, Start::No) {
        Ok(Some(mut client)) => {
            let failure = |error| connect::failure(app, error).what;
            match client.ask::<typed::DaemonStatus>(&Empty {}) {
                Ok(found) => status = Some(found),
                Err(error) => unanswered = Some(failure(error)),
            }
            match client.ask::<typed::KeysList>(&ListParams::default()) {
                Ok(found) => keys = Some(found),
                Err(error) => unanswered = Some(failure(error)),
            }
        }
        Ok(None) => {}
        Err(Stop::Failure(failure)) => unanswered = Some(failure.what),
        Err(stop @ Stop::ReaderGone) => return Err(stop),
    }
    let env_file = status.as_ref().and_then(|status| status.daemon.env_file.clone());
    let theirs = match &status {
        Some(status) => settings::of_running(&status.daemon),
        None => settings::of_daemon(None),
    };
    // Their values stand among the settings, as far as they may be seen.
    if let Some(status) = &mut status {
        status.daemon.environment.values_mut().for_each(|value| *value = None);
    }
    let folder = status.as_ref().map(|status| PathBuf::from(&status.daemon.state_dir));
    let folder = folder.unwrap_or_else(|| app.settings.state_dir.clone());

    let mut sources = secrets::Sources::default();
    sources.key_folders.extend(theirs.key_folders);
    sources.key_folders.push(folder.join("_auths"));
    sources.files.extend(env_file.map(PathBuf::from));
    sources.files.extend(app.settings.env_file.clone());
    sources.files.push(folder.join(".env"));
    if let Some(status) = &status {
        sources.key_folders.extend(status.daemon.auths_dir.as_ref().map(PathBuf::from));
    }
    if let Some(keys) = &keys {
        sources.files.extend(keys.clients.iter().map(|client| PathBuf::from(&client.path)));
    }
    let mut known = secrets::known(&sources);
    known.extend(keys.iter().flat_map(|list| &list.keys).filter_map(|key| key.email.clone()));
    let token = status.as_ref().and_then(|status| {
        settings::access(status.daemon.env_file.as_deref()).token.map(|token| token.expose().to_owned())
    });
    known.extend(token);

    let checks = doctor::look(app, &DoctorArgs { recheck_keys: false, clear_blocklist: false })?;
    let problems: Vec<String> =
        theirs.errors.iter().chain(&theirs.warnings).map(ToString::to_string).collect();
    let document = json!({
        "report": 1,
        "made_at": app.view().now.to_string(),
        "kmi": {"version": VERSION, "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
            "system": system(), "locale": format!("{:?}", app.settings.locale).to_lowercase()},
        "settings": theirs.rows,
        "settings_problems": problems,
        "status": status,
        "keys": keys.map(without_people),
        "unanswered": unanswered,
        "doctor": checks,
        "logs": {
            "kmi.log": lines(&folder.join("logs"), "kmi.log", LOG_LINES),
            "proxy.out": lines(&folder.join("logs"), "proxy.out", LOG_LINES),
        },
        "trace": lines(&folder.join("trace"), "trace.jsonl", TRACE_LINES),
    });
    Ok((document, known))
}

/// Accounts as numbers, so that one still sees which keys share one; no e-mails.
fn without_people(mut list: KeyList) -> KeyList {
    let mut accounts: Vec<String> = Vec::new();
    for key in &mut list.keys {
        key.email = None;
        if let Some(account) = key.account.take() {
            let place = accounts.iter().position(|known| *known == account).unwrap_or_else(|| {
                accounts.push(account);
                accounts.len() - 1
            });
            key.account = Some(format!("account {}", place + 1));
        }
    }
    list
}

/// The newest lines, as JSON where they are; why there are none, where they cannot be read.
fn lines(folder: &Path, name: &str, count: usize) -> Vec<Value> {
    match log_files::last_lines(folder, name, count, None) {
        Ok(lines) => lines.iter().map(|line| entry(name, line)).collect(),
        Err(error) => vec![json!(format!("{name} cannot be read: {error}"))],
    }
}

fn entry(name: &str, line: &str) -> Value {
    match serde_json::from_str::<Value>(line) {
        Ok(value) => redact::without_prompts(value),
        // A piece of a trace line could be a piece of a prompt.
        Err(_) if name == "trace.jsonl" => json!("[a line that is no JSON]"),
        Err(_) => json!(line.chars().take(LONGEST_LINE).collect::<String>()),
    }
}

/// The distribution and the kernel, where files tell.
fn system() -> Option<String> {
    let release = std::fs::read_to_string("/etc/os-release").ok()?;
    let name =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?.trim_matches('"').to_owned();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Some(format!("{name}, {}", kernel.trim()))
}

fn default_path(app: &App) -> PathBuf {
    let view = app.view();
    let time = view.now.to_zoned(view.zone).strftime("%Y%m%d-%H%M%S").to_string();
    PathBuf::from(format!("kmi-report-{time}.json"))
}

/// Writes a file that nobody else may read, and none that is there already.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;

        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
