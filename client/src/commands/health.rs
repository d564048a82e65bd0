//! `kmi health`: every key, or the one that the Kimi client is configured with.

use kmi_proto::method::typed;
use kmi_proto::methods::daemon::Upstream;
use kmi_proto::methods::keys::{Key, KeyList, ListParams, Window};
use serde::Serialize;

use crate::app::App;
use crate::args::HealthArgs;
use crate::commands::status::{alerts, sessions};
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span, clean, width};
use crate::output::time::parse;
use crate::tr;

/// A key with what only this side knows.
#[derive(Debug, Serialize)]
pub(crate) struct Shown<'a> {
    #[serde(flatten)]
    key: &'a Key,
    /// Whether a Kimi client's config holds this key.
    configured: bool,
}

pub(crate) fn run(app: &App, args: &HealthArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    if args.refresh {
        connect::patience(&daemon, Some(connect::SLOW));
    }
    let list = daemon
        .ask::<typed::KeysList>(&ListParams { refresh: args.refresh })
        .map_err(|error| connect::failure(app, error))?;
    if args.current {
        return current(app, &list);
    }
    let keys = mark(&list);
    if app.json {
        app.print_json(&serde_json::json!({
            "keys": keys, "issues": list.issues, "clients": list.clients, "upstreams": list.upstreams
        }))?;
    } else {
        app.print(&render(&app.view(), &keys, &list))?;
    }
    Ok(if list.keys.iter().any(serves) { Exit::Ok } else { Exit::Failed })
}

fn serves(key: &Key) -> bool {
    matches!(key.state.as_str(), "ready" | "warn")
}

/// A key in the config of a client that goes through kmid is not the one that is used.
pub(crate) fn mark(list: &KeyList) -> Vec<Shown<'_>> {
    let holds = |key: &Key| {
        list.clients
            .iter()
            .any(|client| !client.points_at_kmid && client.fingerprint.as_ref() == Some(&key.fingerprint))
    };
    list.keys.iter().map(|key| Shown { key, configured: holds(key) }).collect()
}

/// The account in the Kimi client's config: the key written there, or the active one when the client goes through
/// the proxy, and the other keys of the same account.
fn current(app: &App, list: &KeyList) -> Outcome {
    let messages = &app.messages;
    if list.clients.is_empty() {
        return Err(Failure::new(Exit::Failed, tr!(messages, "current-no-config"))
            .next(tr!(messages, "current-no-config-next"))
            .into());
    }
    let through_proxy = list.clients.iter().any(|client| client.points_at_kmid);
    let shown = mark(list);
    let is_current = |shown: &Shown<'_>| shown.configured || (through_proxy && shown.key.active);
    let accounts: Vec<&str> = shown
        .iter()
        .filter(|shown| is_current(shown))
        .filter_map(|shown| shown.key.account.as_deref())
        .collect();
    let chosen: Vec<Shown<'_>> = shown
        .into_iter()
        .filter(|shown| {
            is_current(shown) || shown.key.account.as_deref().is_some_and(|id| accounts.contains(&id))
        })
        .collect();
    if chosen.is_empty() {
        let paths: Vec<&str> = list.clients.iter().map(|client| client.path.as_str()).collect();
        let paths = clean(&paths.join(", ")).into_owned();
        return Err(Failure::new(Exit::Failed, tr!(messages, "current-unknown", path = paths))
            .next(tr!(messages, "current-unknown-next"))
            .into());
    }
    if app.json {
        app.print_json(&serde_json::json!({"keys": chosen, "clients": list.clients}))?;
    } else {
        if through_proxy {
            app.print(&format!("{}\n\n", tr!(messages, "current-through-proxy")))?;
        }
        app.print(&blocks(&app.view(), &chosen))?;
    }
    Ok(if chosen.iter().any(|shown| serves(shown.key)) { Exit::Ok } else { Exit::Failed })
}

/// Every key and what could not be used.
pub(crate) fn render(view: &View<'_>, keys: &[Shown<'_>], list: &KeyList) -> String {
    let mut text = if keys.is_empty() {
        format!("{}\n", tr!(view.messages, "health-no-keys"))
    } else {
        format!("{}\n{}", blocks(view, keys), summary(view, keys))
    };
    list.upstreams.iter().for_each(|upstream| text.push_str(&breaker(view, upstream)));
    text.push_str(&alerts(view, &list.issues));
    text
}

/// An upstream that lets no request pass; nothing about one that works.
fn breaker(view: &View<'_>, upstream: &Upstream) -> String {
    let host = clean(&upstream.host).into_owned();
    let said = match upstream.breaker.as_str() {
        "closed" => return String::new(),
        "open" => tr!(view.messages, "health-upstream-open", host = host),
        _ => tr!(view.messages, "health-upstream-half-open", host = host),
    };
    flow::spans(view.look, "", 2, &[Span::new(Paint::Bad, said)])
}

fn blocks(view: &View<'_>, keys: &[Shown<'_>]) -> String {
    keys.iter().map(|shown| block(view, shown)).collect::<Vec<_>>().join("\n")
}

fn summary(view: &View<'_>, keys: &[Shown<'_>]) -> String {
    let serving = keys.iter().filter(|shown| serves(shown.key)).count();
    let paint = if serving == 0 { Paint::Bad } else { Paint::Good };
    let mut spans =
        vec![Span::new(paint, tr!(view.messages, "health-serving", count = serving, total = keys.len()))];
    let first_reset = keys
        .iter()
        .flat_map(|shown| &shown.key.windows)
        .filter_map(|window| parse(window.resets_at.as_deref()?))
        .filter(|time| *time > view.now)
        .min();
    if let Some(time) = first_reset {
        spans.push(Span::plain(tr!(view.messages, "health-first-reset", when = view.relative(time))));
    }
    if let Some(until) =
        keys.iter().filter(|_| serving == 0).filter_map(|shown| parse(shown.key.until.as_deref()?)).min()
    {
        spans.push(Span::new(
            Paint::Warn,
            tr!(view.messages, "health-first-ready", when = view.relative(until)),
        ));
    }
    flow::spans(view.look, "", 2, &spans)
}

/// One key.
fn block(view: &View<'_>, shown: &Shown<'_>) -> String {
    let look = view.look;
    let mut text = flow::spans(look, "", 2, &heading(view, shown));
    let names = shown.key.windows.iter().map(|w| width(&w.name)).max().unwrap_or(0);
    for window in &shown.key.windows {
        let name = clean(&window.name).into_owned();
        let padding = " ".repeat(names - width(&name).min(names) + 2);
        let lead = format!("  {name}{padding}");
        text.push_str(&flow::spans(look, &lead, names + 4, &window_spans(view, window)));
    }
    if shown.key.windows.is_empty() {
        text.push_str(&flow::spans(
            look,
            "  ",
            4,
            &[Span::new(Paint::Faint, tr!(view.messages, "health-no-reading"))],
        ));
    }
    if let Some(error) = &shown.key.refresh_error {
        let line = tr!(view.messages, "health-refresh-failed", why = error.as_str());
        text.push_str(&flow::spans(look, "  ", 4, &[Span::new(Paint::Warn, line)]));
    }
    text.push_str(&flow::spans(look, "  ", 4, &details(view, shown.key)));
    text
}

fn heading(view: &View<'_>, shown: &Shown<'_>) -> Vec<Span> {
    let key = shown.key;
    let messages = view.messages;
    let paint = Paint::of_state(&key.state);
    let mut spans = Vec::new();
    if view.look.boxes {
        spans.push(Span::new(paint, "●"));
    }
    spans.push(Span::new(Paint::Strong, &key.label));
    spans.push(Span::new(paint, view.word("state", &key.state)));
    if let Some(reason) = &key.reason {
        spans.push(Span::new(paint, view.word("reason", reason)));
    }
    if let Some(until) = key.until.as_deref().and_then(parse) {
        let text = tr!(messages, "health-until", clock = view.clock(until), relative = view.relative(until));
        spans.push(Span::new(paint, text));
    }
    if key.active {
        spans.push(Span::new(Paint::Strong, tr!(messages, "health-active")));
    }
    if shown.configured {
        spans.push(Span::new(Paint::Strong, tr!(messages, "health-configured")));
    }
    spans
}

fn window_spans(view: &View<'_>, window: &Window) -> Vec<Span> {
    let messages = view.messages;
    let percent = window.percent_left;
    let mut spans: Vec<Span> = view.look.bar(percent).into_iter().collect();
    let left = tr!(messages, "window-left", percent = format!("{percent:.0}"));
    spans.push(Span::new(Paint::of_percent(percent), left));
    if let Some(resets_at) = &window.resets_at {
        spans.push(Span::plain(tr!(messages, "window-resets", moment = view.moment(resets_at))));
    }
    if let Some(empty) = window.estimated_empty_at.as_deref().and_then(parse) {
        spans.push(Span::new(Paint::Warn, tr!(messages, "window-empty-at", when = view.relative(empty))));
    }
    let when = view.relative_text(&window.read_at);
    spans.push(match window.source.as_str() {
        "ledger" => Span::new(Paint::Faint, tr!(messages, "window-estimated", when = when)),
        "error" => Span::new(Paint::Warn, tr!(messages, "window-refused", when = when)),
        "reset" => Span::new(Paint::Faint, tr!(messages, "window-unread", when = when)),
        _ => Span::new(Paint::Faint, tr!(messages, "window-read", when = when)),
    });
    if window.stale {
        spans.push(Span::new(Paint::Warn, tr!(messages, "window-stale")));
    }
    spans
}

fn details(view: &View<'_>, key: &Key) -> Vec<Span> {
    let messages = view.messages;
    let mut spans = vec![Span::plain(&key.masked)];
    if let Some(email) = &key.email {
        spans.push(Span::plain(email));
    }
    spans.push(Span::plain(tr!(messages, "requests-total", count = key.requests)));
    spans.push(Span::plain(match key.cap {
        Some(cap) => tr!(messages, "health-in-flight-cap", count = key.in_flight, cap = cap),
        None => tr!(messages, "requests-in-flight", count = key.in_flight),
    }));
    spans.extend(sessions(view, key.sessions, key.cache_share));
    let errors = key.errors;
    let counts = [("401", errors.e401), ("403", errors.e403), ("429", errors.e429), ("5xx", errors.e5xx)];
    let seen: Vec<String> = counts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name} × {count}"))
        .collect();
    spans.push(if seen.is_empty() {
        Span::new(Paint::Faint, tr!(messages, "health-no-errors"))
    } else {
        Span::new(Paint::Warn, tr!(messages, "health-errors", list = seen.join(", ")))
    });
    spans.push(Span::new(
        Paint::Faint,
        match &key.last_used {
            Some(time) => tr!(messages, "health-last-used", when = view.relative_text(time)),
            None => tr!(messages, "health-never-used"),
        },
    ));
    spans
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
