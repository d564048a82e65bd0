//! From the model to a frame. Pure: no terminal, no clock.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span as Piece, Text};
use ratatui::widgets::{Block, Clear, Paragraph};

use super::feed::Lost;
use super::model::{Link, Model, Over, Statuses};
use super::{detail, keys, requests};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Look, Paint, Span, cut, width};
use crate::tr;

/// Draws everything; the result is how far what lies on top can be scrolled.
pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model, view: &View<'_>) -> u16 {
    let area = frame.area();
    let rows = model.key_rows(view.now);
    let room_for_keys = room_for_keys(keys::height(&rows), area.height);
    let [head, for_keys, for_requests, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if rows.is_empty() { 0 } else { room_for_keys }),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(line(view, header(model, view), 2, head.width), head);
    keys::draw(frame, for_keys, &rows, model.stale, view);
    requests::draw(frame, for_requests, model, view);
    let (filters, hints) = footer(model, view);
    let cut = filters.len();
    let spans = filters.into_iter().chain(hints).collect();
    frame.render_widget(line(view, spans, cut, foot.width), foot);
    let between = Rect { y: head.bottom(), height: area.height.saturating_sub(2), ..area };
    match &model.over {
        Over::Nothing => 0,
        Over::Help(scroll) => {
            let text = help(view, usize::from(between.width.saturating_sub(2)));
            over(frame, between, view, tr!(view.messages, "trace-help-title"), text, *scroll)
        }
        Over::Detail(request, scroll) => {
            let text = detail::text(view, &request.entry, usize::from(between.width.saturating_sub(4)));
            over(frame, between, view, tr!(view.messages, "trace-detail-title"), text, *scroll)
        }
    }
}

/// Rows of the keys' box. The requests keep at least half of the screen and room for a few of them; a box without a key
/// in it is none.
fn room_for_keys(wanted: u16, screen: u16) -> u16 {
    /// The first line and the last one.
    const EDGES: u16 = 2;
    /// Borders, the heading, three requests.
    const REQUESTS: u16 = 6;
    /// Borders, the heading, a key and how many more there are.
    const KEYS: u16 = 5;
    let room = wanted.min(screen / 2).min(screen.saturating_sub(EDGES + REQUESTS));
    if room < wanted.min(KEYS) { 0 } else { room }
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

/// Spans two columns apart. Of those that do not fit any more, one of the first `cuttable` is cut, and the others are left
/// out.
fn line(view: &View<'_>, spans: Vec<Span>, cuttable: usize, room: u16) -> Line<'static> {
    let mut left = usize::from(room);
    let mut pieces = Vec::new();
    for (at, span) in spans.into_iter().enumerate().filter(|(_, span)| !span.text.is_empty()) {
        let gap = if pieces.is_empty() { 0 } else { 2 };
        let least = if at < cuttable { width(&span.text).min(2) } else { width(&span.text) };
        if left < gap + least {
            break;
        }
        pieces.push(Piece::raw(" ".repeat(gap)));
        let text = cut(&span.text, left - gap).into_owned();
        left -= (gap + width(&text)).min(left);
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
    if let Some(figures) = model.figures.as_ref().filter(|_| !model.stale) {
        let status = &figures.status;
        let counts = &status.requests;
        spans.push(Span::plain(tr!(messages, "requests-in-flight", count = counts.in_flight)));
        let paint = if status.queue.length > 0 { Paint::Warn } else { Paint::Plain };
        spans.push(Span::new(paint, tr!(messages, "requests-waiting", count = status.queue.length)));
        spans.push(Span::plain(view.word("mode", &status.mode)));
        spans.push(Span::plain(view.word("rotation", &status.rotation.mode)));
        // The policy decides nothing elsewhere.
        if status.rotation.mode == "auto" {
            spans.push(Span::plain(view.word("policy", &status.rotation.policy)));
        }
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
        Lost::Broken(why) => tr!(messages, "trace-lost-broken", why = messages.said(why)),
    }
}

/// The filters, and what can be pressed.
fn footer(model: &Model, view: &View<'_>) -> (Vec<Span>, Vec<Span>) {
    let messages = view.messages;
    let filter = &model.filter;
    let hints = |text: String| text.split("  ").map(|hint| Span::new(Paint::Faint, hint)).collect();
    if model.typing {
        let typed = Span::new(Paint::Strong, format!("/{}▏", filter.text));
        return (vec![typed], hints(tr!(messages, "trace-hints-typing")));
    }
    let mut spans = Vec::new();
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
    (spans, hints(tr!(messages, "trace-hints")))
}

/// What can be pressed, laid out for so many columns.
fn help(view: &View<'_>, columns: usize) -> Text<'static> {
    const NAMES: usize = 11;
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
    // The box has its own colours: escapes would be shown as text.
    let look = Look { color: false, boxes: true, width: Some(columns) };
    let mut text = Text::default();
    for (key, what) in keys {
        let name = format!("{key:<NAMES$}");
        let block = flow::spans(look, &name, NAMES, &[Span::plain(what)]);
        for line in block.lines() {
            text.push_line(match line.strip_prefix(name.as_str()) {
                Some(rest) => Line::from(vec![
                    Piece::styled(name.clone(), style(view, Paint::Strong)),
                    Piece::raw(rest.to_owned()),
                ]),
                None => Line::from(line.to_owned()),
            });
        }
    }
    text
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
    let mut block = Block::bordered().title(Piece::styled(title, style(view, Paint::Strong)));
    if bottom > 0 {
        // There is more above or below.
        block = block.title_bottom(Line::from("↑ ↓").right_aligned());
    }
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(text).block(block).scroll((scroll.min(bottom), 0)), area);
    bottom
}

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
