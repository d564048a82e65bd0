//! `kmi e2e`: sends requests through the proxy and shows how evenly they spread over the keys.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal as _;
use std::time::Duration;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::{Key, ListParams};
use serde::Serialize;

use crate::app::App;
use crate::args::E2eArgs;
use crate::connect::{self, Daemon, Start};
use crate::exit::{Exit, Failure, Outcome, write_stderr};
use crate::http::Caller;
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span};
use crate::output::table::{self, Column};
use crate::{settings, tr};

pub(crate) fn run(app: &App, args: &E2eArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let report = measure(app, &mut daemon, args)?;
    if app.json {
        app.print_json(&report)?;
    } else {
        app.print(&render(&app.view(), &report))?;
    }
    Ok(report.exit())
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Requests sent.
    sent: u32,
    /// Good answers (2xx) that named a key.
    answered: u32,
    /// The other requests, by what happened: `http_404`, `timeout`, `token`, ...
    failed: BTreeMap<String, u32>,
    /// Good answers counted: the last so many.
    window: usize,
    /// Of these, by key.
    keys: BTreeMap<String, u32>,
    /// 100 - 100 * largest relative deviation from the mean, beyond what whole requests force.
    confidence: f64,
    /// What was asked for.
    min_confidence: f64,
    /// Whether it was reached and no request failed.
    passed: bool,
    /// How the daemon rotated: `manual`, `failover` or `auto`.
    rotation: String,
}

impl Report {
    /// The command's exit.
    pub(crate) fn exit(&self) -> Exit {
        if self.passed { Exit::Ok } else { Exit::Failed }
    }
}

/// What the name of a failure begins with when an answer came: its status is the rest.
const STATUS: &str = "http_";
/// The failure after which nothing more is sent.
const BAD_TOKEN: &str = "token";

/// Sends the requests and counts.
pub(crate) fn measure(app: &App, daemon: &mut Daemon, args: &E2eArgs) -> Outcome<Report> {
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let url = target(app, &status.proxy.url, args)?;
    if let Some((setting, place)) = settings::unseen_token(&status.daemon) {
        let place = app.messages.said(&place);
        let what = tr!(app.messages, "e2e-token", setting = setting, place = place);
        return Err(Failure::new(Exit::Failed, what).next(tr!(app.messages, "e2e-token-next")).into());
    }
    let list = daemon
        .ask::<typed::KeysList>(&ListParams::default())
        .map_err(|error| connect::failure(app, error))?;
    // Without one, every request would be refused for the same reason.
    if list.keys.is_empty() {
        return Err(Failure::new(Exit::Failed, tr!(app.messages, "e2e-no-keys"))
            .next(tr!(app.messages, "keys-none-next"))
            .into());
    }
    let token = settings::access(status.daemon.env_file.as_deref()).token;
    let caller = Caller::new(Duration::from_secs_f64(args.timeout), token);
    let mut window = VecDeque::new();
    let mut failed = BTreeMap::new();
    let mut answered = 0;
    let progress = Progress::new(app);
    for number in 0..args.requests {
        progress.show(number, args.requests);
        if number > 0 && number % args.batch == 0 {
            std::thread::sleep(Duration::from_secs_f64(args.pause));
        }
        match ask(&caller, &url) {
            Ok(label) => {
                answered += 1;
                if window.len() == args.window as usize {
                    window.pop_front();
                }
                window.push_back(label);
            }
            Err(why) => {
                // One wrong token is enough to know; after several kmid lets others wait, too.
                let ends = why == BAD_TOKEN;
                *failed.entry(why).or_insert(0) += 1;
                if ends {
                    break;
                }
            }
        }
    }
    progress.clear();
    Ok(judged(args, &status.rotation.mode, &list.keys, Seen { answered, failed, window }))
}

/// What came back.
struct Seen {
    answered: u32,
    failed: BTreeMap<String, u32>,
    /// The keys of the last good answers.
    window: VecDeque<String>,
}

/// What it is worth.
fn judged(args: &E2eArgs, rotation: &str, keys: &[Key], seen: Seen) -> Report {
    let keys = count(keys, &seen.window);
    let confidence = confidence(&keys);
    let is_even = confidence >= args.min_confidence;
    Report {
        sent: seen.answered + seen.failed.values().sum::<u32>(),
        answered: seen.answered,
        passed: seen.answered > 0 && seen.failed.is_empty() && is_even,
        failed: seen.failed,
        window: seen.window.len(),
        keys,
        confidence,
        min_confidence: args.min_confidence,
        rotation: rotation.to_owned(),
    }
}

fn target(app: &App, url: &str, args: &E2eArgs) -> Outcome<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    // A flag that contradicts the daemon would only fail later and less clearly.
    if scheme == "http" && args.scheme == "https" {
        return Err(Failure::new(Exit::Usage, tr!(app.messages, "e2e-plain"))
            .next(tr!(app.messages, "e2e-plain-next"))
            .into());
    }
    let scheme = if scheme == "https" { "https" } else { args.scheme.as_str() };
    if scheme == "https" {
        return Err(Failure::new(Exit::Failed, tr!(app.messages, "e2e-https"))
            .next(tr!(app.messages, "e2e-https-next"))
            .into());
    }
    Ok(format!("{scheme}://{}/{}", rest.trim_end_matches('/'), args.endpoint.trim_start_matches('/')))
}

/// The key that served, or what happened instead in a stable word.
fn ask(caller: &Caller, url: &str) -> Result<String, String> {
    let answer = caller.get(url).map_err(|error| match error {
        ureq::Error::Timeout(_) => "timeout".to_owned(),
        ureq::Error::ConnectionFailed | ureq::Error::Io(_) => "connection".to_owned(),
        _ => "protocol".to_owned(),
    })?;
    match answer.header("x-kmi-key") {
        _ if answer.is_refusal(401) => Err(BAD_TOKEN.to_owned()),
        _ if !answer.status.is_success() => Err(format!("{STATUS}{}", answer.status.as_u16())),
        Some(label) => Ok(label),
        None => Err("no_key".to_owned()),
    }
}

/// Answers by key. A key that could have served and did not counts with zero.
fn count(keys: &[Key], window: &VecDeque<String>) -> BTreeMap<String, u32> {
    let serves = |key: &&Key| matches!(key.state.as_str(), "ready" | "warn");
    // Priorities come before any rotation: the others only serve when none of the first tier can.
    let first = keys.iter().filter(serves).map(|key| key.priority).max();
    let tier = || keys.iter().filter(serves).filter(|key| Some(key.priority) == first);
    let any_ready = tier().any(|key| key.state == "ready");
    // Keys in state warn only serve when no ready one can, unless a setting says so: then they show by serving.
    let could = |key: &&Key| key.state == "ready" || !any_ready;
    let mut counts: BTreeMap<String, u32> = tier().filter(could).map(|key| (key.label.clone(), 0)).collect();
    for label in window {
        *counts.entry(label.clone()).or_default() += 1;
    }
    counts
}

/// 100 - 100 * largest relative deviation from the mean, never under 0. Requests are whole: what lies between the two
/// whole numbers around the mean is even, as 50 requests over 6 keys can only be 8 or 9 to each.
fn confidence(counts: &BTreeMap<String, u32>) -> f64 {
    let total: u32 = counts.values().sum();
    if total == 0 {
        return 0.0;
    }
    let mean = f64::from(total) / counts.len() as f64;
    let (least, most) = (mean.floor(), mean.ceil());
    let beyond = |count: &u32| {
        let count = f64::from(*count);
        (least - count).max(count - most).max(0.0)
    };
    let largest = counts.values().map(beyond).fold(0.0, f64::max) / mean;
    (100.0 - 100.0 * largest).max(0.0)
}

/// The spread and the verdict.
pub(crate) fn render(view: &View<'_>, report: &Report) -> String {
    let messages = view.messages;
    let columns = [
        Column::left(tr!(messages, "column-key")).shrinking(),
        Column::right(tr!(messages, "column-answers")),
        Column::right(tr!(messages, "column-share")),
    ];
    let total: u32 = report.keys.values().sum();
    let rows: Vec<Vec<Span>> = report
        .keys
        .iter()
        .map(|(label, count)| {
            let share = f64::from(*count) * 100.0 / f64::from(total.max(1));
            let paint = if *count == 0 { Paint::Warn } else { Paint::Strong };
            vec![
                Span::new(paint, label),
                Span::plain(count.to_string()),
                Span::plain(format!("{share:.0} %")),
            ]
        })
        .collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text = table::render(view.look, &columns, &rows) + "\n";
    }
    let sent =
        tr!(messages, "e2e-sent", sent = report.sent, answered = report.answered, window = report.window);
    text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(sent)]));
    for (why, count) in &report.failed {
        let line = match why.strip_prefix(STATUS) {
            Some(status) => tr!(messages, "e2e-failed-status", count = *count, status = status),
            None => tr!(messages, "e2e-failed", count = *count, why = view.word("e2e-failure", why)),
        };
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Warn, line)]));
    }
    if let Some(next) = next(view, report) {
        text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(next)]));
    }
    let is_even = report.confidence >= report.min_confidence;
    if report.answered > 0 && !is_even && report.rotation != "auto" {
        let hint = tr!(messages, "e2e-not-auto", mode = view.word("rotation", &report.rotation));
        text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(hint)]));
    }
    let percent = format!("{:.1}", report.confidence);
    let least = format!("{:.0}", report.min_confidence);
    let verdict = if report.passed {
        Span::new(Paint::Good, tr!(messages, "e2e-passed", percent = percent, least = least))
    } else if report.answered == 0 {
        Span::new(Paint::Bad, tr!(messages, "e2e-no-answer"))
    } else if is_even {
        let failed: u32 = report.failed.values().sum();
        Span::new(Paint::Bad, tr!(messages, "e2e-some-failed", failed = failed, sent = report.sent))
    } else {
        Span::new(Paint::Bad, tr!(messages, "e2e-uneven", percent = percent, least = least))
    };
    text.push_str(&flow::spans(view.look, "", 2, &[verdict]));
    text
}

/// What to do about requests that failed; a wrong token says it by itself.
fn next(view: &View<'_>, report: &Report) -> Option<String> {
    if report.answered == 0 && report.failed.contains_key("http_404") {
        return Some(tr!(view.messages, "e2e-failed-endpoint"));
    }
    let is_traced = report.failed.keys().any(|why| why != BAD_TOKEN);
    is_traced.then(|| tr!(view.messages, "e2e-failed-next"))
}

/// A line on stderr that is drawn over and taken away at the end; only where a person sees it.
struct Progress<'a> {
    app: &'a App,
    shown: bool,
}

impl<'a> Progress<'a> {
    fn new(app: &'a App) -> Self {
        let shown = app.terminal && app.look.boxes && !app.json && std::io::stderr().is_terminal();
        Self { app, shown }
    }

    fn show(&self, done: u32, total: u32) {
        if self.shown {
            let count = tr!(self.app.messages, "e2e-progress", done = done, total = total);
            write_stderr(&format!("\r{}", progress_line(done, total, &count)));
        }
    }

    fn clear(&self) {
        if self.shown {
            write_stderr("\r\x1b[K");
        }
    }
}

/// A bar of 24 cells, plain signs, and the count.
fn progress_line(done: u32, total: u32, count: &str) -> String {
    const CELLS: usize = 24;
    let full = (f64::from(done) / f64::from(total.max(1)) * CELLS as f64) as usize;
    let full = full.min(CELLS);
    format!("[{}{}] {count}", "#".repeat(full), ".".repeat(CELLS - full))
}

#[cfg(test)]
#[path = "e2e_tests.rs"]
mod tests;
