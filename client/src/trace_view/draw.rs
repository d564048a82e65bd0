//! From the model to a frame. Pure: no terminal, no clock.

use std::rc::Rc;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Piece, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table};

use super::feed::Lost;
use super::model::{Link, Model, Over, Shown, Statuses};
use super::{detail, keys};
use crate::output::View;
use crate::output::style::{Paint, Span, cut, width};
use crate::tr;

/// From so many columns on everything has a column of its own.
pub(super) const WIDE: u16 = 90;

/// Draws everything; the result is how far the detail on top can be scrolled.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, view: &View<'_>) -> u16 {
    let area = frame.area();
    let rows = model.key_rows(view.now);
    // A heading and borders go with the keys; the requests keep at least half of the screen.
    let room_for_keys = u16::try_from(rows.len() + 3).unwrap_or(u16::MAX).min(area.height / 2);
    let [head, for_keys, for_requests, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if rows.is_empty() { 0 } else { room_for_keys }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(line(view, header(model, view), head.width), head);
    keys::draw(frame, for_keys, &rows, view);
    requests(frame, for_requests, model, view);
    frame.render_widget(line(view, footer(model, view), foot.width), foot);
    let between = Rect { y: head.bottom(), height: area.height.saturating_sub(2), ..area };
    match &model.over {
        Over::Nothing => 0,
        Over::Help => over(frame, between, view, tr!(view.messages, "trace-help-title"), help(view), 0),
        Over::Detail(request, scroll) => {
            let text = detail::text(view, &request.entry, usize::from(between.width.saturating_sub(4)));
            over(frame, between, view, tr!(view.messages, "trace-detail-title"), text, *scroll)
        }
    }
}

/// The style that a paint stands for; without colours only weight is left.
pub(super) fn style(view: &View<'_>, paint: Paint) -> Style {
    let color = |color| if view.look.color { Style::new().fg(color) } else { Style::new() };
    match paint {
        Paint::Plain => Style::new(),
        Paint::Strong => Style::new().add_modifier(Modifier::BOLD),
        Paint::Faint => Style::new().add_modifier(Modifier::DIM),
        Paint::Good => color(Color::Green),
        Paint::Warn => color(Color::Yellow),
        Paint::Bad => color(Color::Red),
    }
}

/// A span as ratatui has it.
pub(super) fn piece(view: &View<'_>, span: Span) -> Piece<'static> {
    Piece::styled(span.text, style(view, span.paint))
}

/// Spans two columns apart; those that do not fit any more are left out, and the first that does not is cut.
fn line(view: &View<'_>, spans: Vec<Span>, room: u16) -> Line<'static> {
    let mut left = usize::from(room);
    let mut pieces = Vec::new();
    for span in spans.into_iter().filter(|span| !span.text.is_empty()) {
        if !pieces.is_empty() {
            if left < 4 {
                break;
            }
            pieces.push(Piece::raw("  "));
            left -= 2;
        }
        let text = cut(&span.text, left).into_owned();
        left -= width(&text).min(left);
        pieces.push(Piece::styled(text, style(view, span.paint)));
    }
    Line::from(pieces)
}

fn header(model: &Model, view: &View<'_>) -> Vec<Span> {
    let messages = view.messages;
    let mut spans = vec![Span::new(Paint::Strong, "kmi trace")];
    spans.push(match &model.link {
        Link::Connecting => Span::new(Paint::Faint, tr!(messages, "trace-connecting")),
        Link::Live if model.paused() => {
            Span::new(Paint::Warn, format!("‖ {}", tr!(messages, "trace-paused", count = model.unseen)))
        }
        Link::Live => Span::new(Paint::Good, format!("● {}", tr!(messages, "trace-live"))),
        Link::Lost(lost) => Span::new(Paint::Bad, format!("✗ {}", lost_words(view, lost))),
    });
    if let Some(figures) = &model.figures {
        let status = &figures.status;
        let counts = &status.requests;
        spans.push(Span::plain(tr!(messages, "requests-in-flight", count = counts.in_flight)));
        let paint = if status.queue.length > 0 { Paint::Warn } else { Paint::Plain };
        spans.push(Span::new(paint, tr!(messages, "requests-waiting", count = status.queue.length)));
        spans.push(Span::plain(view.word("mode", &status.mode)));
        spans.push(Span::plain(view.word("rotation", &status.rotation.mode)));
        spans.push(Span::plain(view.word("policy", &status.rotation.policy)));
    }
    if model.missed > 0 {
        spans.push(Span::new(Paint::Warn, tr!(messages, "trace-missed", count = model.missed)));
    }
    spans
}

fn lost_words(view: &View<'_>, lost: &Lost) -> String {
    let messages = view.messages;
    match lost {
        Lost::NotRunning => tr!(messages, "trace-lost-not-running"),
        Lost::Closed => tr!(messages, "trace-lost-closed"),
        Lost::Broken(why) => tr!(messages, "trace-lost-broken", why = why.as_str()),
    }
}

fn footer(model: &Model, view: &View<'_>) -> Vec<Span> {
    let messages = view.messages;
    let filter = &model.filter;
    let mut spans = Vec::new();
    if model.typing {
        spans.push(Span::new(Paint::Strong, format!("/{}▏", filter.text)));
        spans.push(Span::new(Paint::Faint, tr!(messages, "trace-hints-typing")));
        return spans;
    }
    if let Some(key) = &filter.key {
        spans.push(Span::new(Paint::Warn, tr!(messages, "trace-filter-key", key = key.as_str())));
    }
    let statuses = match filter.statuses {
        Statuses::All => String::new(),
        Statuses::Good => tr!(messages, "trace-statuses-good"),
        Statuses::Refused => tr!(messages, "trace-statuses-refused"),
        Statuses::Broken => tr!(messages, "trace-statuses-broken"),
    };
    spans.push(Span::new(Paint::Warn, statuses));
    if !filter.text.is_empty() {
        spans.push(Span::new(Paint::Warn, format!("/{}", filter.text)));
    }
    spans.push(Span::new(Paint::Faint, tr!(messages, "trace-hints")));
    spans
}

fn requests(frame: &mut Frame<'_>, area: Rect, model: &Model, view: &View<'_>) {
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
    let wide = area.width >= WIDE;
    // Borders and the heading.
    let room = usize::from(area.height.saturating_sub(3));
    let place = model.place(&visible);
    // The chosen one stands in the middle, as far as the list's ends allow.
    let first = place.unwrap_or(0).saturating_sub(room / 2).min(visible.len().saturating_sub(room));
    let rows = visible.iter().enumerate().skip(first).take(room).map(|(number, shown)| {
        let row = request(view, shown, wide);
        if place == Some(number) { row.style(Style::new().add_modifier(Modifier::REVERSED)) } else { row }
    });
    let mut heads = vec![
        tr!(messages, "column-time"),
        tr!(messages, "column-key"),
        tr!(messages, "column-status"),
        tr!(messages, "column-took"),
    ];
    let mut widths = vec![
        Constraint::Length(8),
        Constraint::Length(label_columns(wide)),
        Constraint::Length(if wide { 6 } else { 4 }),
        Constraint::Length(if wide { 8 } else { 7 }),
    ];
    if wide {
        heads.extend([tr!(messages, "column-first-byte"), tr!(messages, "column-tokens")]);
        widths.extend([Constraint::Length(10), Constraint::Length(17)]);
    }
    heads.push(tr!(messages, "column-endpoint"));
    widths.push(Constraint::Fill(1));
    let head = Row::new(fitting(&heads, &widths)).style(style(view, Paint::Faint));
    frame.render_widget(Table::new(rows, widths).header(head).block(block), area);
}

fn label_columns(wide: bool) -> u16 {
    if wide { 16 } else { 7 }
}

/// Headings cut to their columns.
pub(super) fn fitting(heads: &[String], widths: &[Constraint]) -> Vec<String> {
    let fit = |(head, width): (&String, &Constraint)| match width {
        Constraint::Length(columns) => cut(head, usize::from(*columns)).into_owned(),
        _ => head.clone(),
    };
    heads.iter().zip(widths).map(fit).collect()
}

fn request(view: &View<'_>, shown: &Rc<Shown>, wide: bool) -> Row<'static> {
    let entry = &shown.entry;
    let status = if entry.status == 0 { "---".to_owned() } else { entry.status.to_string() };
    let label = entry.key_label.as_deref().unwrap_or("-");
    let mut spans = vec![
        Span::new(Paint::Faint, view.trace_clock(&entry.ts)),
        Span::new(Paint::Strong, cut(label, usize::from(label_columns(wide)))),
        Span::new(Paint::of_status(entry.status), status),
        Span::plain(if wide {
            format!("{:>8}", view.millis(entry.latency_ms))
        } else {
            format!("{:>7}", view.millis(entry.latency_ms))
        }),
    ];
    if wide {
        let tokens = entry.tokens.map_or_else(String::new, |tokens| {
            format!("{}/{}/{}", short(tokens.input), short(tokens.cached), short(tokens.output))
        });
        spans.push(Span::plain(
            entry.ttfb_ms.map_or_else(String::new, |ms| format!("{:>8}", view.millis(ms))),
        ));
        spans.push(Span::plain(tokens));
    }
    let mut what = if wide { format!("{} {}", entry.method, entry.endpoint) } else { entry.endpoint.clone() };
    if entry.outcome != "completed" {
        what = format!("{}: {what}", view.word("outcome", &entry.outcome));
    }
    if entry.attempts.len() > 1 {
        what = format!("×{} {what}", entry.attempts.len());
    }
    spans.push(Span::plain(what));
    Row::new(spans.into_iter().map(|span| Line::from(piece(view, span))))
}

/// `940`, `51.2k`, `1.3M`
fn short(count: u64) -> String {
    match count {
        0..1000 => count.to_string(),
        1000..1_000_000 => format!("{:.1}k", count as f64 / 1000.0),
        _ => format!("{:.1}M", count as f64 / 1_000_000.0),
    }
}

fn help(view: &View<'_>) -> Text<'static> {
    let messages = view.messages;
    let keys = [
        ("q, Ctrl-C", tr!(messages, "trace-help-quit")),
        ("?", tr!(messages, "trace-help-help")),
        ("p, Space", tr!(messages, "trace-help-pause")),
        ("↑ ↓, k j", tr!(messages, "trace-help-move")),
        ("PgUp PgDn", tr!(messages, "trace-help-page")),
        ("Home End", tr!(messages, "trace-help-ends")),
        ("Enter", tr!(messages, "trace-help-open")),
        ("Esc", tr!(messages, "trace-help-back")),
        ("f", tr!(messages, "trace-help-key")),
        ("s", tr!(messages, "trace-help-statuses")),
        ("/", tr!(messages, "trace-help-text")),
        ("c", tr!(messages, "trace-help-clear")),
    ];
    let one = |(key, what): (&'static str, String)| {
        Line::from(vec![Piece::styled(format!("{key:<11}"), style(view, Paint::Strong)), Piece::raw(what)])
    };
    Text::from_iter(keys.into_iter().map(one))
}

/// A box on top of the lists; returns how far its text can be scrolled.
fn over(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &View<'_>,
    title: String,
    text: Text<'static>,
    scroll: u16,
) -> u16 {
    let lines = u16::try_from(text.lines.len()).unwrap_or(u16::MAX);
    let area = Rect { height: lines.saturating_add(2).min(area.height), ..area }.intersection(frame.area());
    let bottom = lines.saturating_sub(area.height.saturating_sub(2));
    let block = Block::bordered().title(Piece::styled(title, style(view, Paint::Strong)));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).block(block).scroll((scroll.min(bottom), 0)), area);
    bottom
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
