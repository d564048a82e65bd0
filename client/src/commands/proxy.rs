//! `kmi proxy`: makes sure that the daemon runs, and shows how to point a client at it.

use std::process::Command;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Issue, Status};
use kmid_config::env;
use kmid_core::said::Said;
use serde_json::json;

use crate::app::App;
use crate::args::ProxyArgs;
use crate::commands::doctor;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::output::View;
use crate::output::flow::{self, Fields};
use crate::output::style::{Paint, Span};
use crate::{settings, tr};

pub(crate) fn run(app: &App, args: &ProxyArgs) -> Outcome {
    if args.foreground {
        return foreground(app);
    }
    let mut daemon = connect::require(app, Start::Asked)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(&json!({"url": status.proxy.url, "mode": status.mode, "proxy": status.proxy}))?;
    } else {
        let token = settings::token_place(&status.daemon);
        app.print(&render(&app.view(), &status, token.as_ref()))?;
    }
    Ok(Exit::Ok)
}

/// The URL and what to set.
pub(crate) fn render(view: &View<'_>, status: &Status, token: Option<&(&str, Said)>) -> String {
    let messages = view.messages;
    let url = status.proxy.url.as_str();
    let mut fields = Fields::default();
    fields.row(tr!(messages, "proxy-url"), vec![Span::new(Paint::Strong, url)]);
    fields.row(tr!(messages, "status-mode"), vec![Span::plain(view.word("mode", &status.mode))]);
    let mut text = fields.render(view.look);
    // The value of the token is never shown; the person knows where it was set.
    let key = if token.is_some() { "$KMI_PROXY_TOKEN" } else { "kmi" };
    text.push_str(&format!("\n{}\n", tr!(messages, "proxy-point")));
    for line in [
        "kmi kimi".to_owned(),
        format!("KIMI_BASE_URL={url} KIMI_API_KEY={key} kimi"),
        format!("OPENAI_BASE_URL={url} OPENAI_API_KEY={key}"),
        format!("ANTHROPIC_BASE_URL={} ANTHROPIC_API_KEY={key}", url.strip_suffix("/v1").unwrap_or(url)),
    ] {
        text.push_str(&format!("  {line}\n"));
    }
    if let Some(token) = token {
        let note = Span::new(Paint::Faint, token_note(view, token));
        text.push_str(&format!("\n{}", flow::spans(view.look, "", 2, &[note])));
    }
    if status.keys.total == 0 {
        // A missing directory is told as an issue of this kind, too.
        let is_bad_file = |issue: &Issue| {
            issue.kind == "key_file" && issue.level == "error" && !doctor::has_no_directory(issue)
        };
        let note = if status.issues.iter().any(is_bad_file) {
            tr!(messages, "proxy-bad-keys")
        } else {
            tr!(messages, "proxy-no-keys")
        };
        let note = Span::new(Paint::Warn, note);
        text.push_str(&format!("\n{}", flow::spans(view.look, "", 2, &[note])));
    }
    if status.mode == "dry-run" {
        let note = Span::new(Paint::Warn, tr!(messages, "proxy-dry-run"));
        text.push_str(&format!("\n{}", flow::spans(view.look, "", 2, &[note])));
    }
    text
}

/// Where the token stands, and that a variable which the lines name has to hold it.
pub(crate) fn token_note(view: &View<'_>, (setting, place): &(&str, Said)) -> String {
    let place = view.messages.said(place);
    if *setting == env::PROXY_TOKENS.name {
        tr!(view.messages, "connect-token-named", setting = *setting, place = place)
    } else {
        tr!(view.messages, "connect-token", setting = *setting, place = place)
    }
}

/// Becomes the daemon, or waits for it where a process cannot become another.
fn foreground(app: &App) -> Outcome {
    let program = connect::kmid(app)?;
    let mut command = Command::new(&program);
    command.args(connect::socket_flag(app));
    become_program(app, command)
}

/// Runs a program in place of this one; its exit status is ours.
pub(crate) fn become_program(app: &App, mut command: Command) -> Outcome {
    let program = std::path::PathBuf::from(command.get_program());
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        let error = command.exec();
        Err(connect::cannot_run(app, &program, &error).into())
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(|error| connect::cannot_run(app, &program, &error))?;
        Ok(Exit::Other(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
