//! `kmi connect` and `kmi disconnect`: a Kimi client's config file points at the proxy, or no longer.

use kmi_proto::client::ClientError;
use kmi_proto::error::Kind;
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::clients::{ClientChange, ConnectParams, DisconnectParams, Value};
use kmid_core::said::Said;
use serde_json::json;

use super::proxy::token_note;
use crate::app::App;
use crate::args::{ConnectArgs, DisconnectArgs};
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span, width};
use crate::{settings, tr};

pub(crate) fn connect(app: &App, args: &ConnectArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let Some(client) = args.client else {
        let status =
            daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
        let token = settings::token_place(&status.daemon);
        return show(app, &status.proxy.url, token.as_ref());
    };
    let params = ConnectParams { client: client.name().to_owned(), dry_run: args.dry_run };
    let done = daemon.ask::<typed::ClientsConnect>(&params).map_err(|error| failure(app, error))?;
    if app.json {
        app.print_json(&done)?;
    } else {
        app.print(&render(&app.view(), &done, args.dry_run))?;
    }
    Ok(exit(std::slice::from_ref(&done)))
}

pub(crate) fn disconnect(app: &App, args: &DisconnectArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let client = args.client.map(|client| client.name().to_owned());
    let named = client.is_some();
    let params = DisconnectParams { client, dry_run: args.dry_run };
    let done = daemon.ask::<typed::ClientsDisconnect>(&params).map_err(|error| failure(app, error))?;
    if app.json {
        app.print_json(&done)?;
    } else {
        let view = app.view();
        // Of all clients only those matter that were connected, unless none was.
        let silent = |change: &&ClientChange| {
            named || change.outcome != "not_connected" || !change.warnings.is_empty()
        };
        let texts: Vec<String> =
            done.clients.iter().filter(silent).map(|change| render(&view, change, args.dry_run)).collect();
        if texts.is_empty() {
            app.print(&flow::spans(view.look, "", 2, &[Span::plain(tr!(view.messages, "disconnect-none"))]))?;
        } else {
            app.print(&texts.concat())?;
        }
    }
    Ok(exit(&done.clients))
}

/// The only policy here is KMI_WRITE_CONFIG; the usual advice on a policy is about another one.
fn failure(app: &App, error: ClientError) -> Failure {
    match error {
        ClientError::Rpc(refused) if refused.is(Kind::Policy) => {
            Failure::new(Exit::Failed, tr!(app.messages, "connect-forbidden"))
                .next(tr!(app.messages, "connect-forbidden-next"))
        }
        other => connect::failure(app, other),
    }
}

fn exit(changes: &[ClientChange]) -> Exit {
    if changes.iter().any(|change| change.outcome == "left_alone") { Exit::Failed } else { Exit::Ok }
}

/// What was done, as a diff of the values, and what to know besides.
pub(crate) fn render(view: &View<'_>, change: &ClientChange, dry_run: bool) -> String {
    let messages = view.messages;
    let paint = match change.outcome.as_str() {
        "connected" | "disconnected" => Paint::Good,
        "left_alone" | "taken_back" => Paint::Warn,
        _ => Paint::Strong,
    };
    let name = format!("connect-{}", change.outcome.replace('_', "-"));
    let (client, path) = (change.client.as_str(), change.path.as_str());
    let headline = match name.as_str() {
        "connect-connected" => tr!(messages, "connect-connected", client = client, path = path),
        "connect-already-connected" => {
            tr!(messages, "connect-already-connected", client = client, path = path)
        }
        "connect-disconnected" => tr!(messages, "connect-disconnected", client = client, path = path),
        "connect-taken-back" => tr!(messages, "connect-taken-back", client = client, path = path),
        "connect-not-connected" => tr!(messages, "connect-not-connected", client = client, path = path),
        _ => tr!(messages, "connect-left-alone", client = client, path = path),
    };
    let mut text = String::new();
    if dry_run {
        text.push_str(&flow::spans(
            view.look,
            "",
            2,
            &[Span::new(Paint::Faint, tr!(messages, "connect-dry-run"))],
        ));
    }
    text.push_str(&flow::spans(view.look, "", 2, &[Span::new(paint, headline)]));
    text.push_str(&diff(view, &change.changes));
    if let Some(original) = change.original.as_deref().filter(|_| !dry_run) {
        let line = tr!(messages, "connect-original", path = original);
        text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Faint, line)]));
    }
    for warning in messages.all_said(&change.warnings_said, &change.warnings) {
        let line = tr!(messages, "warning-line", what = warning);
        text.push_str(&flow::spans(view.look, "  ", 4, &[Span::new(Paint::Warn, line)]));
    }
    text
}

/// A line for each value before and after; where one does not fit, all stand below their places.
fn diff(view: &View<'_>, changes: &[Value]) -> String {
    let sides = |value: &Value| [('-', Paint::Bad, value.from.clone()), ('+', Paint::Good, value.to.clone())];
    let mut lines = Vec::new();
    for value in changes {
        for (sign, paint, side) in sides(value) {
            let text = format!("{} = \"{side}\"", value.place);
            lines.push((format!("{:>4} {sign} ", value.line), Span::new(paint, text)));
        }
    }
    if lines.iter().all(|(lead, span)| width(lead) + width(&span.text) <= view.look.columns()) {
        let line =
            |(lead, span): (String, Span)| format!("{lead}{}\n", view.look.paint(span.paint, &span.text));
        return lines.into_iter().map(line).collect();
    }
    let mut text = String::new();
    for value in changes {
        let place = tr!(view.messages, "connect-line", line = value.line.to_string());
        text.push_str(&flow::spans(view.look, "  ", 2, &[Span::plain(place), Span::plain(&value.place)]));
        for (sign, paint, side) in sides(value) {
            let shown = if side.is_empty() { "\"\"".to_owned() } else { side };
            text.push_str(&flow::spans(view.look, &format!("  {sign} "), 4, &[Span::new(paint, shown)]));
        }
    }
    text
}

/// Prints how other programs are pointed at the proxy.
fn show(app: &App, url: &str, token: Option<&(&str, Said)>) -> Outcome {
    let snippets = snippets(url, token.is_some());
    if app.json {
        let all: serde_json::Map<String, serde_json::Value> =
            snippets.into_iter().map(|(_, name, text)| (name.to_owned(), json!(text))).collect();
        app.print_json(&all)?;
        return Ok(Exit::Ok);
    }
    let view = app.view();
    let mut text = String::new();
    for (title, _, snippet) in snippets {
        text.push_str(&format!("{}\n", view.look.paint(Paint::Strong, title)));
        for line in snippet.lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text.push('\n');
    }
    let note = match token {
        Some(token) => token_note(&view, token),
        None => tr!(view.messages, "connect-no-token"),
    };
    text.push_str(&flow::spans(view.look, "", 2, &[Span::new(Paint::Faint, note)]));
    app.print(&text)?;
    Ok(Exit::Ok)
}

/// Title, name in JSON, and text, ready to be pasted. The token itself is never among it.
fn snippets(url: &str, token: bool) -> Vec<(&'static str, &'static str, String)> {
    let key = if token { "$KMI_PROXY_TOKEN" } else { "kmi" };
    let bare = url.strip_suffix("/v1").unwrap_or(url);
    // opencode puts the variable's value in by itself (its documentation of variables, 2026-11).
    let opencode_key = if token { "{env:KMI_PROXY_TOKEN}" } else { "kmi" };
    let opencode = json!({
        "$schema": "https://opencode.ai/config.json",
        "provider": {"kmid": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Kimi through kmid",
            "options": {"baseURL": url, "apiKey": opencode_key},
            "models": {"kimi-for-coding": {"name": "Kimi for Coding"}},
        }},
    });
    let in_code = |code: &str| format!("import os\nfrom {code}");
    let python_key = if token { "os.environ[\"KMI_PROXY_TOKEN\"]" } else { "\"kmi\"" };
    let import_os = |code: String| if token { in_code(&code) } else { format!("from {code}") };
    let js_key = if token { "process.env.KMI_PROXY_TOKEN" } else { "\"kmi\"" };
    vec![
        (
            "Claude Code",
            "claude_code",
            // The last three are for its aliases, which sub-agents and small tasks use: without them it asks for models
            // that Kimi does not have (seen with 2.1, 2026-11).
            format!(
                "export ANTHROPIC_BASE_URL={bare}\nexport ANTHROPIC_AUTH_TOKEN={key}\n\
                 export ANTHROPIC_MODEL=kimi-for-coding\n\
                 export ANTHROPIC_DEFAULT_OPUS_MODEL=kimi-for-coding\n\
                 export ANTHROPIC_DEFAULT_SONNET_MODEL=kimi-for-coding\n\
                 export ANTHROPIC_DEFAULT_HAIKU_MODEL=kimi-for-coding\nclaude"
            ),
        ),
        (
            "OpenAI SDK (Python, JavaScript)",
            "openai_env",
            format!("export OPENAI_BASE_URL={url}\nexport OPENAI_API_KEY={key}"),
        ),
        (
            "OpenAI SDK, in Python",
            "openai_python",
            import_os(format!(
                "openai import OpenAI\nclient = OpenAI(base_url=\"{url}\", api_key={python_key})"
            )),
        ),
        (
            "OpenAI SDK, in JavaScript",
            "openai_javascript",
            format!(
                "import OpenAI from \"openai\";\nconst client = new OpenAI({{ baseURL: \"{url}\", apiKey: {js_key} }});"
            ),
        ),
        (
            "Anthropic SDK (Python, JavaScript)",
            "anthropic_env",
            format!("export ANTHROPIC_BASE_URL={bare}\nexport ANTHROPIC_API_KEY={key}"),
        ),
        (
            "Anthropic SDK, in Python",
            "anthropic_python",
            import_os(format!(
                "anthropic import Anthropic\nclient = Anthropic(base_url=\"{bare}\", api_key={python_key})"
            )),
        ),
        (
            "Anthropic SDK, in JavaScript",
            "anthropic_javascript",
            format!(
                "import Anthropic from \"@anthropic-ai/sdk\";\n\
                 const client = new Anthropic({{ baseURL: \"{bare}\", apiKey: {js_key} }});"
            ),
        ),
        ("opencode (opencode.json)", "opencode", format!("{opencode:#}")),
        (
            "curl",
            "curl",
            format!(
                "curl {url}/chat/completions -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \
                 -d '{{\"model\":\"kimi-for-coding\",\"messages\":[{{\"role\":\"user\",\"content\":\"Say hello\"}}]}}'"
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_name_the_variable_and_never_a_token() {
        let all = |token| {
            let texts: Vec<String> = snippets("http://127.0.0.1:1/kmi-rotor/v1", token)
                .into_iter()
                .map(|(.., text)| text)
                .collect();
            texts.join("\n")
        };
        let (without, with) = (all(false), all(true));
        assert!(without.contains("ANTHROPIC_BASE_URL=http://127.0.0.1:1/kmi-rotor\n"), "{without}");
        assert!(without.contains("OPENAI_BASE_URL=http://127.0.0.1:1/kmi-rotor/v1\n"));
        assert!(!without.contains("KMI_PROXY_TOKEN") && without.contains("Bearer kmi"));
        for form in [
            "Bearer $KMI_PROXY_TOKEN",
            "{env:KMI_PROXY_TOKEN}",
            "os.environ[\"KMI_PROXY_TOKEN\"]",
            "process.env.KMI_PROXY_TOKEN",
        ] {
            assert!(with.contains(form), "{form}: {with}");
        }
        assert!(!with.contains("Bearer kmi"));
        let opencode =
            snippets("http://x/v1", false).into_iter().find(|(_, name, _)| *name == "opencode").unwrap().2;
        let opencode: serde_json::Value = serde_json::from_str(&opencode).unwrap();
        assert_eq!(opencode["provider"]["kmid"]["options"]["baseURL"], "http://x/v1");
    }
}
