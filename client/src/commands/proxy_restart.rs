//! `kmi proxy-restart`: the running kmid hands its work to a new one; where it cannot, it is stopped and started.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use kmi_proto::client::ClientError;
use kmi_proto::error::{Kind, RpcError};
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::DaemonStatus;
use kmid_config::env;
use kmid_config::load::Launch;

use crate::app::App;
use crate::commands::proxy_stop::stop;
use crate::commands::service::{must_fit, restart_by};
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
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
    if let Some(manager) = manager {
        if hand_over_by(app, &manager, &mut daemon)? {
            return taken_over(app, status.daemon.pid);
        }
        drop(daemon);
        restart_by(app, &manager)?;
        return report(app);
    }
    if let HandedOver::Done = hand_over(app, &mut daemon)? {
        return taken_over(app, status.daemon.pid);
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

/// What became of the wish that a new kmid takes over.
enum HandedOver {
    /// It has.
    Done,
    /// This kmid knows no such thing.
    Unknown,
    /// This kmid cannot, and says why: not on this system, or something it has is wanted elsewhere.
    Cannot(RpcError),
}

/// Lets a new kmid take over from the running one, where that can be done.
fn hand_over(app: &App, daemon: &mut connect::Daemon) -> Outcome<HandedOver> {
    connect::patience(daemon, LONGEST_RESTART);
    match daemon.ask::<typed::DaemonRestart>(&Empty {}) {
        Ok(_) => Ok(HandedOver::Done),
        Err(ClientError::Rpc(error)) if error.is(Kind::Unsupported) => Ok(HandedOver::Cannot(error)),
        Err(ClientError::Rpc(error)) if error.is(Kind::MethodNotFound) => Ok(HandedOver::Unknown),
        Err(error) => Err(connect::failure(app, error).into()),
    }
}

/// The same for the kmid of a service; `false` where its manager has to restart it.
pub(crate) fn hand_over_by(app: &App, manager: &Manager, daemon: &mut connect::Daemon) -> Outcome<bool> {
    if !manager.follows_a_successor() {
        return Ok(false);
    }
    must_fit(app, manager)?;
    match hand_over(app, daemon)? {
        HandedOver::Done => Ok(true),
        HandedOver::Unknown => Ok(false),
        // A stop and a start would end in a service that does not start: its files hold the old place.
        HandedOver::Cannot(error) => {
            let failure = connect::failure(app, ClientError::Rpc(error));
            Err(failure.next(tr!(app.messages, "service-elsewhere-next")).into())
        }
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
        app.print(&app.view().flowing(&done))?;
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
        app.print(&app.view().flowing(&done))?;
    }
    Ok(Exit::Ok)
}
