//! The requests' part of the screen.

use std::rc::Rc;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::columns::{Columns, Part};
use super::draw::{piece, style};
use super::model::{Model, Shown};
use crate::commands::trace;
use crate::output::View;
use crate::output::style::{Paint, Span, clean, cut, width};
use crate::tr;

/// Columns inside the borders from which on nothing is shortened, and up to which everything is.
const WIDE: u16 = 102;
const NARROW: u16 = 56;

/// Columns of a label: at most.
const LABEL: u16 = 16;

/// `/chat/completions`, the endpoint that a label must not take the room of.
const ENDPOINT: u16 = 17;

/// Draws the requests that pass the filter.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &View<'_>) {
    let messages = view.messages;
    let visible = model.visible();
    let title = tr!(messages, "trace-count", shown = visible.len(), kept = model.kept());
    let block = Block::bordered().title(cut(&title, usize::from(area.width.saturating_sub(2))).into_owned());
    if visible.is_empty() {
        let none =
            if model.kept() == 0 { tr!(messages, "trace-none") } else { tr!(messages, "trace-none-fits") };
        frame.render_widget(Paragraph::new(none).block(block), area);
        return;
    }
    let plan = Plan::new(view, area.width.saturating_sub(2));
    // Borders and the heading.
    let room = usize::from(area.height.saturating_sub(3));
    let place = model.place(&visible);
    // The chosen one stands in the middle, as far as the list's ends allow.
    let first = place.unwrap_or(0).saturating_sub(room / 2).min(visible.len().saturating_sub(room));
    let rows = visible.iter().enumerate().skip(first).take(room).map(|(number, shown)| {
        let row = plan.row(view, shown);
        if place == Some(number) { row.style(Style::new().add_modifier(Modifier::REVERSED)) } else { row }
    });
    let head = Row::new(plan.columns.heads()).style(style(view, Paint::Faint));
    frame.render_widget(Table::new(rows, plan.columns.widths()).header(head).block(block), area);
}

/// Places of columns: time, key, status, took, first byte, tokens, request.
const KEY: usize = 1;
const TOOK: usize = 3;
const REQUEST: usize = 6;

/// The layout for so many columns.
struct Plan {
    columns: Columns,
    /// Whether tokens are shown to the hundred.
    exact: bool,
}

impl Plan {
    fn new(view: &View<'_>, room: u16) -> Self {
        let messages = view.messages;
        let exact = room >= WIDE;
        let narrow = room < NARROW;
        let part = |head: String, least, rank| Part { head, least, rank };
        let parts = vec![
            part(tr!(messages, "column-time"), 8, 0),
            part(tr!(messages, "column-key"), if narrow { 7 } else { 8 }, 2),
            part(tr!(messages, "column-status"), if narrow { 3 } else { 6 }, 1),
            part(tr!(messages, "column-took"), if narrow { 7 } else { 8 }, 4),
            part(tr!(messages, "column-first-byte"), 10, 5),
            part(tr!(messages, "column-tokens"), if exact { 17 } else { 14 }, 6),
            part(tr!(messages, "column-endpoint"), 9, 3),
        ];
        let mut columns = Columns::fit(parts, room);
        let rest = columns.rest(room);
        let label =
            (LABEL - columns.width(KEY)).min((columns.width(REQUEST) + rest).saturating_sub(ENDPOINT));
        columns.widen(KEY, label);
        columns.widen(REQUEST, rest - label);
        Self { columns, exact }
    }

    fn row(&self, view: &View<'_>, shown: &Rc<Shown>) -> Row<'static> {
        let entry = &shown.entry;
        let status = if entry.status == 0 { "---".to_owned() } else { entry.status.to_string() };
        let paint = match entry.outcome.as_str() {
            "completed" => Paint::of_status(entry.status),
            _ if entry.status < 400 => Paint::Bad,
            _ => Paint::of_status(entry.status),
        };
        let label = entry.key_label.as_deref().unwrap_or("-");
        let took = usize::from(self.columns.width(TOOK));
        let tokens = entry.tokens.map_or_else(String::new, |tokens| {
            [tokens.input, tokens.cached, tokens.output].map(|count| short(count, self.exact)).join("/")
        });
        let first_byte = entry.ttfb_ms.map_or_else(String::new, |ms| format!("{:>8}", view.millis(ms)));
        let spans = [
            Span::new(Paint::Faint, view.trace_clock(&entry.ts)),
            Span::new(Paint::Strong, cut(label, usize::from(self.columns.width(KEY)))),
            Span::new(paint, status),
            Span::plain(format!("{:>took$}", view.millis(entry.latency_ms))),
            Span::plain(first_byte),
            Span::plain(tokens),
            Span::plain(self.what(view, shown)),
        ];
        Row::new(self.columns.of(spans).into_iter().map(|span| Line::from(piece(view, span))))
    }

    /// What was asked and how it ended. Without room for all the method goes, and what was asked comes first: the status
    /// says the rest.
    fn what(&self, view: &View<'_>, shown: &Rc<Shown>) -> String {
        let entry = &shown.entry;
        let tries = match entry.attempts.len() {
            0 | 1 => String::new(),
            several => format!("×{several} "),
        };
        let outcome = (entry.outcome != "completed").then(|| trace::outcome(view, entry));
        let room = usize::from(self.columns.width(REQUEST));
        let before = outcome.as_ref().map_or_else(String::new, |outcome| format!("{outcome}: "));
        let whole = format!("{tries}{before}{} {}", entry.method, entry.endpoint);
        let whole = clean(&whole);
        if width(&whole) <= room {
            return whole.into_owned();
        }
        // A good status is no good end then, and the word for it may have no room.
        let mark = if outcome.is_some() && entry.status < 400 { "! " } else { "" };
        let short = format!("{mark}{tries}{}", entry.endpoint);
        let short = clean(&short);
        match outcome {
            // A few letters of it would say nothing.
            Some(outcome) if width(&short) + 8 <= room => {
                cut(&format!("{short}: {outcome}"), room).into_owned()
            }
            _ => cut(&short, room).into_owned(),
        }
    }
}

/// `940`, `51.2k`, `1.3M`; not to the hundred: `51k`
fn short(count: u64, exact: bool) -> String {
    match count {
        0..1000 => count.to_string(),
        1000..999_500 if !exact => format!("{:.0}k", count as f64 / 1000.0),
        1000..999_950 if exact => format!("{:.1}k", count as f64 / 1000.0),
        _ => format!("{:.1}M", count as f64 / 1_000_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_answer_is_marked_where_its_word_has_no_room() {
        let mut entry = crate::trace_view::model::tests::entry(1, Some("alpha"), 200);
        let shown = |entry: &kmi_proto::methods::requests::TraceEntry, room| {
            let mut model = Model::default();
            model.update(super::super::feed::Update::Entry(Box::new(entry.clone())));
            let look = crate::output::style::Look { color: false, boxes: true, width: Some(80) };
            crate::fixtures::show(crate::output::locale::Locale::En, look, |view| {
                Plan::new(view, room).what(view, &model.visible()[0])
            })
        };
        assert_eq!(shown(&entry, 78), "/chat/completions");
        entry.outcome = "upstream_broke".into();
        assert_eq!(shown(&entry, 78), "! /chat/completi…");
        assert_eq!(shown(&entry, 120), "the upstream broke off: POST /chat/completions");
        entry.status = 503;
        assert_eq!(shown(&entry, 78), "/chat/completions");
    }

    #[test]
    fn tokens_are_short() {
        let cases = [
            (940, "940", "940"),
            (51_249, "51.2k", "51k"),
            (999_499, "999.5k", "999k"),
            (999_949, "999.9k", "1.0M"),
            (1_300_000, "1.3M", "1.3M"),
        ];
        for (count, exact, not) in cases {
            assert_eq!((short(count, true).as_str(), short(count, false).as_str()), (exact, not));
        }
    }
}
