//! `kmi plan`: which key the next new session would get, and the order of the rest.

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::decisions::Decision;

use crate::app::App;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::style::{Paint, Span};
use crate::output::{decision, flow};
use crate::tr;

pub(crate) fn run(app: &App) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let plan = daemon.ask::<typed::RotationPlan>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&plan)?;
    } else {
        app.print(&render(&app.view(), &plan))?;
    }
    Ok(if plan.candidates.iter().any(|candidate| candidate.chosen) { Exit::Ok } else { Exit::Failed })
}

pub(crate) fn render(view: &View<'_>, plan: &Decision) -> String {
    let messages = view.messages;
    if plan.candidates.is_empty() {
        return format!("{}\n", tr!(messages, "keys-none"));
    }
    let chosen = plan.candidates.iter().find(|candidate| candidate.chosen);
    let headline = match chosen {
        Some(chosen) => Span::new(Paint::Good, tr!(messages, "plan-next", key = chosen.key_label.as_str())),
        None => Span::new(Paint::Bad, tr!(messages, "plan-none")),
    };
    let how = Span::new(Paint::Faint, decision::headline(view, plan));
    format!("{}{}", flow::spans(view.look, "", 2, &[headline, how]), decision::table(view, plan))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
