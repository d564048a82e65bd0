//! `kmi keys list` and `kmi keys test`.

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::{Key, KeyList, LabelParams, Window};
use kmi_proto::methods::quota::Refreshed;
use serde_json::json;

use super::{find, listed};
use crate::app::App;
use crate::commands::status::alerts;
use crate::commands::trace::padded;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::style::{Paint, Span, clean, width};
use crate::output::table::{self, Column};
use crate::output::{View, flow};
use crate::tr;

pub(super) fn list(app: &App) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let list = listed(app, &mut daemon)?;
    if app.json {
        app.print_json(&list)?;
    } else {
        app.print(&render(&app.view(), &list))?;
    }
    Ok(Exit::Ok)
}

/// A line a key.
pub(super) fn render(view: &View<'_>, list: &KeyList) -> String {
    let messages = view.messages;
    let columns = [
        Column::left(tr!(messages, "keys-column-label")).shrinking(),
        Column::left(tr!(messages, "keys-column-state")).shrinking(),
        Column::right(tr!(messages, "keys-column-left")),
        Column::right(tr!(messages, "keys-column-priority")),
        Column::left(tr!(messages, "keys-column-key")),
        Column::left(tr!(messages, "keys-column-file")).shrinking(),
    ];
    let rows: Vec<Vec<Span>> = list.keys.iter().map(|key| row(view, key)).collect();
    let mut text = if rows.is_empty() {
        format!("{}\n", tr!(messages, "keys-none"))
    } else {
        table::render(view.look, &columns, &rows)
    };
    text.push_str(&alerts(view, &list.issues));
    text
}

fn row(view: &View<'_>, key: &Key) -> Vec<Span> {
    let state = view.word("state", &key.state);
    let state = match &key.reason {
        Some(reason) => format!("{state}: {}", view.word("reason", reason)),
        None => state,
    };
    let left = key.windows.iter().map(|window| window.percent_left).min_by(f64::total_cmp);
    vec![
        Span::new(Paint::Strong, clean(&key.label)),
        Span::new(Paint::of_state(&key.state), state),
        match left {
            Some(percent) => Span::new(Paint::of_percent(percent), format!("{percent:.0} %")),
            None => Span::plain("?"),
        },
        Span::plain(key.priority.to_string()),
        Span::plain(&key.masked),
        Span::plain(clean(&key.source)),
    ]
}

/// Asks the API now, through the daemon: kmi itself sends no key anywhere.
pub(super) fn test(app: &App, label: Option<&str>) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let before = listed(app, &mut daemon)?;
    let label = label
        .map(|label| Ok::<_, crate::exit::Stop>(find(app, &before, label)?.label.clone()))
        .transpose()?;
    connect::patience(&daemon, connect::SLOW);
    let asked = daemon
        .ask::<typed::QuotaRefresh>(&LabelParams { label })
        .map_err(|error| connect::failure(app, error))?;
    let after = listed(app, &mut daemon)?;
    let dry_run = status.mode == "dry-run";
    if app.json {
        let keys: Vec<_> = asked
            .refreshed
            .iter()
            .map(
                |label| json!({"label": label, "ok": true, "error": null, "windows": windows(&after, label)}),
            )
            .chain(asked.failed.iter().map(
                |failed| json!({"label": failed.label, "ok": false, "error": failed.error, "windows": []}),
            ))
            .collect();
        app.print_json(&json!({"mode": status.mode, "keys": keys}))?;
    } else {
        app.print(&render_test(&app.view(), &asked, &after, dry_run))?;
    }
    let good = asked.failed.is_empty() && !asked.refreshed.is_empty();
    Ok(if good { Exit::Ok } else { Exit::Failed })
}

fn windows<'a>(list: &'a KeyList, label: &str) -> &'a [Window] {
    list.keys.iter().find(|key| key.label == label).map_or(&[], |key| &key.windows)
}

/// Columns up to which labels are made equally wide.
const MOST_PADDED: usize = 16;

/// What came back, a line a key.
pub(super) fn render_test(view: &View<'_>, asked: &Refreshed, list: &KeyList, dry_run: bool) -> String {
    let messages = view.messages;
    let mut text = String::new();
    let failed = asked.failed.iter().map(|failed| failed.label.as_str());
    let labels = asked.refreshed.iter().map(String::as_str).chain(failed);
    let columns = labels.map(|label| width(&clean(label))).max().unwrap_or(0).min(MOST_PADDED);
    for label in &asked.refreshed {
        let mut spans = vec![
            Span::new(Paint::Strong, padded(&clean(label), columns)),
            Span::new(Paint::Good, tr!(messages, "keys-test-good")),
        ];
        spans.extend(window_spans(view, windows(list, label)));
        text.push_str(&flow::spans(view.look, "", 2, &spans));
    }
    for failed in &asked.failed {
        let spans = [
            Span::new(Paint::Strong, padded(&clean(&failed.label), columns)),
            Span::new(Paint::Bad, tr!(messages, "keys-test-bad")),
            Span::plain(
                messages.one_said(failed.error_said.as_ref(), Some(&failed.error)).unwrap_or_default(),
            ),
        ];
        text.push_str(&flow::spans(view.look, "", 2, &spans));
    }
    if asked.refreshed.is_empty() && asked.failed.is_empty() {
        text.push_str(&format!("{}\n", tr!(messages, "keys-none")));
    }
    if dry_run {
        let note = Span::new(Paint::Warn, tr!(messages, "keys-test-dry-run"));
        text.push_str(&flow::spans(view.look, "", 2, &[note]));
    }
    text
}

/// What each window has left.
pub(super) fn window_spans(view: &View<'_>, windows: &[Window]) -> Vec<Span> {
    let span = |window: &Window| {
        let percent = format!("{:.0}", window.percent_left);
        let left = tr!(view.messages, "window-left", percent = percent);
        Span::new(Paint::of_percent(window.percent_left), format!("{} {left}", clean(&window.name)))
    };
    windows.iter().map(span).collect()
}

#[cfg(test)]
#[path = "list_tests.rs"]
mod tests;
