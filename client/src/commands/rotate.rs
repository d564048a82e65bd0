//! `kmi rotate`: another key, and automatic rotation on or off.

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::rotation::{Auto, AutoParams, RotateParams, Rotated};
use serde_json::json;

use crate::app::App;
use crate::args::{E2eArgs, RotateArgs, RotateMode};
use crate::commands::e2e;
use crate::connect::{self, Daemon, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span};
use crate::{settings, tr};

pub(crate) fn run(app: &App, args: &RotateArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    match args.mode {
        Some(mode) => auto(app, &mut daemon, mode == RotateMode::Auto),
        None => rotate(app, &mut daemon, args.to.clone()),
    }
}

fn rotate(app: &App, daemon: &mut Daemon, to: Option<String>) -> Outcome {
    let rotated = daemon
        .ask::<typed::RotationRotate>(&RotateParams { to })
        .map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&rotated)?;
    } else {
        app.print(&render(&app.view(), &rotated))?;
    }
    Ok(Exit::Ok)
}

/// From, to, why, and what was written.
pub(crate) fn render(view: &View<'_>, rotated: &Rotated) -> String {
    let messages = view.messages;
    let active = rotated.active.as_str();
    let headline = match (&rotated.previous, rotated.rotated) {
        (Some(previous), true) => {
            tr!(messages, "rotate-switched", from = previous.as_str(), to = active)
        }
        (None, true) => tr!(messages, "rotate-first", to = active),
        (_, false) => tr!(messages, "rotate-stays", key = active),
    };
    let paint = if rotated.rotated { Paint::Good } else { Paint::Strong };
    let why = view.word("rotate-reason", &rotated.reason);
    let mut text = flow::spans(view.look, "", 2, &[Span::new(paint, headline), Span::new(Paint::Faint, why)]);
    for path in &rotated.config_written {
        let line = tr!(messages, "rotate-written", path = path.as_str());
        text.push_str(&flow::spans(view.look, "  ", 4, &[Span::plain(line)]));
    }
    for warning in view.messages.all_said(&rotated.warnings_said, &rotated.warnings) {
        let line = tr!(messages, "warning-line", what = warning);
        text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Warn, line)]));
    }
    text
}

fn auto(app: &App, daemon: &mut Daemon, enabled: bool) -> Outcome {
    let auto = daemon
        .ask::<typed::RotationAuto>(&AutoParams { enabled })
        .map_err(|error| connect::failure(app, error))?;
    let check = auto.enabled && enabled && wants_check(app, daemon)?;
    if !app.json {
        app.print(&render_auto(&app.view(), &auto))?;
    }
    if !check {
        if app.json {
            app.print_json(&auto)?;
        }
        return Ok(Exit::Ok);
    }
    let report = e2e::measure(app, daemon, &E2eArgs::default())?;
    if app.json {
        app.print_json(&json!({"enabled": auto.enabled, "reason": auto.reason, "e2e": report}))?;
    } else {
        app.print(&format!("\n{}", e2e::render(&app.view(), &report)))?;
    }
    Ok(report.exit())
}

/// Unless it is turned off, and with more than one key to spread over.
fn wants_check(app: &App, daemon: &mut Daemon) -> Outcome<bool> {
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let counts = status.keys;
    let several = counts.total.saturating_sub(counts.disabled + counts.blocked + counts.exhausted) > 1;
    // Other policies are not meant to spread requests evenly.
    let in_turn = matches!(status.rotation.policy.as_str(), "" | "round-robin");
    Ok(several && in_turn && settings::access(status.daemon.env_file.as_deref()).auto_rotate_e2e)
}

pub(crate) fn render_auto(view: &View<'_>, auto: &Auto) -> String {
    let headline = if auto.enabled {
        Span::new(Paint::Good, tr!(view.messages, "auto-on"))
    } else {
        Span::new(Paint::Strong, tr!(view.messages, "auto-off"))
    };
    let note = auto.reason.as_deref().map_or_else(String::new, |reason| view.word("auto-reason", reason));
    flow::spans(view.look, "", 2, &[headline, Span::new(Paint::Faint, note)])
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
