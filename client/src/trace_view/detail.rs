//! All that is known of one request: its figures, then its attempts and choices as `kmi why` shows them.

use kmi_proto::methods::requests::TraceEntry;
use ratatui::text::Text;

use crate::commands::why;
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Look, Span};
use crate::tr;

/// The text, laid out for so many columns.
pub(super) fn text(view: &View<'_>, entry: &TraceEntry, columns: usize) -> Text<'static> {
    // The box has its own colours: escapes would be shown as text.
    let look = Look { color: false, boxes: true, width: Some(columns) };
    let view = View { messages: view.messages, look, now: view.now, zone: view.zone.clone() };
    let messages = view.messages;
    let mut figures = Vec::new();
    if let Some(ms) = entry.ttfb_ms {
        figures.push(tr!(messages, "trace-first-byte", time = view.millis(ms)));
    }
    if let Some(queued) = entry.queue_ms {
        figures.push(tr!(messages, "trace-queued", time = view.millis(queued)));
    }
    if let Some(tokens) = &entry.tokens {
        figures.push(tr!(
            messages,
            "trace-tokens",
            input = tokens.input.to_string(),
            cached = tokens.cached.to_string(),
            output = tokens.output.to_string(),
        ));
    }
    figures.push(tr!(
        messages,
        "trace-bytes",
        up = view.bytes(entry.bytes_up),
        down = view.bytes(entry.bytes_down)
    ));
    if let Some(code) = &entry.error_code {
        figures.push(tr!(messages, "trace-error-code", code = code.as_str()));
    }
    figures.push(entry.prompt_hint.clone());
    let figures: Vec<Span> = figures.into_iter().map(Span::plain).collect();
    let mut text = flow::spans(look, "", 2, &figures);
    text.push_str(&why::render(&view, entry));
    Text::from(text)
}
