//! The definition of the command line with the texts of another language.
//!
//! Its matches are of no use: it is there to be shown, by a help, a manual page or a shell.

use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Arg, Command};

use super::{Say, USAGE, after, grouped, say_or};

/// The whole definition in a language: every text, and the words around them that clap has in English only.
pub(crate) fn translated(command: Command, say: Say<'_>) -> Command {
    let command = texts(command.after_help(None::<&str>), "help-kmi", say).after_help(after(say));
    // Options that every command takes, and those that clap adds, are there only now.
    words(grouped(command, say), say, true)
}

/// The texts of a command, its arguments and the commands below it; `id` is its message.
fn texts(mut command: Command, id: &str, say: Say<'_>) -> Command {
    if let Some(text) = say(id) {
        command = command.about(text);
    }
    let below = format!("{id}-after");
    if command.get_after_help().is_some()
        && let Some(text) = say(&below)
    {
        command = command.after_help(text);
    }
    // One text of more than a line makes clap give each of them lines of its own.
    let tall =
        command.get_arguments().any(|arg| visible_values(arg).iter().any(|one| one.get_help().is_some()));
    command
        .mut_args(|arg| if arg.is_hide_set() { arg } else { argument(arg, id, tall, say) })
        .mut_subcommands(|one| {
            let id = format!("{id}-{}", one.get_name());
            texts(one, &id, say)
        })
}

fn argument(mut arg: Arg, command: &str, tall: bool, say: Say<'_>) -> Arg {
    let id = format!("{command}--{}", arg.get_id().as_str().replace('_', "-"));
    let Some(text) = say(&id) else { return arg };
    let mut values = visible_values(&arg);
    for value in &mut values {
        if value.get_help().is_some()
            && let Some(text) = say(&format!("{id}-{}", value.get_name()))
        {
            *value = value.clone().help(text);
        }
    }
    // What clap adds in English is said here: the values it may have, and the one it has by itself.
    let mut notes = Vec::new();
    let mut list = String::new();
    if !values.is_empty() {
        let names: Vec<&str> = values.iter().map(PossibleValue::get_name).collect();
        notes.push(format!("[{}: {}]", say_or(say, "help-possible", "possible values"), names.join(", ")));
        if values.iter().any(|value| value.get_help().is_some()) {
            list = listed(&values, &say_or(say, "help-possible-values", "Possible values"));
        }
        arg = arg.hide_possible_values(true).value_parser(PossibleValuesParser::new(values));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let mut default = String::new();
    if !defaults.is_empty() && arg.get_action().takes_values() {
        default = format!("[{}: {}]", say_or(say, "help-default", "default"), defaults.join(" "));
        notes.insert(0, default.clone());
        arg = arg.hide_default_value(true);
    }
    if tall {
        // As long as it has one: clap keeps the short list for arguments without described values.
        let short = if list.is_empty() { notes.join("\n") } else { default };
        let parts = [text.clone(), list, short];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        // Without an empty line between them: clap would fill it with blanks.
        arg = arg.long_help(parts.join("\n"));
    }
    let all: Vec<String> = [text].into_iter().chain(notes).collect();
    arg.help(all.join(" "))
}

/// The values that an argument may have; a switch has none.
fn visible_values(arg: &Arg) -> Vec<PossibleValue> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect()
}

fn listed(values: &[PossibleValue], title: &str) -> String {
    let widest = values.iter().map(|value| value.get_name().len()).max().unwrap_or(0) + 1;
    let lines = values.iter().map(|value| {
        let name = format!("{}:", value.get_name());
        format!("\n- {name:widest$} {}", value.get_help().map(ToString::to_string).unwrap_or_default())
    });
    format!("{title}:{}", lines.collect::<String>())
}

/// Headings, and the texts of `--help` and `--version`, which clap adds to each command.
fn words(mut command: Command, say: Say<'_>, top: bool) -> Command {
    if !top {
        let template = template(&command, say);
        let commands = say_or(say, "help-heading-commands", "Commands");
        command = command.help_template(template).subcommand_help_heading(commands);
    }
    command
        .mut_args(|arg| match arg.get_id().as_str() {
            "help" => help_flag(arg, say),
            "version" => match say("help-kmi--version") {
                Some(text) => arg.help(text),
                None => arg,
            },
            _ => arg,
        })
        .mut_subcommands(|one| words(one, say, false))
}

fn help_flag(arg: Arg, say: Say<'_>) -> Arg {
    let Some(text) = say("help-kmi--help") else { return arg };
    // clap has a text for both of them where `-h` and `--help` differ.
    match arg.get_long_help() {
        None => arg.help(text),
        Some(_) => {
            let with = |id: &str, english: &str| format!("{text} {}", say_or(say, id, english));
            arg.help(with("help-see-more", "(see more with '--help')"))
                .long_help(with("help-see-summary", "(see a summary with '-h')"))
        }
    }
}

/// What clap has by itself, with the headings of the language.
fn template(command: &Command, say: Say<'_>) -> String {
    let usage = say_or(say, USAGE.0, USAGE.1);
    let usage = format!("{0}{usage}:{0:#} {{usage}}", command.get_styles().get_usage());
    format!("{{about-with-newline}}\n{usage}\n\n{{all-args}}{{after-help}}")
}
