//! The keys' part of the screen: state, share, rate, in flight, the last minute, quotas.

use kmi_proto::methods::keys::Window;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::columns::{Columns, Part};
use super::draw::{piece, style};
use super::model::{KeyRow, PARTS};
use crate::output::View;
use crate::output::style::{Look, Paint, Span, clean, cut, width};
use crate::tr;

/// Columns of a quota bar; without room for a short one there is none.
const BARS: [usize; 2] = [6, 3];

/// Columns between two windows.
const GAP: usize = 2;

/// Columns of a label with its mark: at least, and at most.
const LABEL: [u16; 2] = [8, 16];

/// Columns of a window with a short bar and with a long one.
const WINDOW: [u16; 2] = [12, 15];

/// Every state, in the order in which a person has to know of it.
const STATES: [&str; 5] = ["blocked", "cooling", "warn", "ready", "disabled"];

const HEIGHTS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Rows that all keys need, borders and the heading included.
pub(super) fn height(rows: &[KeyRow<'_>]) -> u16 {
    u16::try_from(rows.len() + 3).unwrap_or(u16::MAX)
}

/// Draws the keys; where there is no room for all, those in trouble come first and the last line counts the others.
/// Stale figures have no colours, and a title that says so.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, rows: &[KeyRow<'_>], stale: bool, view: &View<'_>) {
    if area.is_empty() {
        return;
    }
    let look = Look { color: view.look.color && !stale, ..view.look };
    let view = &View { messages: view.messages, look, now: view.now, zone: view.zone.clone() };
    let mut block = Block::bordered();
    if stale {
        let title = tr!(view.messages, "trace-stale");
        let title = cut(&title, usize::from(area.width.saturating_sub(2))).into_owned();
        block = block.title(piece(view, Span::new(Paint::Warn, title)));
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // The heading takes a row.
    let room = usize::from(inner.height.saturating_sub(1));
    let mut shown: Vec<&KeyRow<'_>> = rows.iter().collect();
    let mut table = inner;
    if shown.len() > room {
        // Among their like those at work come first; all else stays in the pool's order, so that nothing jumps.
        shown.sort_by_key(|row| (trouble(row), !row.key.active, row.share == 0.0));
        let hidden = shown.split_off(room.saturating_sub(1));
        table.height = table.height.saturating_sub(1);
        let last = Rect { y: table.bottom(), height: inner.height - table.height, ..inner };
        frame.render_widget(Paragraph::new(more(view, &hidden, inner.width)), last);
    }
    // Of all keys together, so that their lines can be compared.
    let highest = rows.iter().flat_map(|row| row.parts).max().unwrap_or(0);
    let plan = Plan::new(view, &shown, table.width);
    let faint = if stale { style(view, Paint::Faint) } else { style(view, Paint::Plain) };
    let lines = shown.iter().map(|row| plan.row(view, row, highest).style(faint));
    let head = Row::new(plan.columns.heads()).style(style(view, Paint::Faint));
    frame.render_widget(Table::new(lines, plan.columns.widths()).header(head), table);
}

/// Less is worse. A key that a person switched off is in no trouble.
fn trouble(row: &KeyRow<'_>) -> usize {
    STATES.iter().position(|state| *state == row.key.state).unwrap_or(0)
}

fn serves(row: &KeyRow<'_>) -> bool {
    matches!(row.key.state.as_str(), "ready" | "warn")
}

/// `and 12 more (3 cannot serve)`
fn more(view: &View<'_>, hidden: &[&KeyRow<'_>], columns: u16) -> Line<'static> {
    let stuck = hidden.iter().filter(|row| !serves(row)).count();
    let (words, paint) = match stuck {
        0 => (tr!(view.messages, "trace-more", count = hidden.len()), Paint::Faint),
        _ => (tr!(view.messages, "trace-more-stuck", count = hidden.len(), stuck = stuck), Paint::Warn),
    };
    Line::from(piece(view, Span::new(paint, cut(&format!(" {words}"), usize::from(columns)))))
}

/// Places of columns: key, share, rate, in flight, state, last minute, left.
const KEY: usize = 0;
const STATE: usize = 4;
const LEFT: usize = 6;

/// The layout for so many columns.
struct Plan {
    columns: Columns,
    /// Columns of a quota bar.
    bar: usize,
}

impl Plan {
    fn new(view: &View<'_>, rows: &[&KeyRow<'_>], room: u16) -> Self {
        let messages = view.messages;
        let part = |head: String, least: u16, rank| {
            let wanted = u16::try_from(width(&head)).unwrap_or(u16::MAX);
            Part { head, least: least.max(wanted), rank }
        };
        let state = STATES.iter().map(|state| width(&view.word("state", state))).max().unwrap_or(0);
        let parts = vec![
            part(tr!(messages, "column-key"), LABEL[0], 0),
            part(tr!(messages, "column-share"), 5, 2),
            part(tr!(messages, "column-rate"), 4, 5),
            part(tr!(messages, "column-in-flight"), 5, 3),
            part(tr!(messages, "column-state"), u16::try_from(state).unwrap_or(u16::MAX), 4),
            part(tr!(messages, "column-minute"), PARTS as u16, 6),
            part(tr!(messages, "column-left"), WINDOW[0], 1),
        ];
        let mut columns = Columns::fit(parts, room);
        let rest = columns.rest(room);
        // Labels come before bars of full length, but not before the figures.
        let label = rows.iter().map(|row| width(&clean(&row.key.label)) + 1).max().unwrap_or(0);
        let label = u16::try_from(label).unwrap_or(u16::MAX).clamp(LABEL[0], LABEL[1]);
        let more = (label - LABEL[0]).min(rest.saturating_sub(WINDOW[1] - WINDOW[0]));
        columns.widen(KEY, more);
        columns.widen(LEFT, rest - more);
        let bar = bar_for(rows, usize::from(columns.width(LEFT)));
        Self { columns, bar }
    }

    fn row(&self, view: &View<'_>, row: &KeyRow<'_>, highest: u64) -> Row<'static> {
        let key = row.key;
        let state = Paint::of_state(&key.state);
        let in_flight = match key.cap {
            Some(cap) => format!("{}/{cap}", key.in_flight),
            None => key.in_flight.to_string(),
        };
        let mark = if key.active { "▸" } else { " " };
        // Without a column for the state the label has its colour.
        let paint = if self.columns.has(STATE) { Paint::Strong } else { state };
        let label = format!("{mark}{}", cut(&key.label, usize::from(self.columns.width(KEY) - 1)));
        let cells = [
            Line::from(piece(view, Span::new(paint, label))),
            Line::from(format!("{:>3.0} %", row.share)),
            Line::from(row.rate.to_string()),
            Line::from(in_flight),
            Line::from(piece(view, Span::new(state, view.word("state", &key.state)))),
            Line::from(spark(&row.parts, highest)),
            self.left(view, row),
        ];
        Row::new(self.columns.of(cells))
    }

    /// Windows that fit whole, the worst before the others; without a column for the state it stands here if it is bad.
    fn left(&self, view: &View<'_>, row: &KeyRow<'_>) -> Line<'static> {
        let key = row.key;
        let mut room = usize::from(self.columns.width(LEFT));
        let mut pieces = Vec::new();
        if !self.columns.has(STATE) && key.state != "ready" {
            let word = cut(&view.word("state", &key.state), room).into_owned();
            room = room.saturating_sub(width(&word) + GAP);
            pieces.push(piece(view, Span::new(Paint::of_state(&key.state), word)));
        }
        if key.windows.is_empty() && pieces.is_empty() {
            let words = tr!(view.messages, "decision-no-reading");
            return Line::from(piece(view, Span::new(Paint::Faint, cut(&words, room))));
        }
        for window in fitting(&key.windows, self.bar, room) {
            if !pieces.is_empty() {
                pieces.push(piece(view, Span::plain(" ".repeat(GAP))));
            }
            let percent = window.percent_left.clamp(0.0, 100.0);
            let share = (percent / 100.0 * self.bar as f64).round() as usize;
            // Something left is never drawn as nothing.
            let full = if percent > 0.0 { share.max(1).min(self.bar) } else { 0 };
            let bar = format!("{}{}", "█".repeat(full), "░".repeat(self.bar - full));
            let gap = if self.bar > 0 { " " } else { "" };
            pieces.push(piece(view, Span::plain(format!("{} ", clean(&window.name)))));
            pieces.push(piece(view, Span::new(Paint::of_percent(percent), bar)));
            pieces.push(piece(view, Span::plain(format!("{gap}{percent:>3.0} %"))));
        }
        Line::from(pieces)
    }
}

/// Columns of a window: `5h ██████ 100 %`
fn columns_of(window: &Window, bar: usize) -> usize {
    width(&clean(&window.name)) + 1 + bar + usize::from(bar > 0) + 5
}

/// The windows that fit whole side by side, chosen worst first, in their own order.
fn fitting(windows: &[Window], bar: usize, room: usize) -> Vec<&Window> {
    let mut worst: Vec<usize> = (0..windows.len()).collect();
    worst.sort_by(|a, b| windows[*a].percent_left.total_cmp(&windows[*b].percent_left));
    let mut left = room + GAP;
    worst.retain(|at| {
        let wanted = columns_of(&windows[*at], bar) + GAP;
        let fits = wanted <= left;
        // A better one is not shown in place of a worse one.
        left = if fits { left - wanted } else { 0 };
        fits
    });
    worst.sort_unstable();
    worst.into_iter().map(|at| &windows[at]).collect()
}

/// The longest bars with which all windows fit; else the longest with which each key's worst one does.
fn bar_for(rows: &[&KeyRow<'_>], room: usize) -> usize {
    let fits = |bar: usize, least: usize| {
        rows.iter().all(|row| {
            let windows = &row.key.windows;
            fitting(windows, bar, room).len() >= windows.len().min(least)
        })
    };
    [usize::MAX, 1].into_iter().find_map(|least| BARS.into_iter().find(|bar| fits(*bar, least))).unwrap_or(0)
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
