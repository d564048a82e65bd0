//! Examples: a command line, and what it is for.

use std::io::{self, IsTerminal};

use super::{Say, say_or};
use crate::output::flow;
use crate::output::style::{Look, Span};

/// A command line, its message, and its text in English.
type Example = (&'static str, &'static str, &'static str);

/// Of the program itself.
const OF_ALL: [Example; 5] = [
    ("kmi keys add", "help-example-add", "put a key into the pool"),
    ("kmi proxy", "help-example-proxy", "start kmid and say how to point a client at it"),
    ("kmi health --refresh", "help-example-health", "what every key has left, asked anew"),
    ("kmi rotate --to alpha", "help-example-rotate", "use this key, where rotation is not automatic"),
    ("kmi doctor", "help-example-doctor", "when something does not work"),
];

/// Of the commands where one helps.
const OF_COMMANDS: [(&str, &[Example]); 12] = [
    (
        "kmi health",
        &[
            ("kmi health --refresh", "help-example-health", "what every key has left, asked anew"),
            ("kmi health --current", "help-example-health-current", "only the key of the client's config"),
        ],
    ),
    (
        "kmi rotate",
        &[
            ("kmi rotate", "help-example-rotate-best", "to the key that has the most left"),
            ("kmi rotate --to alpha", "help-example-rotate", "use this key, where rotation is not automatic"),
            (
                "kmi rotate auto",
                "help-example-rotate-auto",
                "all keys in turn, and a look at how they spread",
            ),
        ],
    ),
    (
        "kmi proxy-logs",
        &[
            ("kmi proxy-logs --since 10m", "help-example-logs", "the last ten minutes, then what happens"),
            ("kmi proxy-logs --app --no-follow", "help-example-logs-app", "lines of JSON, for programs"),
        ],
    ),
    (
        "kmi trace",
        &[
            ("kmi trace", "help-example-trace", "the whole screen; ? shows what can be pressed"),
            ("kmi trace --since 1h --no-follow", "help-example-trace-lines", "the last hour, as lines"),
            ("kmi trace --json", "help-example-trace-json", "a line of JSON a request, as they finish"),
        ],
    ),
    (
        "kmi why",
        &[
            ("kmi trace --no-follow --json", "help-example-why-id", "to find the request_id"),
            ("kmi why 36096089eefd36b0", "help-example-why", "why that request got its key"),
        ],
    ),
    (
        "kmi usage",
        &[
            ("kmi usage --by key", "help-example-usage", "the last 7 days, a row a key"),
            (
                "kmi usage --since 2d --by hour",
                "help-example-usage-hours",
                "when the last two days were busy",
            ),
            ("kmi usage --by model --csv", "help-example-usage-csv", "for a spreadsheet"),
        ],
    ),
    (
        "kmi e2e",
        &[
            ("kmi e2e", "help-example-e2e", "50 requests; exit status 1 when they spread badly or fail"),
            ("kmi e2e -n 200 --pause 0", "help-example-e2e-more", "more of them, without pauses"),
        ],
    ),
    (
        "kmi doctor",
        &[
            ("kmi doctor", "help-example-doctor", "when something does not work"),
            ("kmi doctor --recheck-keys", "help-example-doctor-keys", "when a blocked key is good again"),
        ],
    ),
    (
        "kmi report",
        &[
            ("kmi report", "help-example-report", "a file to attach; look through it first"),
            ("kmi report --output -", "help-example-report-out", "the same on the terminal"),
        ],
    ),
    (
        "kmi kimi",
        &[
            ("kmi kimi", "help-example-kimi", "as you start the client by itself"),
            (
                "kmi kimi --help",
                "help-example-kimi-help",
                "the client's help: all behind `kimi` is the client's",
            ),
            ("kmi --no-start kimi", "help-example-kimi-ours", "kmi's own options stand before `kimi`"),
        ],
    ),
    (
        "kmi connect",
        &[
            (
                "kmi connect kimi-code --dry-run",
                "help-example-connect-dry",
                "what would change in its config",
            ),
            ("kmi connect kimi-code", "help-example-connect", "change it; `kmi disconnect` undoes it"),
            ("kmi connect --show", "help-example-connect-show", "what other programs need"),
        ],
    ),
    (
        "kmi keys add",
        &[
            ("kmi keys add --label work", "help-example-add-label", "asks for the key, without showing it"),
            ("kmi keys add < alpha.env", "help-example-add-file", "takes over all that a key file says"),
            ("pass show kimi | kmi keys add", "help-example-add-pipe", "from a password manager"),
        ],
    ),
];

/// Those of the program, with their heading.
pub(super) fn of_all(say: Say<'_>) -> String {
    text(&OF_ALL, say)
}

/// Those of a command by its full name, if it has some.
pub(super) fn of(command: &str, say: Say<'_>) -> Option<String> {
    OF_COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, examples)| text(examples, say))
}

fn text(examples: &[Example], say: Say<'_>) -> String {
    let widest = examples.iter().map(|(line, ..)| line.len()).max().unwrap_or(0);
    let line = |(line, id, what): &Example| beside(&format!("  {line:widest$}  "), &say_or(say, id, what));
    let lines: String = examples.iter().map(line).collect();
    format!("{}:\n{lines}", say_or(say, "help-heading-examples", "Examples"))
}

/// A text beside a name; below it where it would stand in a narrow column.
pub(super) fn beside(name: &str, text: &str) -> String {
    // As wide as clap makes the rest; see `max_term_width`.
    const WIDEST: u16 = 100;
    /// Columns that a text wants.
    const ROOM: usize = 20;
    let columns = terminal_size::terminal_size().map(|(width, _)| width.0.min(WIDEST));
    let look = Look::new(io::stdout().is_terminal(), columns, true, true);
    if look.columns() < name.len() + ROOM {
        return format!("{}\n{}", name.trim_end(), flow::spans(look, "      ", 6, &[Span::plain(text)]));
    }
    flow::spans(look, name, name.len(), &[Span::plain(text)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    /// An example that the command line does not take is worse than none.
    #[test]
    fn every_example_can_be_typed() {
        for (line, ..) in OF_ALL.iter().chain(OF_COMMANDS.iter().flat_map(|(_, examples)| *examples)) {
            let line = line.split('|').next_back().unwrap().split('<').next().unwrap();
            let parsed = args::parse(line.split_whitespace());
            assert!(parsed.is_ok_and(|(_, command)| command.is_some()), "{line}");
        }
    }

    #[test]
    fn every_command_with_examples_is_one() {
        for (name, _) in OF_COMMANDS {
            let mut command = args::definition();
            for word in name.split(' ').skip(1) {
                command = command.find_subcommand(word).unwrap_or_else(|| panic!("{name}")).clone();
            }
            let help = command.render_help().to_string();
            assert!(help.contains("\nExamples:\n"), "{help}");
        }
    }
}
