//! `kmi proxy-reload`

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Issue, Reloaded};

use crate::app::App;
use crate::commands::status::alerts;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span};
use crate::{service, tr};

pub(crate) fn run(app: &App) -> Outcome {
    let mut daemon = connect::require(app, Start::No)?;
    let reloaded =
        daemon.ask::<typed::DaemonReload>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&reloaded)?;
    } else {
        let held = service::waiting_for_install(&app.settings.socket, &reloaded.needs_restart);
        app.print(&render(&app.view(), &reloaded, held))?;
    }
    Ok(if refused(&reloaded).is_empty() { Exit::Ok } else { Exit::Usage })
}

/// The settings that kept all of them from being taken over. Key files that cannot be used are no reason for that.
fn refused(reloaded: &Reloaded) -> Vec<Issue> {
    let bad = |issue: &&Issue| issue.kind == "settings" && issue.level == "error";
    reloaded.issues.iter().filter(bad).cloned().collect()
}

/// What counts now, what waits, and what is wrong; `held` is a setting that the service's files hold.
pub(crate) fn render(view: &View<'_>, reloaded: &Reloaded, held: Option<&str>) -> String {
    let messages = view.messages;
    let wrong = refused(reloaded);
    if !wrong.is_empty() {
        let title = tr!(messages, "reload-refused", count = wrong.len());
        let title = flow::spans(view.look, "", 2, &[Span::new(Paint::Bad, title)]);
        return format!("{title}{}", alerts(view, &wrong));
    }
    let names = |names: &[String]| {
        let shown = names.iter().map(|name| match name.as_str() {
            "keys" => tr!(messages, "reload-keys"),
            name => name.to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    if !reloaded.changed.is_empty() {
        lines.push(Span::new(Paint::Good, tr!(messages, "reload-changed", names = names(&reloaded.changed))));
    }
    let waiting = reloaded.needs_restart.iter().filter(|name| held != Some(name.as_str()));
    let waiting: Vec<String> = waiting.cloned().collect();
    if !waiting.is_empty() {
        lines.push(Span::new(Paint::Warn, tr!(messages, "reload-waiting", names = names(&waiting))));
    }
    if let Some(name) = held {
        lines.push(Span::new(Paint::Warn, tr!(messages, "reload-waiting-install", names = name)));
    }
    if lines.is_empty() {
        lines.push(Span::plain(tr!(messages, "reload-same")));
    }
    let mut text = String::new();
    for line in lines {
        text.push_str(&flow::spans(view.look, "", 2, &[line]));
    }
    text + &alerts(view, &reloaded.issues)
}

#[cfg(test)]
#[path = "proxy_reload_tests.rs"]
mod tests;
