//! `kmi usage`: what was used, by key, day, hour or model, as a table with bars.

use jiff::Timestamp;
use kmi_proto::method::typed;
use kmi_proto::methods::usage::{GetParams, Row, Sums, Usage};

use super::proxy_logs::since_of;
use crate::app::App;
use crate::args::{UsageArgs, UsageBy};
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span, width};
use crate::output::table::{self, Column, Short};
use crate::output::time::parse;
use crate::tr;

/// Cells of the longest bar, where there is room for it.
const BAR: usize = 24;
/// A shorter one says too little to stand beside the figures.
const SHORTEST_BAR: usize = 6;
/// Of a name, what bars leave alone.
const NAME: usize = 16;

pub(crate) fn run(app: &App, args: &UsageArgs) -> Outcome {
    let since = since_of(app, Some(&args.since))?.map(|time| time.to_string());
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let by = match args.by {
        UsageBy::Key => "key",
        UsageBy::Day => "day",
        UsageBy::Hour => "hour",
        UsageBy::Model => "model",
        UsageBy::Client => "client",
    };
    let params = GetParams { since, by: Some(by.to_owned()), zone: Some(app.view().zone_name()) };
    let usage = daemon.ask::<typed::UsageGet>(&params).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&usage)?;
    } else if args.csv {
        app.print(&csv(&usage))?;
    } else {
        app.print(&render(&app.view(), &usage))?;
    }
    Ok(Exit::Ok)
}

/// A header and one line a row, RFC 4180 but for the line ends; names of columns and figures are those of the JSON.
pub(crate) fn csv(usage: &Usage) -> String {
    let mut text =
        format!("{},fingerprint,start,requests,errors,input,cached,output,cache_share\n", usage.by);
    for row in &usage.rows {
        let Sums { requests, errors, input, cached, output, cache_share } = row.sums;
        let share = cache_share.map(|share| format!("{share:.4}")).unwrap_or_default();
        let [name, fingerprint, start] = [
            row.name.as_str(),
            row.fingerprint.as_deref().unwrap_or_default(),
            row.start.as_deref().unwrap_or_default(),
        ]
        .map(field);
        text.push_str(&format!(
            "{name},{fingerprint},{start},{requests},{errors},{input},{cached},{output},{share}\n"
        ));
    }
    text
}

/// Quoted where it must be. A label that a spreadsheet would take for a formula gets an apostrophe in front of it.
fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The table and the sum.
pub(crate) fn render(view: &View<'_>, usage: &Usage) -> String {
    let messages = view.messages;
    let since = parse(&usage.since).map_or_else(|| usage.since.clone(), |time| date_and_time(view, time));
    if usage.rows.is_empty() {
        return flow::spans(view.look, "", 2, &[Span::plain(tr!(messages, "usage-none", since = since))]);
    }
    let title = match usage.by.as_str() {
        "key" => tr!(messages, "column-key"),
        "model" => tr!(messages, "column-model"),
        "client" => tr!(messages, "column-client"),
        "hour" => tr!(messages, "column-hour"),
        _ => tr!(messages, "column-day"),
    };
    let mut columns = vec![
        Column::left(title).shrinking(),
        Column::right(tr!(messages, "column-requests")),
        Column::right(tr!(messages, "column-errors")),
        Column::right(tr!(messages, "column-input")),
        Column::right(tr!(messages, "column-cached")),
        Column::right(tr!(messages, "column-output")),
    ];
    let mut rows: Vec<Vec<Span>> = usage
        .rows
        .iter()
        .map(|row| [name(view, &usage.by, row)].into_iter().chain(figures(&row.sums)).collect())
        .collect();
    let cells = room_for_bars(view, &columns, &rows);
    // Where bars have no place their proportion is a figure.
    columns.push(match cells {
        Some(_) => Column::left(String::new()),
        None => Column::right(tr!(messages, "column-share")),
    });
    let most = usage.rows.iter().map(|row| row.sums.requests).max().unwrap_or_default();
    for (cells_of_row, row) in rows.iter_mut().zip(&usage.rows) {
        let count = row.sums.requests;
        cells_of_row.push(match cells {
            Some(cells) => Span::new(Paint::Good, bar(count, most, cells)),
            None => {
                Span::plain(format!("{:.0} %", count as f64 * 100.0 / usage.total.requests.max(1) as f64))
            }
        });
    }
    let total = &usage.total;
    let mut spans = vec![
        Span::plain(tr!(messages, "usage-since", since = since)),
        Span::new(Paint::Strong, tr!(messages, "requests-total", count = total.requests)),
        Span::plain(tr!(
            messages,
            "usage-tokens",
            input = short(total.input),
            cached = short(total.cached),
            output = short(total.output)
        )),
    ];
    if let Some(share) = total.cache_share {
        spans.push(Span::plain(tr!(messages, "sessions-cached", percent = format!("{:.0}", share * 100.0))));
    }
    if total.errors > 0 {
        spans.push(Span::new(Paint::Warn, tr!(messages, "requests-failed", count = total.errors)));
    }
    format!("{}\n{}", table::render(view.look, &columns, &rows), flow::spans(view.look, "", 2, &spans))
}

/// Cells of the longest bar beside the figures, if there is room for one.
fn room_for_bars(view: &View<'_>, columns: &[Column], rows: &[Vec<Span>]) -> Option<usize> {
    let widest = |at: usize| {
        let cells = rows.iter().map(|row| width(&row[at].text));
        let widest = cells.chain([width(&columns[at].title)]).max().unwrap_or(0);
        if columns[at].short == Short::Cut { widest.min(NAME) } else { widest }
    };
    // Two blanks follow each column.
    let taken: usize = (0..columns.len()).map(|at| widest(at) + 2).sum();
    let room = view.look.columns().saturating_sub(taken);
    (view.look.boxes && room >= SHORTEST_BAR).then_some(room.min(BAR))
}

fn name(view: &View<'_>, by: &str, row: &Row) -> Span {
    let messages = view.messages;
    match (row.name.as_str(), by) {
        ("", "key") => Span::new(Paint::Faint, tr!(messages, "usage-no-key")),
        ("", "client") => Span::new(Paint::Faint, tr!(messages, "usage-no-client")),
        ("", _) => Span::new(Paint::Faint, tr!(messages, "usage-no-model")),
        ("other", "key") if row.fingerprint.is_none() => {
            Span::new(Paint::Faint, tr!(messages, "usage-other"))
        }
        ("other", "model" | "client") => Span::new(Paint::Faint, tr!(messages, "usage-other")),
        (name, _) => Span::new(Paint::Strong, name),
    }
}

fn figures(sums: &Sums) -> [Span; 5] {
    let cached = match sums.cache_share {
        Some(share) => format!("{} ({:.0} %)", short(sums.cached), share * 100.0),
        None => short(sums.cached),
    };
    let errors = if sums.errors > 0 { Paint::Warn } else { Paint::Faint };
    [
        Span::plain(sums.requests.to_string()),
        Span::new(errors, sums.errors.to_string()),
        Span::plain(short(sums.input)),
        Span::plain(cached),
        Span::plain(short(sums.output)),
    ]
}

/// In eighths of a cell; something is never drawn as nothing.
fn bar(count: u64, most: u64, cells: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most == 0 || count == 0 {
        return String::new();
    }
    let eighths = (count as f64 / most as f64 * (cells * 8) as f64).round() as usize;
    let eighths = eighths.clamp(1, cells * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// `950`, `12.3k`, `4.56M`: tokens are read as sizes.
fn short(count: u64) -> String {
    const UNITS: [&str; 3] = ["k", "M", "G"];
    if count < 1000 {
        return count.to_string();
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 99.95 { format!("{value:.1}{}", UNITS[unit]) } else { format!("{value:.0}{}", UNITS[unit]) }
}

fn date_and_time(view: &View<'_>, time: Timestamp) -> String {
    time.to_zoned(view.zone.clone()).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
