//! `kmi proxy-restart`: the running kmid hands its work to a new one; where it cannot, it is stopped and started.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use kmi_proto::client::ClientError;
use kmi_proto::error::Kind;
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::DaemonStatus;
use kmid_config::env;
use kmid_config::load::Launch;

use crate::app::App;
use crate::commands::proxy_stop::stop;
use crate::commands::service::restart_by;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::flow;
use crate::output::style::Span;
use crate::service::{self, Manager};
use crate::tr;

/// Longest wait for a new kmid to serve; the old one gives it up before.
const LONGEST_RESTART: Duration = Duration::from_secs(90);

pub(crate) fn run(app: &App) -> Outcome {
    let manager = service::installed(&app.settings.socket);
    let Some(mut daemon) = connect::find(app, Start::No)? else {
        connect::require(app, Start::OnDemand)?;
        return report(app);
    };
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let manager = manager.filter(|manager| manager.state().pid == Some(status.daemon.pid));
    let follows = manager.as_ref().is_none_or(Manager::follows_a_successor);
    if follows && hand_over(app, &mut daemon)? {
        return taken_over(app, status.daemon.pid);
    }
    if let Some(manager) = manager {
        drop(daemon);
        restart_by(app, &manager)?;
        return report(app);
    }
    app.note(&tr!(app.messages, "restart-stops"));
    // The program is looked for before the old one ends, so that a missing one does not leave nothing running.
    connect::kmid(app)?;
    stop(app, daemon, &status, false)?;
    let mut flags = vec![OsString::from("--no-folder")];
    flags.extend(same_paths(app, &status.daemon).to_args());
    connect::launch(app, &flags)?;
    report(app)
}

/// Lets a new kmid take over from the running one; `false` where that cannot be done on this system or by this kmid.
pub(crate) fn hand_over(app: &App, daemon: &mut connect::Daemon) -> Outcome<bool> {
    connect::patience(daemon, Some(LONGEST_RESTART));
    match daemon.ask::<typed::DaemonRestart>(&Empty {}) {
        Ok(_) => Ok(true),
        Err(ClientError::Rpc(error)) if error.is(Kind::Unsupported) || error.is(Kind::MethodNotFound) => {
            Ok(false)
        }
        Err(error) => Err(connect::failure(app, error).into()),
    }
}

/// The paths that the old daemon resolved, for the new one to keep.
fn same_paths(app: &App, daemon: &DaemonStatus) -> Launch {
    let mut flags: Vec<(&'static str, OsString)> = vec![
        (env::STATE_DIR.name, (&daemon.state_dir).into()),
        (env::SOCKET.name, app.settings.socket.clone().into_os_string()),
    ];
    flags.extend(daemon.auths_dir.as_ref().map(|path| (env::AUTHS_DIR.name, path.into())));
    let mut launch = Launch { flags, ..Launch::default() };
    if let Some(file) = &daemon.env_file {
        if was_found(daemon, Path::new(file)) {
            launch.found_env_file = Some(file.into());
        } else {
            launch.flags.push((env::ENV_PATH.name, file.into()));
        }
    }
    launch
}

/// Whether a settings file is one that is found by default, which is weaker than the environment, and not one that a
/// person named.
fn was_found(daemon: &DaemonStatus, file: &Path) -> bool {
    let beside_keys = daemon.auths_dir.as_deref().and_then(|path| Path::new(path).parent());
    let folders = [Some(Path::new(&daemon.state_dir)), beside_keys];
    folders.into_iter().flatten().any(|folder| file == folder.join(".env"))
}

/// The new one serves; the old one ends when its requests have.
fn taken_over(app: &App, old: u32) -> Outcome {
    let mut daemon = connect::require(app, Start::No)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let pid = status.daemon.pid;
    let url = status.proxy.url.as_str();
    if app.json {
        app.print_json(&serde_json::json!({"restarted": true, "pid": pid, "old_pid": old, "url": url}))?;
    } else {
        let (pid, old) = (pid.to_string(), old.to_string());
        let done = tr!(app.messages, "restart-taken-over", pid = pid, old = old, url = url);
        app.print(&flow::spans(app.look, "", 2, &[Span::plain(done)]))?;
    }
    Ok(Exit::Ok)
}

fn report(app: &App) -> Outcome {
    let mut daemon = connect::require(app, Start::No)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(
            &serde_json::json!({"restarted": true, "pid": status.daemon.pid, "url": status.proxy.url}),
        )?;
    } else {
        let pid = status.daemon.pid.to_string();
        let url = status.proxy.url.as_str();
        let done = tr!(app.messages, "restart-done", pid = pid, url = url);
        app.print(&flow::spans(app.look, "", 2, &[Span::plain(done)]))?;
    }
    Ok(Exit::Ok)
}
