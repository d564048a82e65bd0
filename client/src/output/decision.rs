//! A choice between keys, as a table: the chosen one, the order of the rest, and what kept the others out.

use kmi_proto::methods::decisions::{Candidate, Decision};

use super::View;
use super::flow;
use super::style::{Paint, Span, clean};
use super::table::{self, Column};
use crate::tr;

/// How it was chosen, in one line: mode, policy, session.
pub(crate) fn headline(view: &View<'_>, decision: &Decision) -> String {
    // The policy decides nothing elsewhere.
    let policy = if decision.mode == "auto" { decision.policy.as_str() } else { "" };
    let words = [
        view.word("rotation", &decision.mode),
        view.word("policy", policy),
        view.word("placement", &decision.placement),
    ];
    // An old daemon leaves words out.
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Every candidate in its order.
pub(crate) fn table(view: &View<'_>, decision: &Decision) -> String {
    let messages = view.messages;
    let columns = [
        Column::right("#".to_owned()),
        Column::left(tr!(messages, "column-key")).shrinking(),
        Column::left(tr!(messages, "column-state")),
        Column::left(tr!(messages, "column-left")),
        Column::left(tr!(messages, "column-why")).wrapping(),
    ];
    let mut place = 0;
    let rows: Vec<Vec<Span>> = decision
        .candidates
        .iter()
        .map(|candidate| {
            let number = if candidate.obstacle.is_none() {
                place += 1;
                place.to_string()
            } else {
                "-".to_owned()
            };
            let paint = match (candidate.chosen, candidate.obstacle.is_some()) {
                (true, _) => Paint::Good,
                (false, true) => Paint::Faint,
                (false, false) => Paint::Plain,
            };
            vec![
                Span::new(paint, number),
                Span::new(if candidate.chosen { Paint::Strong } else { paint }, &candidate.key_label),
                Span::new(Paint::of_state(&candidate.state), view.word("state", &candidate.state)),
                Span::plain(windows(view, candidate)),
                Span::new(paint, why(view, candidate)),
            ]
        })
        .collect();
    let mut text = table::render(view.look, &columns, &rows);
    if decision.left_off > 0 {
        let more = tr!(messages, "decision-more", count = decision.left_off);
        text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Faint, more)]));
    }
    text
}

/// What would have led to another key.
pub(crate) fn otherwise(view: &View<'_>, decision: &Decision) -> Option<String> {
    let messages = view.messages;
    let chosen = decision.candidates.iter().find(|candidate| candidate.chosen)?;
    let next = decision.candidates.iter().find(|candidate| !candidate.chosen && candidate.obstacle.is_none());
    match next {
        Some(next) => Some(tr!(
            messages,
            "decision-otherwise",
            chosen = chosen.key_label.as_str(),
            next = next.key_label.as_str()
        )),
        None if decision.candidates.len() > 1 => Some(tr!(messages, "decision-no-other")),
        None => None,
    }
}

fn windows(view: &View<'_>, candidate: &Candidate) -> String {
    if candidate.windows.is_empty() {
        return tr!(view.messages, "decision-no-reading");
    }
    let one = |window: &kmi_proto::methods::decisions::CandidateWindow| {
        let percent = format!("{:.0} %", window.percent_left);
        format!("{} {percent}", clean(&window.name))
    };
    let age = candidate.windows.iter().map(|window| window.age_seconds).max().unwrap_or_default();
    let list: Vec<String> = candidate.windows.iter().map(one).collect();
    tr!(view.messages, "decision-windows", list = list.join(", "), age = view.span(age))
}

fn why(view: &View<'_>, candidate: &Candidate) -> String {
    let reason = candidate.reason.as_deref().unwrap_or_default();
    let Some(obstacle) = &candidate.obstacle else {
        let rank = view.word("rank", reason);
        return match candidate.score {
            Some(score) => tr!(view.messages, "decision-score", why = rank, score = format!("{score:.1}")),
            None => rank,
        };
    };
    let what =
        if obstacle == "state" { view.word("reason", reason) } else { view.word("obstacle", obstacle) };
    match &candidate.until {
        Some(until) => tr!(view.messages, "decision-until", what = what, moment = view.moment(until)),
        None => what,
    }
}
