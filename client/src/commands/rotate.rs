//! `kmi rotate`: another key, and automatic rotation on or off.

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::Status;
use kmi_proto::methods::rotation::{Auto, AutoParams, RotateParams, Rotated};
use serde::Serialize;
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
        return Ok(Exit::Ok);
    }
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    app.print(&render(&app.view(), &rotated, status.rotation.mode == "auto"))?;
    Ok(Exit::Ok)
}

/// From, to, why, and what was written; with automatic rotation also that the policy goes on choosing.
pub(crate) fn render(view: &View<'_>, rotated: &Rotated, is_auto: bool) -> String {
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
    if is_auto {
        let line = tr!(messages, "warning-line", what = tr!(messages, "rotate-auto-goes-on"));
        text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Warn, line)]));
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
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let asked_for =
        auto.enabled && enabled && settings::access(status.daemon.env_file.as_deref()).auto_rotate_e2e;
    let unseen = || settings::unseen_token(&status.daemon).is_some();
    let check = match if asked_for { check_of(&status) } else { Check::Needless } {
        Check::Due if unseen() => Check::Token,
        check => check,
    };
    if !app.json {
        app.print(&render_auto(&app.view(), &auto, check))?;
    }
    if check != Check::Due {
        if app.json {
            let skipped = match check {
                Check::Tls => Some("tls"),
                Check::Token => Some("token"),
                Check::Due | Check::Needless => None,
            };
            app.print_json(&Unchecked { auto, e2e_skipped: skipped })?;
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

/// What programs get where the spread is not checked.
#[derive(Debug, Serialize)]
struct Unchecked {
    #[serde(flatten)]
    auto: Auto,
    /// Why it could not be: `tls` or `token`
    #[serde(skip_serializing_if = "Option::is_none")]
    e2e_skipped: Option<&'static str>,
}

/// Whether the spread over the keys is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is.
    Due,
    /// There is nothing to check.
    Needless,
    /// The proxy speaks TLS, and `kmi` does not.
    Tls,
    /// kmid asks for a token that only its own environment has.
    Token,
}

/// With more than one key to spread over, and a policy that is meant to spread requests evenly.
fn check_of(status: &Status) -> Check {
    let counts = status.keys;
    let several = counts.total.saturating_sub(counts.disabled + counts.blocked + counts.exhausted) > 1;
    let in_turn = matches!(status.rotation.policy.as_str(), "" | "round-robin");
    match several && in_turn {
        false => Check::Needless,
        true if status.proxy.url.starts_with("https:") => Check::Tls,
        true => Check::Due,
    }
}

pub(crate) fn render_auto(view: &View<'_>, auto: &Auto, check: Check) -> String {
    let headline = if auto.enabled {
        Span::new(Paint::Good, tr!(view.messages, "auto-on"))
    } else {
        Span::new(Paint::Strong, tr!(view.messages, "auto-off"))
    };
    let note = auto.reason.as_deref().map_or_else(String::new, |reason| view.word("auto-reason", reason));
    let mut text = flow::spans(view.look, "", 2, &[headline, Span::new(Paint::Faint, note)]);
    let skipped = match check {
        Check::Tls => Some(tr!(view.messages, "auto-unchecked-tls")),
        Check::Token => Some(tr!(view.messages, "auto-unchecked-token")),
        Check::Due | Check::Needless => None,
    };
    if let Some(skipped) = skipped {
        let skipped = Span::new(Paint::Warn, skipped);
        text.push_str(&flow::spans(view.look, "", 2, &[skipped]));
    }
    text
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
