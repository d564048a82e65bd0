//! The keys' part of the screen: state, share, rate, in flight, the last minute, quotas.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Table};

use super::draw::{WIDE, fitting, piece, style};
use super::model::KeyRow;
use crate::output::View;
use crate::output::style::{Paint, Span, clean, cut};
use crate::tr;

/// Columns of a quota bar, wide and narrow.
const BAR: [usize; 2] = [6, 3];

const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws as many keys as there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, rows: &[KeyRow<'_>], view: &View<'_>) {
    if area.is_empty() {
        return;
    }
    let messages = view.messages;
    let wide = area.width >= WIDE;
    // Of all keys together, so that their lines can be compared.
    let highest = rows.iter().flat_map(|row| row.parts).max().unwrap_or(0);
    let mut heads = vec![
        tr!(messages, "column-key"),
        tr!(messages, "column-share"),
        tr!(messages, "column-rate"),
        tr!(messages, "column-in-flight"),
    ];
    let mut widths = vec![
        Constraint::Length(if wide { 16 } else { 8 }),
        Constraint::Length(5),
        Constraint::Length(if wide { 8 } else { 4 }),
        Constraint::Length(if wide { 9 } else { 5 }),
    ];
    if wide {
        heads.extend([tr!(messages, "column-state"), tr!(messages, "column-minute")]);
        widths.extend([Constraint::Length(12), Constraint::Length(13)]);
    }
    heads.push(tr!(messages, "column-left"));
    widths.push(Constraint::Fill(1));
    let head = Row::new(fitting(&heads, &widths)).style(style(view, Paint::Faint));
    let rows = rows.iter().map(|row| key(view, row, highest, wide));
    let block = Block::bordered();
    frame.render_widget(Table::new(rows, widths).header(head).block(block), area);
}

fn key(view: &View<'_>, row: &KeyRow<'_>, highest: u64, wide: bool) -> Row<'static> {
    let key = row.key;
    let state = Paint::of_state(&key.state);
    let in_flight = match key.cap {
        Some(cap) => format!("{}/{cap}", key.in_flight),
        None => key.in_flight.to_string(),
    };
    let mark = if key.active { "▸" } else { " " };
    // Without a column for the state the label has its colour.
    let label = Span::new(
        if wide { Paint::Strong } else { state },
        format!("{mark}{}", cut(&key.label, if wide { 15 } else { 7 })),
    );
    let mut cells = vec![
        Line::from(piece(view, label)),
        Line::from(format!("{:>3.0} %", row.share)),
        Line::from(row.rate.to_string()),
        Line::from(in_flight),
    ];
    if wide {
        cells.push(Line::from(piece(view, Span::new(state, view.word("state", &key.state)))));
        cells.push(Line::from(spark(&row.parts, highest)));
    }
    cells.push(quota(view, row, wide));
    Row::new(cells)
}

/// A column a part; what has requests is never drawn as nothing.
fn spark(parts: &[u64], highest: u64) -> String {
    let top = HEIGHTS.len() as u64 - 1;
    let height = |part: &u64| match part {
        0 => " ",
        part => HEIGHTS[usize::try_from((part * top).div_ceil(highest.max(1)).min(top)).unwrap_or(0)],
    };
    parts.iter().map(height).collect()
}

fn quota(view: &View<'_>, row: &KeyRow<'_>, wide: bool) -> Line<'static> {
    let key = row.key;
    if key.windows.is_empty() {
        let words = tr!(view.messages, "decision-no-reading");
        return Line::from(piece(view, Span::new(Paint::Faint, words)));
    }
    // In a narrow terminal the worst window has to do.
    let worst = key.windows.iter().min_by(|a, b| a.percent_left.total_cmp(&b.percent_left));
    let shown: Vec<_> = if wide { key.windows.iter().collect() } else { worst.into_iter().collect() };
    let columns = if wide { BAR[0] } else { BAR[1] };
    let spans = shown.into_iter().flat_map(|window| {
        let percent = window.percent_left.clamp(0.0, 100.0);
        let share = (percent / 100.0 * columns as f64).round() as usize;
        // Something left is never drawn as nothing.
        let full = if percent > 0.0 { share.max(1) } else { 0 };
        let bar = format!("{}{}", "█".repeat(full), "░".repeat(columns - full));
        [
            piece(view, Span::plain(format!("{} ", clean(&window.name)))),
            piece(view, Span::new(Paint::of_percent(percent), bar)),
            piece(view, Span::plain(format!(" {percent:.0} %  "))),
        ]
    });
    Line::from_iter(spans)
}
