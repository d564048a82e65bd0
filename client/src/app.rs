//! What every command works with.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use jiff::Timestamp;
use kmid_config::settings::ClientSettings;
use kmid_core::said::Said;
use serde::Serialize;

use crate::args::Global;
use crate::exit::{Exit, Failure, Outcome, write_stderr, write_stdout};
use crate::output::View;
use crate::output::locale::Messages;
use crate::output::style::Look;
use crate::output::{flow, json};
use crate::settings::Loaded;
use crate::tr;

/// One run of `kmi`.
#[derive(Debug)]
pub(crate) struct App {
    /// Resolved settings.
    pub(crate) settings: ClientSettings,
    /// What is wrong with them.
    pub(crate) settings_errors: Vec<Said>,
    /// What to know about them.
    pub(crate) settings_warnings: Vec<Said>,
    /// The person's language.
    pub(crate) messages: Messages,
    /// How stdout is written.
    pub(crate) look: Look,
    /// How stderr is.
    errors: Look,
    /// JSON instead of words.
    pub(crate) json: bool,
    /// Whether stdout is a terminal.
    pub(crate) terminal: bool,
    /// `--socket`, if it was given.
    pub(crate) socket_flag: Option<PathBuf>,
    /// Whether the daemon may be started on demand.
    pub(crate) may_start: bool,
}

impl App {
    /// From options, settings and the streams of the process.
    pub(crate) fn new(global: &Global, loaded: Loaded) -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = terminal_size::terminal_size().map(|(width, _)| width.0);
        let settings = loaded.settings;
        let look = Look::new(
            terminal,
            columns,
            global.plain || settings.plain,
            global.no_color || settings.no_color,
        );
        Self {
            messages: Messages::new(settings.locale),
            look,
            errors: Look::new(io::stderr().is_terminal(), columns, true, true),
            json: global.json,
            terminal,
            socket_flag: global.socket.clone(),
            may_start: !global.no_start && !settings.no_autostart,
            settings,
            settings_errors: loaded.errors,
            settings_warnings: loaded.warnings,
        }
    }

    /// What rendering needs, at this moment.
    pub(crate) fn view(&self) -> View<'_> {
        View { messages: &self.messages, look: self.look, now: now(), zone: self.settings.timezone.clone() }
    }

    /// Writes to stdout.
    pub(crate) fn print(&self, text: &str) -> Outcome<()> {
        write_stdout(text)
    }

    /// Writes a document for programs.
    pub(crate) fn print_json<T: Serialize>(&self, value: &T) -> Outcome<()> {
        match json::document(value) {
            Ok(text) => write_stdout(&text),
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string()).into()),
        }
    }

    /// Writes a line of a stream for programs.
    pub(crate) fn print_json_line<T: Serialize>(&self, value: &T) -> Outcome<()> {
        match json::line(value) {
            Ok(text) => write_stdout(&text),
            Err(error) => Err(Failure::new(Exit::Failed, error.to_string()).into()),
        }
    }

    /// A remark beside the output.
    pub(crate) fn note(&self, text: &str) {
        self.tell(text);
    }

    /// A warning beside the output.
    pub(crate) fn warn(&self, text: &str) {
        self.tell(&tr!(self.messages, "warning-line", what = text));
    }

    /// Writes lines to stderr, broken between words where its terminal ends.
    pub(crate) fn tell(&self, text: &str) {
        write_stderr(&flow::lines(self.errors, text));
    }
}

/// The present; the client asks the clock here only.
#[allow(clippy::disallowed_methods, reason = "the daemon's clock.rs is not the client's")]
fn now() -> Timestamp {
    crate::rehearsal::clock().unwrap_or_else(Timestamp::now)
}
