//! The help of `kmi`: its commands in groups, in the person's language.
//!
//! The English texts stand at the definition of the command line, where clap takes them from, and in the tables of this
//! file. Those of another language are messages `help-…`.

mod examples;
mod translate;

use clap::{ColorChoice, Command};

use examples::beside;

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
        &["status", "health", "usage", "trace", "why", "plan", "proxy-logs", "doctor", "report"],
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
/// What every command takes.
const GLOBAL: (&str, &str) = ("help-heading-global", "Global options");
const USAGE: (&str, &str) = ("help-heading-usage", "Usage");

const EXIT_STATUS: &str = "`kmi COMMAND --help` says more. Exit status: 0 done, 1 failed, 2 usage or settings, \
                           3 kmid is not running, 4 kmi and kmid do not fit together.";

/// The definition with its commands in groups, and below them the own options of each before those that all take.
pub(crate) fn grouped(mut command: Command, say: Say<'_>) -> Command {
    // Names and texts are complete only then.
    command.build();
    let text = groups(&command, say);
    let usage = say_or(say, USAGE.0, USAGE.1);
    let usage = format!("{0}{usage}:{0:#}", command.get_styles().get_usage());
    let options = heading(&command, &say_or(say, OPTIONS.0, OPTIONS.1));
    command
        .help_template(format!(
            "{{about-with-newline}}\n{usage} {{usage}}\n\n{text}{options}\n{{options}}{{after-help}}",
        ))
        .mut_subcommands(|below| sorted(below, "kmi", say))
}

/// A command below, and those below it: options that every command takes under their own heading, and examples.
fn sorted(mut command: Command, above: &str, say: Say<'_>) -> Command {
    let name = format!("{above} {}", command.get_name());
    if let Some(text) = examples::of(&name, say) {
        command = command.after_help(text);
    }
    // What stands behind its name is the client's.
    let takes_none = name == "kmi kimi";
    // Behind any own option, also in the synopsis of a manual page.
    let mut places = 1000..;
    command
        .mut_args(|arg| {
            let of_all = arg.is_global_set() || arg.get_id() == "help";
            let title = match (of_all, arg.is_positional()) {
                (true, _) => Some(say_or(say, GLOBAL.0, GLOBAL.1)),
                // clap has a heading for these, in English.
                (_, true) => say("help-heading-arguments"),
                _ => say(OPTIONS.0),
            };
            let is_hidden = arg.is_hide_set() || (takes_none && of_all);
            let arg = match (arg.get_id() == "help", arg.is_global_set()) {
                (true, _) => arg.display_order(usize::MAX),
                (_, true) => arg.display_order(places.next().unwrap_or(usize::MAX)),
                _ => arg,
            };
            let arg = arg.hide(is_hidden);
            match title {
                Some(title) => arg.help_heading(title),
                None => arg,
            }
        })
        .mut_subcommands(|below| sorted(below, &name, say))
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
    format!("{}\n{}", examples::of_all(say), say_or(say, "help-exit-status", EXIT_STATUS))
}

/// `trace, top`
fn names(command: &Command) -> String {
    let names: Vec<&str> = std::iter::once(command.get_name()).chain(command.get_visible_aliases()).collect();
    names.join(", ")
}

fn groups(command: &Command, say: Say<'_>) -> String {
    let shown = || command.get_subcommands().filter(|one| !one.is_hide_set());
    let widest = shown().map(|one| names(one).len()).max().unwrap_or(0);
    let line = |one: &Command| {
        let about = one.get_about().map(ToString::to_string).unwrap_or_default();
        beside(&format!("  {:widest$}  ", names(one)), &about)
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
