//! `kmi service start`, `stop`, `restart`, `status`, `logs`

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::Status;
use serde_json::json;

use super::args::LogsArgs;
use super::{
    carry_out, daemon_status, installed, manager, must_fit, start_by, start_or_stop, wait_ready, way,
};
use crate::app::App;
use crate::commands::proxy::become_program;
use crate::commands::proxy_restart::hand_over_by;
use crate::commands::{proxy_stop, status};
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome, Stop};
use crate::output::View;
use crate::output::flow::Fields;
use crate::output::style::{Paint, Span};
use crate::service::{Activity, Manager, State};
use crate::tr;

pub(super) fn start(app: &App) -> Outcome {
    let manager = installed(app)?;
    stop_stranger(app, &manager)?;
    start_by(app, &manager)?;
    let status = wait_ready(app)?;
    done(app, &manager, "started", &status)
}

pub(super) fn stop(app: &App) -> Outcome {
    let manager = installed(app)?;
    stop_by(app, &manager, false)?;
    if app.json {
        app.print_json(&json!({"stopped": true, "manager": manager.name()}))?;
    } else {
        app.print(&stopped(&app.view()))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn restart(app: &App) -> Outcome {
    let manager = installed(app)?;
    if !taken_over(app, &manager)? {
        stop_stranger(app, &manager)?;
        restart_by(app, &manager)?;
    }
    let status = wait_ready(app)?;
    done(app, &manager, "restarted", &status)
}

/// A kmid that nobody manages makes way, where the manager can tell it from its own.
fn stop_stranger(app: &App, manager: &Manager) -> Outcome<()> {
    let state = manager.state();
    if state.activity == Activity::Unknown { Ok(()) } else { way::stop_stranger(app, &state) }
}

/// Lets a new kmid take over from the service's own one, where the manager goes along with that.
fn taken_over(app: &App, manager: &Manager) -> Outcome<bool> {
    let Some(mut daemon) = connect::find(app, Start::No)? else { return Ok(false) };
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if manager.state().pid != Some(status.daemon.pid) {
        return Ok(false);
    }
    hand_over_by(app, manager, &mut daemon)
}

/// Stops the service and what listens for it, so that no request starts it again.
pub(crate) fn stop_by(app: &App, manager: &Manager, force: bool) -> Outcome<()> {
    if (force || !manager.stops_gently())
        && let Some(status) = daemon_status(app)?
    {
        proxy_stop::stop(app, connect::require(app, Start::No)?, &status, force)?;
    }
    carry_out(app, &manager.stop())
}

/// Restarts the service. Requests that come meanwhile wait where the manager holds the sockets.
pub(crate) fn restart_by(app: &App, manager: &Manager) -> Outcome<()> {
    must_fit(app, manager)?;
    if !manager.stops_gently()
        && let Some(status) = daemon_status(app)?
    {
        proxy_stop::stop(app, connect::require(app, Start::No)?, &status, false)?;
    }
    start_or_stop(app, manager, &manager.restart())
}

fn done(app: &App, manager: &Manager, what: &str, status: &Status) -> Outcome {
    let (pid, url) = (status.daemon.pid, status.proxy.url.as_str());
    if app.json {
        app.print_json(&json!({what: true, "manager": manager.name(), "pid": pid, "url": url}))?;
    } else {
        app.print(&serves(&app.view(), url, pid))?;
    }
    Ok(Exit::Ok)
}

fn stopped(view: &View<'_>) -> String {
    view.flowing(&tr!(view.messages, "service-stopped"))
}

fn serves(view: &View<'_>, url: &str, pid: u32) -> String {
    view.flowing(&tr!(view.messages, "service-serves", url = url, pid = pid.to_string()))
}

pub(super) fn status(app: &App) -> Outcome {
    let manager = manager(app)?;
    let state = manager.state();
    if state.file.is_none() && !app.json {
        installed(app)?;
    }
    // A service of another state directory has another daemon behind it.
    let ours = state.file.is_none() || manager.serves(&app.settings.socket);
    let daemon = match if ours { daemon_status(app) } else { Ok(None) } {
        Ok(daemon) => daemon,
        // What the manager says is worth more then, not less.
        Err(Stop::Failure(failure)) => {
            app.warn(&failure.what);
            None
        }
        Err(gone) => return Err(gone),
    };
    // Without a service there is nothing that could run as one, whoever answers.
    let running = daemon.is_some() && state.file.is_some();
    if app.json {
        app.print_json(&json!({"service": state, "daemon": daemon}))?;
    } else {
        let view = app.view();
        let mut text = render(&view, &state, daemon.as_ref());
        if let Some(daemon) = &daemon {
            text.push_str(&format!("\n{}", status::render(&view, daemon, status::held(app, daemon))));
        }
        app.print(&text)?;
        if let Some(what) = way::elsewhere(app, &manager) {
            app.warn(&what);
        }
        if let Err(why) = manager.reachable() {
            app.warn(&super::unreachable(app, why).what);
        }
    }
    Ok(if running { Exit::Ok } else { Exit::NotRunning })
}

/// The manager's side.
pub(super) fn render(view: &View<'_>, state: &State, daemon: Option<&Status>) -> String {
    let messages = view.messages;
    let mut fields = Fields::default();
    let paint = match state.activity {
        Activity::Running => Paint::Good,
        Activity::Failed => Paint::Bad,
        _ => Paint::Warn,
    };
    let mut words = vec![
        Span::plain(state.manager),
        Span::new(paint, view.word("service-activity", state.activity.name())),
    ];
    words.push(match state.enabled {
        true => Span::new(Paint::Faint, tr!(messages, "service-enabled")),
        false => Span::new(Paint::Warn, tr!(messages, "service-not-enabled")),
    });
    fields.row(tr!(messages, "service-row"), words);
    let file = state.file.as_ref().map(|file| file.display().to_string());
    fields.row(tr!(messages, "service-row-file"), vec![Span::plain(file.unwrap_or_default())]);
    let mut process = Vec::new();
    if let Some(pid) = state.pid {
        process.push(Span::plain(tr!(messages, "daemon-pid", pid = pid.to_string())));
    }
    if let Some(restarts) = state.restarts.filter(|count| *count > 0) {
        process.push(Span::new(Paint::Warn, tr!(messages, "service-restarts", count = u64::from(restarts))));
    }
    if let Some(result) = &state.result {
        process.push(Span::new(Paint::Bad, tr!(messages, "service-result", result = result.as_str())));
    }
    fields.row(tr!(messages, "service-row-process"), process);
    if state.settings_unusable() {
        fields.row(String::new(), vec![Span::new(Paint::Bad, tr!(messages, "service-row-bad-settings"))]);
    }
    let told = state.status.clone().unwrap_or_default();
    fields.row(tr!(messages, "service-row-status"), vec![Span::plain(told)]);
    // Where a manager knows no process, only that none runs tells.
    let knows = state.pid.is_some() || matches!(state.activity, Activity::Stopped | Activity::Failed);
    if let Some(daemon) = daemon.filter(|daemon| knows && state.pid != Some(daemon.daemon.pid)) {
        let other = tr!(messages, "service-other-daemon", pid = daemon.daemon.pid.to_string());
        fields.row(String::new(), vec![Span::new(Paint::Warn, other)]);
    }
    fields.render(view.look)
}

pub(super) fn logs(app: &App, args: &LogsArgs) -> Outcome {
    let manager = installed(app)?;
    match manager.logs(args.lines, args.follow, &app.settings.state_dir) {
        Some(step) if crate::service::step::is_on_path(step.program) => become_program(app, step.command()),
        _ => {
            let failure = Failure::new(Exit::Failed, tr!(app.messages, "service-no-logs"));
            Err(failure.next(tr!(app.messages, "next-logs")).into())
        }
    }
}

#[cfg(test)]
#[path = "steer_tests.rs"]
mod tests;
