//! The help of `kmi`: its commands in groups.

use std::io::{self, IsTerminal};

use clap::Command;

use crate::output::flow;
use crate::output::style::{Look, Span};

/// Headings with the commands below them, in this order. A command that stands nowhere comes under [`OTHERS`].
const GROUPS: [(&str, &[&str]); 3] = [
    ("Look", &["status", "health", "usage", "trace", "top", "why", "plan", "proxy-logs", "doctor", "report"]),
    ("Steer", &["proxy", "proxy-stop", "proxy-reload", "proxy-restart", "rotate", "kimi", "e2e"]),
    ("Set up", &["keys", "service", "connect", "disconnect", "completions", "man"]),
];

const OTHERS: &str = "More";

const EXAMPLES: [(&str, &str); 5] = [
    ("kmi keys add", "put a key into the pool"),
    ("kmi proxy", "start kmid and say how to point a client at it"),
    ("kmi health --refresh", "what every key has left, asked anew"),
    ("kmi rotate --to alpha", "use this key from now on"),
    ("kmi doctor", "when something does not work"),
];

/// The definition with its commands in groups.
pub(crate) fn grouped(mut command: Command) -> Command {
    // Names and texts are complete only then.
    command.build();
    let text = groups(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{}\n{{options}}{{after-help}}",
        heading(&Command::new("kmi"), "Options")
    ))
}

/// The examples, for below the help.
pub(crate) fn examples() -> String {
    let widest = EXAMPLES.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let line = |(line, what): &(&str, &str)| beside(&format!("  {line:widest$}  "), what);
    EXAMPLES.iter().map(line).collect()
}

/// A text beside a name, below itself where it needs more lines.
fn beside(name: &str, text: &str) -> String {
    // As wide as clap makes the rest; see `max_term_width`.
    const WIDEST: u16 = 100;
    let columns = terminal_size::terminal_size().map(|(width, _)| width.0.min(WIDEST));
    let look = Look::new(io::stdout().is_terminal(), columns, true, true);
    flow::spans(look, name, name.len(), &[Span::plain(text)])
}

fn groups(command: &Command) -> String {
    let shown = || command.get_subcommands().filter(|one| !one.is_hide_set());
    let widest = shown().map(|one| one.get_name().len()).max().unwrap_or(0);
    let line = |one: &Command| {
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        beside(&format!("  {:widest$}  ", one.get_name()), &about)
    };
    let mut text = String::new();
    for (title, names) in GROUPS {
        let lines: String =
            names.iter().filter_map(|name| shown().find(|one| one.get_name() == *name)).map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{}\n{lines}\n", heading(command, title)));
        }
    }
    let is_grouped = |one: &&Command| GROUPS.iter().any(|(_, names)| names.contains(&one.get_name()));
    let others: String = shown().filter(|one| !is_grouped(one)).map(line).collect();
    if !others.is_empty() {
        text.push_str(&format!("{}\n{others}\n", heading(command, OTHERS)));
    }
    text
}

/// A heading as clap shows its own; without a terminal the colours go.
fn heading(command: &Command, title: &str) -> String {
    let style = command.get_styles().get_header();
    format!("{style}{title}:{style:#}")
}
