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
    /// Answers that named a key.
    answered: u32,
    /// Requests without such an answer, by what happened.
    failed: BTreeMap<String, u32>,
    /// Answers counted: the last so many.
    window: usize,
    /// Of these, by key.
    keys: BTreeMap<String, u32>,
    /// 100 - 100 * largest relative deviation from the mean.
    confidence: f64,
    /// What was asked for.
    min_confidence: f64,
    /// Whether it was reached.
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

/// Sends the requests and counts.
pub(crate) fn measure(app: &App, daemon: &mut Daemon, args: &E2eArgs) -> Outcome<Report> {
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let url = target(app, &status.proxy.url, args)?;
    let list = daemon
        .ask::<typed::KeysList>(&ListParams::default())
        .map_err(|error| connect::failure(app, error))?;
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
            Err(why) => *failed.entry(why).or_insert(0) += 1,
        }
    }
    progress.clear();
    let keys = count(&list.keys, &window);
    let confidence = confidence(&keys);
    Ok(Report {
        sent: args.requests,
        answered,
        failed,
        window: window.len(),
        passed: answered > 0 && confidence >= args.min_confidence,
        keys,
        confidence,
        min_confidence: args.min_confidence,
        rotation: status.rotation.mode,
    })
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
        Some(label) => Ok(label),
        None => Err(format!("http_{}", answer.status.as_u16())),
    }
}

/// Answers by key. A key that could have served and did not counts with zero.
fn count(keys: &[Key], window: &VecDeque<String>) -> BTreeMap<String, u32> {
    let any_ready = keys.iter().any(|key| key.state == "ready");
    // Keys in state warn only serve when no ready one can, unless a setting says so: then they show by serving.
    let could = |key: &&Key| key.state == "ready" || (!any_ready && key.state == "warn");
    let mut counts: BTreeMap<String, u32> =
        keys.iter().filter(could).map(|key| (key.label.clone(), 0)).collect();
    for label in window {
        *counts.entry(label.clone()).or_default() += 1;
    }
    counts
}

/// 100 - 100 * largest relative deviation from the mean, never under 0.
fn confidence(counts: &BTreeMap<String, u32>) -> f64 {
    let total: u32 = counts.values().sum();
    if total == 0 {
        return 0.0;
    }
    let mean = f64::from(total) / counts.len() as f64;
    let largest = counts.values().map(|count| (f64::from(*count) - mean).abs() / mean).fold(0.0, f64::max);
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
    let mut text = table::render(view.look, &columns, &rows);
    text.push('\n');
    let sent =
        tr!(messages, "e2e-sent", sent = report.sent, answered = report.answered, window = report.window);
    text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(sent)]));
    for (why, count) in &report.failed {
        let line = tr!(messages, "e2e-failed", count = *count, why = view.word("e2e-failure", why));
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Warn, line)]));
    }
    if !report.passed && report.rotation != "auto" {
        let hint = tr!(messages, "e2e-not-auto", mode = view.word("rotation", &report.rotation));
        text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(hint)]));
    }
    let percent = format!("{:.1}", report.confidence);
    let least = format!("{:.0}", report.min_confidence);
    let verdict = if report.passed {
        Span::new(Paint::Good, tr!(messages, "e2e-passed", percent = percent, least = least))
    } else if report.answered == 0 {
        Span::new(Paint::Bad, tr!(messages, "e2e-no-answer"))
    } else {
        Span::new(Paint::Bad, tr!(messages, "e2e-uneven", percent = percent, least = least))
    };
    text.push_str(&flow::spans(view.look, "", 2, &[verdict]));
    text
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
