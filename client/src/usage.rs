//! What a command line gets that names no command to run: a help, the version, or what is wrong with it.
//!
//! clap says it in English; the other languages are spoken here.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::num::ParseIntError;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::app::App;
use crate::exit::{self, Exit, Failure, Outcome};
use crate::output::locale::{Locale, Messages};
use crate::{args, tr};

/// Why a value of the command line does not fit; in English as clap shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// Not a time in seconds.
    Seconds,
    /// Not a percentage.
    Percent,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "expected seconds from 0 to 86400",
            Self::Percent => "expected a percentage from 0 to 100",
        })
    }
}

impl Error for Unfit {}

/// Says what is due; without an error nothing was asked for. A help and the version go to stdout and are no errors.
/// Colours are clap's to decide.
pub(crate) fn answer(app: &App, error: Option<&clap::Error>, arguments: &[OsString]) -> Outcome {
    let messages = &app.messages;
    let say = |id: &str| messages.find(id);
    let english = app.settings.locale == Locale::En;
    let shown = || args::fitted(args::shown(&say), arguments);
    let printed = match error {
        None if english => args::definition().print_help(),
        None => shown().print_help(),
        Some(error) if english || error.kind() == ErrorKind::DisplayVersion => error.print(),
        Some(error) if error.kind() == ErrorKind::DisplayHelp => {
            // Read again, for what the help is about.
            match shown().try_get_matches_from(arguments) {
                Err(help) => help.print(),
                Ok(_) => error.print(),
            }
        }
        Some(error) => return Err(failure(messages, error, &args::definition(), arguments).into()),
    };
    let exit = if error.is_some_and(clap::Error::use_stderr) { Exit::Usage } else { Exit::Ok };
    printed.map(|()| exit).map_err(exit::unwritable)
}

/// `kmi help COMMAND` is `kmi COMMAND --help`. clap's own `help` would stand below every command, with all of them again.
pub(crate) fn help_as_option(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|word| word == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Puts an error of clap into words: what is wrong, and where to read what is right.
fn failure(messages: &Messages, error: &clap::Error, command: &Command, arguments: &[OsString]) -> Failure {
    let command = asked(command, arguments);
    let command = command.as_str();
    let similar = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| text(error, kind));
    let next = match similar {
        Some(similar) => tr!(messages, "wrong-next-similar", similar = similar, command = command),
        None => tr!(messages, "wrong-next", command = command),
    };
    Failure::new(Exit::Usage, what(messages, error)).next(next)
}

/// The command that was meant, as far as it is understood.
fn asked(command: &Command, arguments: &[OsString]) -> String {
    let mut command = command;
    let mut words = vec!["kmi"];
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(below) = command.find_subcommand(argument) {
            words.push(below.get_name());
            command = below;
        }
    }
    words.join(" ")
}

fn what(messages: &Messages, error: &clap::Error) -> String {
    let name = text(error, ContextKind::InvalidArg);
    let value = text(error, ContextKind::InvalidValue);
    match (error.kind(), name, value) {
        (ErrorKind::InvalidSubcommand, ..) => {
            let name = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
            tr!(messages, "wrong-command", name = name)
        }
        (ErrorKind::UnknownArgument, Some(name), _) => tr!(messages, "wrong-option", name = name),
        (ErrorKind::InvalidValue, Some(name), Some(value)) if value.is_empty() => {
            tr!(messages, "wrong-value-missing", name = name)
        }
        (ErrorKind::InvalidValue, Some(name), Some(value)) => match text(error, ContextKind::ValidValue) {
            Some(list) => tr!(messages, "wrong-value-of", value = value, name = name, list = list),
            None => tr!(messages, "wrong-value", value = value, name = name),
        },
        (ErrorKind::ValueValidation, Some(name), Some(value)) => {
            let why = error.source().map(|source| why(messages, source)).unwrap_or_default();
            tr!(messages, "wrong-value-because", value = value, name = name, why = why)
        }
        (ErrorKind::TooManyValues, Some(name), Some(value)) => {
            tr!(messages, "wrong-value-unwanted", name = name, value = value)
        }
        (ErrorKind::MissingRequiredArgument, Some(list), _) => tr!(messages, "wrong-missing", list = list),
        (ErrorKind::ArgumentConflict, Some(name), _) => match text(error, ContextKind::PriorArg) {
            Some(other) if other != name => tr!(messages, "wrong-together", name = name, other = other),
            _ => tr!(messages, "wrong-twice", name = name),
        },
        (ErrorKind::ArgumentConflict, None, _) => tr!(messages, "wrong-modes"),
        (ErrorKind::InvalidUtf8, ..) => tr!(messages, "wrong-characters"),
        (kind, ..) => tr!(messages, "wrong-otherwise", why = kind.to_string()),
    }
}

fn why(messages: &Messages, source: &(dyn Error + 'static)) -> String {
    if let Some(unfit) = source.downcast_ref::<Unfit>() {
        return match unfit {
            Unfit::Seconds => tr!(messages, "wrong-why-seconds"),
            Unfit::Percent => tr!(messages, "wrong-why-percent"),
        };
    }
    let text = source.to_string();
    // So clap's parsers of numbers say it (clap_builder 4.6, value_parser.rs); they give no error to ask.
    let range = text.split_once(" is not in ").and_then(|(_, range)| range.split_once("..="));
    match range {
        Some((least, most)) => tr!(messages, "wrong-why-range", least = least, most = most),
        None if source.is::<ParseIntError>() => tr!(messages, "wrong-why-whole"),
        None => text,
    }
}

/// What clap says of the error beside its kind; a list becomes a text.
fn text(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}
