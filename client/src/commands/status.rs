//! `kmi status`

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Issue, Status};
use kmid_core::said::Said;
use serde_json::json;

use crate::app::App;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::flow::{self, Fields};
use crate::output::style::{Paint, Span};
use crate::{service, settings, tr};

pub(crate) fn run(app: &App) -> Outcome {
    let Some(mut daemon) = connect::find(app, Start::No)? else {
        if app.json {
            let service = service::state_of(&app.settings.socket);
            // A service has settings of its own, and its manager has tried them.
            let unusable = match &service {
                Some(state) => state.settings_unusable(),
                None => !settings::obstacles(app.socket_flag.as_deref(), false).is_empty(),
            };
            app.print_json(&json!({
                "proxy": {
                    "running": false,
                    "daemon_log": connect::proxy_out(app),
                    "starts_on_request": !unusable && service.is_some_and(|state| state.would_start()),
                    "settings_unusable": unusable,
                },
                "daemon": {"state_dir": app.settings.state_dir, "env_file": app.settings.env_file},
                "issues": [],
            }))?;
            return Ok(Exit::NotRunning);
        }
        return Err(connect::not_running(app).into());
    };
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&status)?;
    } else {
        app.print(&render(&app.view(), &status, held(app, &status)))?;
    }
    Ok(Exit::Ok)
}

/// The changed setting that the service's files hold, so that a restart does not put it in force.
pub(crate) fn held(app: &App, status: &Status) -> Option<&'static str> {
    service::waiting_for_install(&app.settings.socket, &status.daemon.needs_restart)
}

/// The summary for people; `held` is a changed setting that the service's files hold.
pub(crate) fn render(view: &View<'_>, status: &Status, held: Option<&str>) -> String {
    let messages = view.messages;
    let mut fields = Fields::default();
    let mode = if status.mode == "live" { Paint::Good } else { Paint::Warn };
    fields.row(
        tr!(messages, "status-mode"),
        vec![
            Span::new(mode, view.word("mode", &status.mode)),
            Span::new(Paint::Faint, mode_note(view, status)),
        ],
    );
    fields.row(tr!(messages, "status-proxy"), proxy(view, status));
    fields.row(tr!(messages, "status-upstream"), vec![Span::plain(&status.upstream)]);
    fields.row(tr!(messages, "status-keys"), keys(view, status));
    let active = match &status.active_key {
        Some(label) => Span::new(Paint::Strong, label),
        None => Span::new(Paint::Warn, tr!(messages, "status-no-active-key")),
    };
    fields.row(tr!(messages, "status-active"), vec![active]);
    fields.row(tr!(messages, "status-rotation"), rotation(view, status));
    fields.row(tr!(messages, "status-policy"), policy(view, status));
    fields.row(tr!(messages, "status-cache"), cache(view, status));
    fields.row(tr!(messages, "status-requests"), requests(view, status));
    fields.row(tr!(messages, "status-daemon"), daemon(view, status));
    let mut text = fields.render(view.look);
    text.push_str(&alerts(view, &with_waiting(view, status, held)));
    text
}

fn mode_note(view: &View<'_>, status: &Status) -> String {
    if status.mode == "dry-run" { tr!(view.messages, "status-dry-run-note") } else { String::new() }
}

fn proxy(view: &View<'_>, status: &Status) -> Vec<Span> {
    let word = if status.proxy.running {
        Span::new(Paint::Good, tr!(view.messages, "status-running"))
    } else {
        Span::new(Paint::Bad, tr!(view.messages, "status-stopped"))
    };
    vec![Span::plain(&status.proxy.url), word]
}

fn keys(view: &View<'_>, status: &Status) -> Vec<Span> {
    let messages = view.messages;
    let counts = status.keys;
    let out = counts.disabled + counts.blocked + counts.exhausted;
    let serving = counts.total.saturating_sub(out);
    let mut spans = vec![Span::plain(tr!(messages, "keys-total", count = counts.total))];
    if counts.total == 0 {
        spans.push(Span::plain(tr!(messages, "status-add-key")));
    } else {
        let paint = if serving == 0 { Paint::Bad } else { Paint::Good };
        spans.push(Span::new(paint, tr!(messages, "keys-serving", count = serving)));
    }
    if counts.exhausted > 0 {
        spans.push(Span::new(Paint::Warn, tr!(messages, "keys-cooling", count = counts.exhausted)));
    }
    if counts.blocked > 0 {
        spans.push(Span::new(Paint::Bad, tr!(messages, "keys-blocked", count = counts.blocked)));
    }
    if counts.disabled > 0 {
        spans.push(Span::new(Paint::Faint, tr!(messages, "keys-disabled", count = counts.disabled)));
    }
    spans
}

fn rotation(view: &View<'_>, status: &Status) -> Vec<Span> {
    let messages = view.messages;
    let (mode, policy) = (&status.rotation.mode, &status.rotation.policy);
    let note = messages
        .find(&format!("rotation-note-{mode}-{policy}"))
        .or_else(|| messages.find(&format!("rotation-note-{mode}")));
    let mut spans = vec![
        Span::plain(view.word("rotation", &status.rotation.mode)),
        Span::new(Paint::Faint, note.unwrap_or_default()),
    ];
    if status.rotation.auto_rotate && !status.rotation.allowed {
        spans.push(Span::new(Paint::Warn, tr!(messages, "status-auto-not-allowed")));
    }
    spans
}

fn policy(view: &View<'_>, status: &Status) -> Vec<Span> {
    let messages = view.messages;
    let strict = if status.policy.strict_usage_check {
        tr!(messages, "policy-strict")
    } else {
        tr!(messages, "policy-lenient")
    };
    let mut spans = vec![Span::plain(strict)];
    if status.policy.strict_usage_check {
        spans.push(Span::plain(if status.policy.fail_open_on_empty_cache {
            tr!(messages, "policy-open")
        } else {
            tr!(messages, "policy-closed")
        }));
    }
    spans.push(Span::plain(match status.payment_block_seconds {
        0 => tr!(messages, "policy-payment-forever"),
        seconds => tr!(messages, "policy-payment", span = view.span(seconds)),
    }));
    spans
}

fn cache(view: &View<'_>, status: &Status) -> Vec<Span> {
    let messages = view.messages;
    let every = match status.cache.usage_refresh_seconds {
        0 => tr!(messages, "cache-off"),
        seconds => tr!(messages, "cache-every", span = view.span(seconds)),
    };
    let last = match &status.last_health_refresh {
        Some(time) => tr!(messages, "cache-last", when = view.relative_text(time)),
        None => tr!(messages, "cache-never"),
    };
    let recheck = match status.cache.blocklist_recheck_seconds {
        0 => tr!(messages, "cache-recheck-off"),
        seconds => {
            tr!(messages, "cache-recheck", span = view.span(seconds), max = status.cache.blocklist_max)
        }
    };
    vec![Span::plain(every), Span::plain(last), Span::new(Paint::Faint, recheck)]
}

fn requests(view: &View<'_>, status: &Status) -> Vec<Span> {
    let counts = status.requests;
    let mut spans = vec![
        Span::plain(tr!(view.messages, "requests-total", count = counts.total)),
        Span::plain(tr!(view.messages, "requests-in-flight", count = counts.in_flight)),
    ];
    if status.queue.length > 0 {
        spans.push(Span::new(
            Paint::Warn,
            tr!(view.messages, "requests-waiting", count = status.queue.length),
        ));
    }
    if counts.failed > 0 {
        spans.push(Span::new(Paint::Warn, tr!(view.messages, "requests-failed", count = counts.failed)));
    }
    spans.extend(sessions(view, status.sessions.known, status.cache_share));
    spans
}

/// How many sessions there are, and how much of their prompts came from the cache; nothing where nothing is known.
pub(crate) fn sessions(view: &View<'_>, count: usize, cache_share: Option<f64>) -> Vec<Span> {
    let known = (count > 0).then(|| Span::plain(tr!(view.messages, "sessions-count", count = count as u64)));
    let cached = cache_share.map(|share| {
        let percent = format!("{:.0}", share * 100.0);
        Span::plain(tr!(view.messages, "sessions-cached", percent = percent))
    });
    known.into_iter().chain(cached).collect()
}

fn daemon(view: &View<'_>, status: &Status) -> Vec<Span> {
    let messages = view.messages;
    let daemon = &status.daemon;
    let mut spans = vec![
        Span::plain(format!("kmid {}", daemon.version)),
        // A process id is a name, not an amount: it takes no digit grouping.
        Span::plain(tr!(messages, "daemon-pid", pid = daemon.pid.to_string())),
        Span::plain(tr!(messages, "daemon-up", span = view.span(daemon.uptime_seconds))),
    ];
    if daemon.rss_bytes > 0 {
        spans.push(Span::plain(view.bytes(daemon.rss_bytes)));
    }
    spans
}

/// The daemon's issues, and the settings that were changed and do not count yet.
fn with_waiting(view: &View<'_>, status: &Status, held: Option<&str>) -> Vec<Issue> {
    let waiting = status.daemon.needs_restart.iter().map(|name| Issue {
        kind: "settings".to_owned(),
        level: "warn".to_owned(),
        subject: name.clone(),
        said: Said::plain(match held == Some(name.as_str()) {
            true => tr!(view.messages, "status-needs-install"),
            false => tr!(view.messages, "status-needs-restart"),
        }),
    });
    status.issues.iter().cloned().chain(waiting).collect()
}

/// What a person should know about, or nothing.
pub(crate) fn alerts(view: &View<'_>, issues: &[Issue]) -> String {
    if issues.is_empty() {
        return String::new();
    }
    let title = tr!(view.messages, "alerts-title", count = issues.len());
    let mut text = format!("\n{}\n", view.look.paint(Paint::Strong, &title));
    for issue in issues {
        let (mark, paint) = if issue.level == "error" { ("✗", Paint::Bad) } else { ("!", Paint::Warn) };
        let mark = if view.look.boxes { mark.to_owned() } else { view.word("level", &issue.level) };
        let spans = [Span::new(Paint::Strong, &issue.subject), Span::plain(view.messages.said(&issue.said))];
        let lines = flow::spans(view.look, &format!("  {mark}  "), 4, &spans);
        // The lead is measured without its colour codes, so it is painted afterwards.
        text.push_str(&lines.replacen(&mark, &view.look.paint(paint, &mark), 1));
    }
    text
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
