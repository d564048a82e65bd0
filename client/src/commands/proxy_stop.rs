//! `kmi proxy-stop`

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Status, StopParams};
use serde_json::json;

use crate::app::App;
use crate::args::ProxyStopArgs;
use crate::commands::service::stop_by;
use crate::connect::{self, Daemon, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::{service, tr};

/// Longest wait for a drain; KMI_PROXY_DRAIN_SECONDS is 30 by default.
const LONGEST_DRAIN: Duration = Duration::from_secs(600);

/// Longest wait for the end of the process once its socket has closed.
const LONGEST_FLUSH: Duration = Duration::from_secs(30);

/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn run(app: &App, args: &ProxyStopArgs) -> Outcome {
    let found = connect::find(app, Start::No)?;
    let manager = service::installed(&app.settings.socket);
    let Some(mut daemon) = found else {
        return match manager {
            // Nothing runs, but the next request would start it.
            Some(manager) if service::would_start(&app.settings.socket) => {
                stop_by(app, &manager, false)?;
                said_asleep(app)
            }
            _ => {
                let socket = app.settings.socket.display().to_string();
                Err(Failure::new(Exit::NotRunning, tr!(app.messages, "stop-nothing", socket = socket)).into())
            }
        };
    };
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if !args.yes
        && !app.json
        && io::stdin().is_terminal()
        && io::stderr().is_terminal()
        && !agreed(app, &status)
    {
        app.note(&tr!(app.messages, "stop-kept"));
        return Ok(Exit::Failed);
    }
    match manager.filter(|manager| manager.state().pid == Some(status.daemon.pid)) {
        Some(manager) => {
            drop(daemon);
            stop_by(app, &manager, args.force)?;
        }
        None => stop(app, daemon, &status, args.force)?,
    }
    if app.json {
        app.print_json(&json!({"stopped": true, "pid": status.daemon.pid}))?;
    } else {
        app.print(&app.view().flowing(&tr!(app.messages, "stop-done", pid = status.daemon.pid.to_string())))?;
    }
    Ok(Exit::Ok)
}

fn said_asleep(app: &App) -> Outcome {
    if app.json {
        app.print_json(&json!({"stopped": true, "pid": null}))?;
    } else {
        app.print(&app.view().flowing(&tr!(app.messages, "service-stopped")))?;
    }
    Ok(Exit::Ok)
}

/// Asks on stderr, so that stdout stays clean; anything but a yes is a no.
fn agreed(app: &App, status: &Status) -> bool {
    let question = match status.requests.in_flight {
        0 => tr!(app.messages, "stop-ask"),
        count => tr!(app.messages, "stop-ask-in-flight", count = count),
    };
    let _ = write!(io::stderr(), "{question} ").and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer).is_err() {
        return false;
    }
    let answer = answer.trim().to_lowercase();
    tr!(app.messages, "stop-yes").split(' ').any(|yes| yes == answer)
}

/// Stops the daemon and returns when its process has ended.
pub(crate) fn stop(app: &App, mut daemon: Daemon, status: &Status, force: bool) -> Outcome<()> {
    daemon.ask::<typed::DaemonStop>(&StopParams { force }).map_err(|error| connect::failure(app, error))?;
    if !force && status.requests.in_flight > 0 {
        app.note(&tr!(app.messages, "stop-draining", count = status.requests.in_flight));
    }
    connect::patience(&daemon, LONGEST_DRAIN);
    // The daemon closes its connections when it ends: reading up to there is waiting without polling.
    let mut rest = [0; 1024];
    let mut stream = daemon.get_ref();
    while matches!(stream.read(&mut rest), Ok(read) if read > 0) {}
    if ended(status) {
        return Ok(());
    }
    let pid = status.daemon.pid.to_string();
    Err(Failure::new(Exit::Failed, tr!(app.messages, "error-stop", pid = pid))
        .next(tr!(app.messages, "error-stop-next"))
        .into())
}

/// Waits for the process to be gone after its socket has closed; flushing its last lines takes a moment.
#[cfg(unix)]
fn ended(status: &Status) -> bool {
    let pid = status.daemon.pid;
    let Some(id) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return true;
    };
    for _ in 0..LONGEST_FLUSH.as_millis() / LOOK_EVERY.as_millis() {
        let gone = rustix::process::test_kill_process(id) == Err(rustix::io::Errno::SRCH);
        if gone || is_zombie(pid) {
            return true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    false
}

/// Waits for the lock of the state directory, which a daemon holds until its last line is written: nothing in the
/// standard library tells of a process that is not a child.
#[cfg(not(unix))]
fn ended(status: &Status) -> bool {
    let lock = std::path::Path::new(&status.daemon.state_dir).join("kmid.lock");
    for _ in 0..LONGEST_FLUSH.as_millis() / LOOK_EVERY.as_millis() {
        let held = std::fs::File::open(&lock).and_then(|file| Ok(file.try_lock_shared()?));
        match held {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK_EVERY),
            // Free, or gone with its directory.
            _ => return true,
        }
    }
    false
}

/// Whether a process has ended and only waits for its parent to notice, as under a parent that never does.
#[cfg(unix)]
fn is_zombie(pid: u32) -> bool {
    // `pid (name) state ...`, proc_pid_stat(5), 2026-11; elsewhere there is no such file.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
    })
}
