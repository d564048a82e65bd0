//! `kmi why`: how one request came to its keys, and what each attempt met.

use kmi_proto::method::typed;
use kmi_proto::methods::requests::{GetParams, TraceAttempt, TraceEntry};

use crate::app::App;
use crate::args::WhyArgs;
use crate::commands::trace;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::View;
use crate::output::style::{Paint, Span, clean};
use crate::output::{decision, flow};
use crate::tr;

pub(crate) fn run(app: &App, args: &WhyArgs) -> Outcome {
    if !is_id(&args.request_id) {
        let what = tr!(app.messages, "why-bad-id", text = clean(&args.request_id).into_owned());
        return Err(Failure::new(Exit::Usage, what).next(tr!(app.messages, "why-bad-id-next")).into());
    }
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let entry = daemon
        .ask::<typed::RequestsGet>(&GetParams { request_id: args.request_id.clone() })
        .map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&entry)?;
    } else {
        app.print(&render(&app.view(), &entry))?;
    }
    Ok(Exit::Ok)
}

/// What the daemon takes for a request's id.
fn is_id(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The request, then each attempt with the choice that led to it.
pub(crate) fn render(view: &View<'_>, entry: &TraceEntry) -> String {
    let messages = view.messages;
    let status = if entry.status == 0 { "---".to_owned() } else { entry.status.to_string() };
    let mut text = flow::spans(
        view.look,
        "",
        2,
        &[
            Span::new(Paint::Strong, &entry.request_id),
            Span::new(Paint::Faint, view.trace_time(&entry.ts)),
            Span::plain(format!("{} {}", entry.method, entry.endpoint)),
            Span::new(Paint::of_status(entry.status), status),
            Span::plain(trace::outcome(view, entry)),
            Span::plain(view.millis(entry.latency_ms)),
        ],
    );
    if let Some(session) = &entry.session {
        let line = tr!(messages, "why-session", session = session.as_str());
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Faint, line)]));
    }
    if let Some(name) = &entry.client_name {
        let line = tr!(messages, "why-client", name = name.as_str());
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Faint, line)]));
    }
    if entry.attempts.is_empty() {
        let line = tr!(messages, "why-no-attempt");
        text.push_str(&flow::spans(view.look, "", 2, &[Span::plain(line)]));
    }
    for (place, attempt) in entry.attempts.iter().enumerate() {
        text.push('\n');
        text.push_str(&render_attempt(view, place + 1, attempt));
    }
    if let Some(refused) = &entry.refused {
        let line = tr!(messages, "why-refused", how = decision::headline(view, refused));
        text.push('\n');
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Warn, line)]));
        text.push_str(&decision::table(view, refused));
    }
    text
}

fn render_attempt(view: &View<'_>, number: usize, attempt: &TraceAttempt) -> String {
    let messages = view.messages;
    let met = attempt.status.map_or_else(
        || view.word("outcome", &attempt.outcome),
        |status| format!("{status} {}", view.word("outcome", &attempt.outcome)),
    );
    let title = tr!(
        messages,
        "why-attempt",
        number = number.to_string(),
        key = attempt.key_label.as_str(),
        met = met
    );
    let paint = if attempt.outcome == "completed" { Paint::Good } else { Paint::Warn };
    let took = Span::new(Paint::Faint, view.millis(attempt.ms));
    let mut text = flow::spans(view.look, "", 2, &[Span::new(paint, title), took]);
    match &attempt.decision {
        Some(choice) => {
            let how = tr!(messages, "why-chosen", how = decision::headline(view, choice));
            text.push_str(&flow::spans(view.look, "  ", 4, &[Span::plain(how)]));
            text.push_str(&decision::table(view, choice));
            if let Some(otherwise) = decision::otherwise(view, choice) {
                text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Faint, otherwise)]));
            }
        }
        None => {
            let line = tr!(messages, "why-not-recorded");
            text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Faint, line)]));
        }
    }
    text
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
