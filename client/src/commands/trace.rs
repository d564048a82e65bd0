//! `kmi trace`: requests as they finish, one line each; on a terminal on the whole screen (`trace_view`).

use std::collections::BTreeMap;

use kmi_proto::client::Event;
use kmi_proto::methods::requests::{TailParams, TraceEntry};
use serde_json::Value;

use super::follow;
use super::proxy_logs::{dropped, ended, since_of};
use crate::app::App;
use crate::args::TraceArgs;
use crate::connect::{self, Start};
use crate::exit::Outcome;
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span, clean, cut, width};
use crate::output::table::{self, Column};
use crate::output::time::of_trace;
use crate::{tr, trace_view};

pub(crate) fn run(app: &App, args: &TraceArgs) -> Outcome {
    let since = since_of(app, args.since.as_deref())?.map(|time| time.to_string());
    let follow = !args.no_follow;
    let params = TailParams { since, limit: Some(args.lines), follow };
    if follow && trace_view::possible(app) {
        return trace_view::run(app, params);
    }
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let for_people = app.terminal && !app.json;
    let mut tally = Tally::default();
    follow::stream(app, &mut daemon, "requests.tail", &params, follow, |event| {
        match event {
            Event::Item(item) if for_people => app.print(&item_line(&app.view(), &item, &mut tally))?,
            Event::Item(item) => app.print_json_line(&item)?,
            Event::Dropped(count) => dropped(app, count)?,
            Event::End(reason) => {
                if for_people && !follow {
                    app.print(&tally.render(&app.view()))?;
                }
                return ended(app, &reason).map(Some);
            }
        }
        Ok(None)
    })
}

fn item_line(view: &View<'_>, item: &Value, tally: &mut Tally) -> String {
    match serde_json::from_value::<TraceEntry>(item.clone()) {
        Ok(entry) => {
            tally.add(&entry);
            render(view, &entry, tally)
        }
        // A line of another version: better raw than missing.
        Err(_) => {
            tally.seen += 1;
            format!("{item}\n")
        }
    }
}

/// Requests seen so far, by key.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    keys: BTreeMap<String, u64>,
    /// Those that a key served.
    total: u64,
    /// All lines, also those without a key.
    seen: u64,
    first: Option<jiff::Timestamp>,
    last: Option<jiff::Timestamp>,
}

impl Tally {
    pub(crate) fn add(&mut self, entry: &TraceEntry) {
        self.seen += 1;
        if let Some(label) = &entry.key_label {
            *self.keys.entry(label.clone()).or_default() += 1;
            self.total += 1;
        }
        if let Some(time) = of_trace(&entry.ts) {
            self.first.get_or_insert(time);
            self.last = Some(time);
        }
    }

    /// The part of all requests that a key served, in percent.
    fn share(&self, label: &str) -> Option<f64> {
        let count = *self.keys.get(label)?;
        Some(count as f64 * 100.0 / self.total.max(1) as f64)
    }

    /// Requests, share and rate of each key.
    pub(crate) fn render(&self, view: &View<'_>) -> String {
        let messages = view.messages;
        if self.seen == 0 {
            return format!("{}\n", tr!(messages, "trace-none"));
        }
        if self.keys.is_empty() {
            return String::new();
        }
        // A few requests at once are no rate: less than a minute counts as one.
        let minutes = match (self.first, self.last) {
            (Some(first), Some(last)) => Some((last.duration_since(first).as_secs_f64() / 60.0).max(1.0)),
            _ => None,
        };
        let columns = [
            Column::left(tr!(messages, "column-key")).shrinking(),
            Column::right(tr!(messages, "column-requests")),
            Column::right(tr!(messages, "column-share")),
            Column::right(tr!(messages, "column-rate")),
        ];
        let rows: Vec<Vec<Span>> = self
            .keys
            .iter()
            .map(|(label, count)| {
                let rate =
                    minutes.map_or_else(String::new, |minutes| format!("{:.1}", *count as f64 / minutes));
                vec![
                    Span::new(Paint::Strong, label),
                    Span::plain(count.to_string()),
                    Span::plain(self.share(label).map_or_else(String::new, |share| format!("{share:.0} %"))),
                    Span::plain(rate),
                ]
            })
            .collect();
        format!("\n{}", table::render(view.look, &columns, &rows))
    }
}

/// One request.
pub(crate) fn render(view: &View<'_>, entry: &TraceEntry, tally: &Tally) -> String {
    let messages = view.messages;
    let label = entry.key_label.as_deref().unwrap_or("-");
    let share = tally.share(label).map_or_else(String::new, |share| format!("{share:.0} %"));
    let status = if entry.status == 0 { "---".to_owned() } else { entry.status.to_string() };
    let mut spans = vec![
        Span::new(Paint::Faint, view.trace_clock(&entry.ts)),
        Span::new(Paint::Strong, padded(&cut(label, 16), 10)),
        Span::new(Paint::Faint, format!("{share:>5}")),
        Span::new(Paint::of_status(entry.status), status),
        Span::plain(format!("{:>8}", view.millis(entry.latency_ms))),
        Span::plain(format!("{} {}", entry.method, entry.endpoint)),
    ];
    if let Some(tokens) = &entry.tokens {
        spans.push(Span::plain(tr!(
            messages,
            "trace-tokens",
            input = tokens.input.to_string(),
            cached = tokens.cached.to_string(),
            output = tokens.output.to_string(),
        )));
    }
    if let Some(name) = &entry.client_name {
        spans.push(Span::new(Paint::Faint, tr!(messages, "why-client", name = name.as_str())));
    }
    if let Some(queued) = entry.queue_ms {
        spans.push(Span::new(Paint::Faint, tr!(messages, "trace-queued", time = view.millis(queued))));
    }
    if entry.outcome != "completed" {
        spans.push(Span::new(Paint::Warn, outcome(view, entry)));
    }
    if entry.attempts.len() > 1 {
        let tried: Vec<String> = entry
            .attempts
            .iter()
            .map(|attempt| format!("{} ({})", attempt.key_label, view.word("outcome", &attempt.outcome)))
            .collect();
        spans.push(Span::new(Paint::Faint, tr!(messages, "trace-attempts", list = tried.join(", "))));
    }
    // What a person may want to look into, with what `kmi why` asks for.
    if entry.outcome != "completed" {
        spans.push(Span::new(Paint::Faint, tr!(messages, "trace-id", id = entry.request_id.as_str())));
    }
    flow::spans(view.look, "", 10, &spans)
}

/// How a request ended; of one that kmid answered itself, why.
pub(crate) fn outcome(view: &View<'_>, entry: &TraceEntry) -> String {
    let word = view.word("outcome", &entry.outcome);
    match entry.error_code.as_deref().filter(|_| entry.outcome == "refused") {
        None => word,
        Some(code) => view
            .messages
            .find(&format!("refusal-{}", code.replace('_', "-")))
            .unwrap_or_else(|| format!("{word} ({})", clean(code))),
    }
}

/// The text with blanks behind it up to so many columns.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

#[cfg(test)]
#[path = "trace_tests.rs"]
mod tests;
