//! `kmi proxy-logs`: the daemon's logs, streamed from it, or read from the files when it is not running.

use jiff::Timestamp;
use kmi_proto::client::Event;
use kmi_proto::methods::logs::{Source, TailParams};
use kmi_proto::notify::COMPLETE;
use serde_json::{Value, json};

use super::{follow, log_files};
use crate::app::App;
use crate::args::ProxyLogsArgs;
use crate::connect::{self, Daemon, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::View;
use crate::output::flow;
use crate::output::style::{Paint, Span, clean};
use crate::{since, tr};

pub(crate) fn run(app: &App, args: &ProxyLogsArgs) -> Outcome {
    let since = since_of(app, args.since.as_deref())?;
    let source = if args.app { Source::App } else { Source::Daemon };
    if args.no_follow {
        return match connect::find(app, Start::No)? {
            Some(daemon) => stream(app, daemon, source, args, since, false),
            None => from_files(app, source, args.lines, since),
        };
    }
    stream(app, connect::require(app, Start::OnDemand)?, source, args, since, true)
}

/// The moment of `--since`; a bad one is a usage error.
pub(crate) fn since_of(app: &App, text: Option<&str>) -> Outcome<Option<Timestamp>> {
    let Some(text) = text else { return Ok(None) };
    let view = app.view();
    match since::parse(text, view.now, &view.zone) {
        Some(time) => Ok(Some(time)),
        None => {
            Err(Failure::new(Exit::Usage, tr!(app.messages, "error-since", text = clean(text).into_owned()))
                .next(tr!(app.messages, "next-since"))
                .into())
        }
    }
}

fn stream(
    app: &App,
    mut daemon: Daemon,
    source: Source,
    args: &ProxyLogsArgs,
    since: Option<Timestamp>,
    follow: bool,
) -> Outcome {
    let params =
        TailParams { source, since: since.map(|time| time.to_string()), lines: Some(args.lines), follow };
    follow::stream(app, &mut daemon, "logs.tail", &params, follow, |event| {
        match event {
            Event::Item(item) => show(app, source, &item)?,
            Event::Dropped(count) => dropped(app, count)?,
            Event::End(reason) => return ended(app, &reason).map(Some),
        }
        Ok(None)
    })
}

/// So many lines are missing here; programs get that in the stream, people beside it.
pub(crate) fn dropped(app: &App, count: u64) -> Outcome<()> {
    app.warn(&tr!(app.messages, "stream-dropped", count = count));
    Ok(())
}

/// Whether the end of a stream is a good one.
pub(crate) fn ended(app: &App, reason: &str) -> Outcome {
    if reason == COMPLETE {
        return Ok(Exit::Ok);
    }
    let why = app.view().word("stream-end", reason);
    Err(Failure::new(Exit::Failed, tr!(app.messages, "error-stream-end", why = why)).into())
}

fn from_files(app: &App, source: Source, lines: usize, since: Option<Timestamp>) -> Outcome {
    let folder = app.settings.state_dir.join("logs");
    let name = match source {
        Source::App => "kmi.log",
        Source::Daemon => "proxy.out",
    };
    let found = log_files::last_lines(&folder, name, lines, since).map_err(|error| {
        let path = folder.join(name).display().to_string();
        Failure::new(
            Exit::Failed,
            tr!(app.messages, "error-log-file", path = path, why = app.messages.io(&error)),
        )
    })?;
    for line in found {
        show(app, source, &Value::String(line))?;
    }
    Ok(Exit::Ok)
}

fn show(app: &App, source: Source, item: &Value) -> Outcome<()> {
    // A line of the log for programs is JSON, whether it comes as text or as a value.
    let line = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
    match source {
        Source::Daemon if app.json => app.print_json_line(&json!({"line": line})),
        Source::App if app.terminal && !app.json => app.print(&render(&app.view(), &line)),
        _ if app.terminal => app.print(&format!("{}\n", clean(&line))),
        _ => app.print(&format!("{line}\n")),
    }
}

/// A line of kmi.log for people: `time  level  message  field=value ...`; what is no such line stays as it is.
pub(crate) fn render(view: &View<'_>, line: &str) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
        return format!("{}\n", clean(line));
    };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => clean(&text).into_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let (ts, level, message) = (take("ts"), take("level"), take("message"));
    let paint = match level.to_ascii_lowercase().as_str() {
        "error" => Paint::Bad,
        "warn" => Paint::Warn,
        _ => Paint::Plain,
    };
    let mut spans = vec![
        Span::new(Paint::Faint, ts),
        Span::new(paint, format!("{level:<5}")),
        Span::new(Paint::Strong, message),
    ];
    spans.extend(fields.iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Span::plain(format!("{name}={value}"))
    }));
    flow::spans(view.look, "", 2, &spans)
}
