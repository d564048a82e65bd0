//! The help of `kmi`: its commands in groups, in the person's language.
//!
//! The English texts stand at the definition of the command line, where clap takes them from, and in the tables of this
//! file. Those of another language are messages `help-…`.

mod translate;

use std::io::{self, IsTerminal};

use clap::{ColorChoice, Command};

use crate::output::flow;
use crate::output::style::{Look, Span};

pub(crate) use translate::translated;

/// Gives the text of a `help-…` message; `None` is English.
pub(crate) type Say<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The language of the definition itself.
pub(crate) const ENGLISH: Say<'static> = &|_| None;

/// Headings with the commands below them, in this order. A command that stands nowhere comes under [`OTHERS`].
const GROUPS: [(&str, &str, &[&str]); 3] = [
    (
        "help-heading-look",
        "Look",
        &["status", "health", "usage", "trace", "top", "why", "plan", "proxy-logs", "doctor", "report"],
    ),
    (
        "help-heading-steer",
        "Steer",
        &["proxy", "proxy-stop", "proxy-reload", "proxy-restart", "rotate", "kimi", "e2e"],
    ),
    ("help-heading-set-up", "Set up", &["keys", "service", "connect", "disconnect", "completions", "man"]),
];

const OTHERS: (&str, &str) = ("help-heading-more", "More");
const OPTIONS: (&str, &str) = ("help-heading-options", "Options");
const USAGE: (&str, &str) = ("help-heading-usage", "Usage");

/// A command line, and what it is for.
const EXAMPLES: [(&str, &str, &str); 5] = [
    ("kmi keys add", "help-example-add", "put a key into the pool"),
    ("kmi proxy", "help-example-proxy", "start kmid and say how to point a client at it"),
    ("kmi health --refresh", "help-example-health", "what every key has left, asked anew"),
    ("kmi rotate --to alpha", "help-example-rotate", "use this key from now on"),
    ("kmi doctor", "help-example-doctor", "when something does not work"),
];

const EXIT_STATUS: &str = "`kmi COMMAND --help` says more. Exit status: 0 done, 1 failed, 2 usage or settings, \
                           3 kmid is not running, 4 kmi and kmid do not fit together.";

/// The definition with its commands in groups.
pub(crate) fn grouped(mut command: Command, say: Say<'_>) -> Command {
    // Names and texts are complete only then.
    command.build();
    let text = groups(&command, say);
    let usage = say_or(say, USAGE.0, USAGE.1);
    let usage = format!("{0}{usage}:{0:#}", command.get_styles().get_usage());
    let options = heading(&command, &say_or(say, OPTIONS.0, OPTIONS.1));
    command.help_template(format!(
        "{{about-with-newline}}\n{usage} {{usage}}\n\n{text}{options}\n{{options}}{{after-help}}",
    ))
}

/// Without colours if need be, and on a narrow terminal with each text below its name, where clap would leave it a column
/// of one word.
pub(crate) fn fitted(command: Command, plain: bool) -> Command {
    const NARROW: u16 = 60;
    let is_narrow = terminal_size::terminal_size().is_some_and(|(width, _)| width.0 < NARROW);
    if plain || is_narrow { fitted_each(command, plain, is_narrow) } else { command }
}

/// Each command has to be told: the definition is built.
fn fitted_each(command: Command, plain: bool, is_narrow: bool) -> Command {
    let command = if plain { command.color(ColorChoice::Never) } else { command };
    command.next_line_help(is_narrow).mut_subcommands(|below| fitted_each(below, plain, is_narrow))
}

/// What stands below the help: examples, and the exit status.
pub(crate) fn after(say: Say<'_>) -> String {
    let widest = EXAMPLES.iter().map(|(line, ..)| line.len()).max().unwrap_or(0);
    let line = |(line, id, what): &(&str, &str, &str)| {
        beside(&format!("  {line:widest$}  "), &say_or(say, id, what))
    };
    let examples: String = EXAMPLES.iter().map(line).collect();
    let title = say_or(say, "help-heading-examples", "Examples");
    format!("{title}:\n{examples}\n{}", say_or(say, "help-exit-status", EXIT_STATUS))
}

/// A text beside a name, below itself where it needs more lines.
fn beside(name: &str, text: &str) -> String {
    // As wide as clap makes the rest; see `max_term_width`.
    const WIDEST: u16 = 100;
    let columns = terminal_size::terminal_size().map(|(width, _)| width.0.min(WIDEST));
    let look = Look::new(io::stdout().is_terminal(), columns, true, true);
    flow::spans(look, name, name.len(), &[Span::plain(text)])
}

fn groups(command: &Command, say: Say<'_>) -> String {
    let shown = || command.get_subcommands().filter(|one| !one.is_hide_set());
    let widest = shown().map(|one| one.get_name().len()).max().unwrap_or(0);
    let line = |one: &Command| {
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        beside(&format!("  {:widest$}  ", one.get_name()), &about)
    };
    let mut text = String::new();
    for (id, title, names) in GROUPS {
        let lines: String =
            names.iter().filter_map(|name| shown().find(|one| one.get_name() == *name)).map(line).collect();
        if !lines.is_empty() {
            text.push_str(&format!("{}\n{lines}\n", heading(command, &say_or(say, id, title))));
        }
    }
    let is_grouped = |one: &&Command| GROUPS.iter().any(|(_, _, names)| names.contains(&one.get_name()));
    let others: String = shown().filter(|one| !is_grouped(one)).map(line).collect();
    if !others.is_empty() {
        text.push_str(&format!("{}\n{others}\n", heading(command, &say_or(say, OTHERS.0, OTHERS.1))));
    }
    text
}

/// A heading as clap shows its own; without a terminal the colours go.
fn heading(command: &Command, title: &str) -> String {
    let style = command.get_styles().get_header();
    format!("{style}{title}:{style:#}")
}

fn say_or(say: Say<'_>, id: &str, english: &str) -> String {
    say(id).unwrap_or_else(|| english.to_owned())
}

#[cfg(test)]
#[path = "help_tests.rs"]
mod tests;
