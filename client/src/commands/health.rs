//! `kmi health`: every key, or the one that the Kimi client is configured with.

use jiff::Timestamp;
use kmi_proto::method::{Empty, typed};
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
use crate::{settings, tr};

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
        connect::patience(&daemon, connect::SLOW);
    }
    let list = daemon
        .ask::<typed::KeysList>(&ListParams { refresh: args.refresh })
        .map_err(|error| connect::failure(app, error))?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if args.current {
        return current(app, &list, settings::rotation_writes(&status));
    }
    let keys = mark(&list);
    let view = app.view();
    let pool = PoolSummary::new(&view, &list, status.rotation.estimated_empty_at);
    if app.json {
        app.print_json(&serde_json::json!({
            "keys": keys, "pool": pool, "issues": list.issues, "clients": list.clients,
            "upstreams": list.upstreams
        }))?;
    } else {
        app.print(&render(&view, &keys, &list, &pool))?;
    }
    Ok(if list.keys.iter().any(serves) { Exit::Ok } else { Exit::Failed })
}

/// All keys together.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PoolSummary {
    /// Keys that can serve.
    serving: usize,
    /// All keys.
    total: usize,
    /// Percent left of each window, the mean over the accounts that are not blocked or disabled.
    left: Vec<Left>,
    /// When the first window resets.
    #[serde(serialize_with = "as_wire")]
    first_reset: Option<Timestamp>,
    /// When the first key is ready again, if none is.
    #[serde(serialize_with = "as_wire")]
    first_ready: Option<Timestamp>,
    /// When the pool runs empty at this pace.
    estimated_empty_at: Option<String>,
}

/// As the daemon writes times, RFC 3339 with milliseconds.
fn as_wire<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| format!("{time:.3}")).serialize(serializer)
}

/// One window's name over all accounts.
#[derive(Debug, Serialize)]
struct Left {
    name: String,
    percent_left: f64,
}

impl PoolSummary {
    pub(crate) fn new(view: &View<'_>, list: &KeyList, estimated_empty_at: Option<String>) -> Self {
        let serving = list.keys.iter().filter(|key| serves(key)).count();
        let windows = list.keys.iter().flat_map(|key| &key.windows);
        let resets = windows.filter_map(|window| parse(window.resets_at.as_deref()?));
        let ready = list.keys.iter().filter_map(|key| parse(key.until.as_deref()?)).min();
        Self {
            serving,
            total: list.keys.len(),
            left: left(&list.keys),
            first_reset: resets.filter(|time| *time > view.now).min(),
            first_ready: ready.filter(|_| serving == 0),
            estimated_empty_at,
        }
    }
}

/// Windows in the order in which they are met. Keys of one account share its windows, so each account counts once.
fn left(keys: &[Key]) -> Vec<Left> {
    let mut accounts = Vec::new();
    let mut sums: Vec<(&str, f64, f64)> = Vec::new();
    for key in keys.iter().filter(|key| !matches!(key.state.as_str(), "blocked" | "disabled")) {
        if let Some(account) = &key.account {
            if accounts.contains(&account) {
                continue;
            }
            accounts.push(account);
        }
        for window in &key.windows {
            match sums.iter_mut().find(|(name, ..)| *name == window.name) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + window.percent_left, *count + 1.0),
                None => sums.push((&window.name, window.percent_left, 1.0)),
            }
        }
    }
    let mean =
        |(name, sum, count): (&str, f64, f64)| Left { name: name.to_owned(), percent_left: sum / count };
    sums.into_iter().map(mean).collect()
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
fn current(app: &App, list: &KeyList, rotation_writes: bool) -> Outcome {
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
        let next = match rotation_writes {
            true => tr!(messages, "current-unknown-next"),
            false => tr!(messages, "current-unknown-kept-next"),
        };
        return Err(Failure::new(Exit::Failed, tr!(messages, "current-unknown", path = paths))
            .next(next)
            .into());
    }
    if app.json {
        app.print_json(&serde_json::json!({"keys": chosen, "clients": list.clients}))?;
    } else {
        if through_proxy {
            let note = flow::spans(app.look, "", 2, &[Span::plain(tr!(messages, "current-through-proxy"))]);
            app.print(&format!("{note}\n"))?;
        }
        app.print(&blocks(&app.view(), &chosen))?;
    }
    Ok(if chosen.iter().any(|shown| serves(shown.key)) { Exit::Ok } else { Exit::Failed })
}

/// Every key and what could not be used.
pub(crate) fn render(view: &View<'_>, keys: &[Shown<'_>], list: &KeyList, pool: &PoolSummary) -> String {
    let mut text = if keys.is_empty() {
        format!("{}\n", tr!(view.messages, "health-no-keys"))
    } else {
        format!("{}\n{}", blocks(view, keys), summary(view, pool))
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
        _ if upstream.trouble.as_deref() == Some("gate") => {
            tr!(view.messages, "health-upstream-gate", host = host)
        }
        "open" => tr!(view.messages, "health-upstream-open", host = host),
        _ => tr!(view.messages, "health-upstream-half-open", host = host),
    };
    flow::spans(view.look, "", 2, &[Span::new(Paint::Bad, said)])
}

fn blocks(view: &View<'_>, keys: &[Shown<'_>]) -> String {
    keys.iter().map(|shown| block(view, shown)).collect::<Vec<_>>().join("\n")
}

fn summary(view: &View<'_>, pool: &PoolSummary) -> String {
    let serving = pool.serving;
    let paint = if serving == 0 { Paint::Bad } else { Paint::Good };
    let mut spans =
        vec![Span::new(paint, tr!(view.messages, "health-serving", count = serving, total = pool.total))];
    let one = |left: &Left| format!("{} {:.0} %", clean(&left.name), left.percent_left);
    let list: Vec<String> = pool.left.iter().map(one).collect();
    if !list.is_empty() {
        spans.push(Span::plain(tr!(view.messages, "health-left", list = list.join(", "))));
    }
    if let Some(time) = pool.first_reset {
        spans.push(Span::plain(tr!(view.messages, "health-first-reset", when = view.relative(time))));
    }
    if let Some(until) = pool.first_ready {
        spans.push(Span::new(
            Paint::Warn,
            tr!(view.messages, "health-first-ready", when = view.relative(until)),
        ));
    }
    if let Some(empty) = pool.estimated_empty_at.as_deref().and_then(parse) {
        spans
            .push(Span::new(Paint::Warn, tr!(view.messages, "health-empty-at", when = view.relative(empty))));
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
    let error =
        view.messages.one_said(shown.key.refresh_error_said.as_ref(), shown.key.refresh_error.as_deref());
    if let Some(error) = error {
        let line = tr!(view.messages, "health-refresh-failed", why = error);
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
