//! What is in the way of an install or uninstall: another service, a kmid that nobody manages, a port that is taken.

use std::path::Path;

use kmid_config::settings::ListenAddr;

use super::{daemon_status, stop_by};
use crate::app::App;
use crate::commands::keys::ask;
use crate::commands::proxy_stop;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::service::plan::Plan;
use crate::service::{Activity, Manager, State};
use crate::tr;

/// The state directory of the installed service, or else its file, where it is not the one that is planned: there is
/// one service a person.
pub(super) fn another(manager: &Manager, plan: &Plan) -> Option<String> {
    let file = manager.file()?;
    match manager.written().and_then(|written| written.settings().ok()) {
        Some(there) if there.state_dir == plan.state_dir && there.socket == plan.socket => None,
        Some(there) if there.state_dir != plan.state_dir => Some(there.state_dir.display().to_string()),
        Some(there) => Some(there.socket.display().to_string()),
        None if manager.serves(&plan.socket) => None,
        None => Some(file.display().to_string()),
    }
}

/// What an install would do to a service of another state directory.
pub(super) fn replaced(app: &App, another: &str, plan: &Plan) -> String {
    let wanted = plan.state_dir.display().to_string();
    tr!(app.messages, "service-another", there = another, wanted = wanted)
}

/// A service of another control socket than the one in use; in words.
pub(super) fn elsewhere(app: &App, manager: &Manager) -> Option<String> {
    let file = manager.file().filter(|_| !manager.serves(&app.settings.socket))?;
    let (file, socket) = (file.display().to_string(), app.settings.socket.display().to_string());
    Some(tr!(app.messages, "service-other", file = file, socket = socket))
}

/// Asks whether a service of another state directory may go; where nobody can be asked, `--yes` has to say it.
pub(super) fn may_go(app: &App, what: &str, yes: bool) -> Outcome<bool> {
    if yes {
        return Ok(true);
    }
    if !ask::somebody() || app.json {
        let failure = Failure::new(Exit::Failed, what);
        return Err(failure.next(tr!(app.messages, "service-another-next")).into());
    }
    let agreed = ask::agreed(app, &tr!(app.messages, "service-another-ask", what = what), false);
    if !agreed {
        app.note(&tr!(app.messages, "service-left"));
    }
    Ok(agreed)
}

/// What runs now makes way: a kmid that nobody manages, and the service with its old files.
pub(super) fn make_way(app: &App, manager: &Manager, same: bool) -> Outcome<()> {
    let state = manager.state();
    stop_stranger(app, &state)?;
    if is_managed(&state) && !same { stop_by(app, manager, false) } else { Ok(()) }
}

fn is_managed(state: &State) -> bool {
    state.listens || matches!(state.activity, Activity::Running | Activity::Starting | Activity::Restarting)
}

/// Ends a kmid that nobody manages: it holds lock, socket and port, and a manager that listens there all the same would
/// take its control socket away.
pub(super) fn stop_stranger(app: &App, state: &State) -> Outcome<()> {
    match daemon_status(app)? {
        Some(status) if !is_managed(state) || state.pid != Some(status.daemon.pid) => {
            app.note(&tr!(app.messages, "service-makes-way", pid = status.daemon.pid.to_string()));
            proxy_stop::stop(app, connect::require(app, Start::No)?, &status, false)
        }
        _ => Ok(()),
    }
}

/// Whether the proxy's address can be listened on, where nobody does so for kmid yet: a service manager would say it
/// less plainly.
pub(super) fn is_free(app: &App, state: &State, listen: &ListenAddr, state_dir: &Path) -> Outcome<()> {
    if is_managed(state) {
        return Ok(());
    }
    match std::net::TcpListener::bind((listen.host.trim_matches(['[', ']']), listen.port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = tr!(
                app.messages,
                "service-address",
                address = listen.to_string(),
                why = app.messages.io(&error)
            );
            let file = state_dir.join(".env").display().to_string();
            Err(Failure::new(Exit::Failed, what)
                .next(tr!(app.messages, "service-address-next", file = file))
                .into())
        }
    }
}

/// Where a stop by the manager would not wait for requests, kmid is asked to end first.
pub(super) fn end_gently(app: &App, manager: &Manager) -> Outcome<()> {
    if manager.stops_gently() || !manager.serves(&app.settings.socket) {
        return Ok(());
    }
    match daemon_status(app)? {
        Some(status) => proxy_stop::stop(app, connect::require(app, Start::No)?, &status, false),
        None => Ok(()),
    }
}
