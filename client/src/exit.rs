//! How a command ends: exit codes, and errors a person reads.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::output::locale::Messages;
use crate::tr;

/// The exit codes that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// It failed.
    Failed,
    /// Wrong command line or settings.
    Usage,
    /// The daemon is not running.
    NotRunning,
    /// `kmi` and `kmid` cannot work together.
    Version,
    /// What a program that ran in our place ended with.
    #[cfg(not(unix))]
    Other(u8),
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotRunning => 3,
            Self::Version => 4,
            #[cfg(not(unix))]
            Self::Other(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// What stops a command before its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Whoever read our output is gone: nothing is wrong and nothing is left to do.
    ReaderGone,
    /// It failed, and the person is told.
    Failure(Failure),
}

/// A failure in words: what, why, and what to do next.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What failed and why.
    pub(crate) what: String,
    /// What to do next.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure with nothing to suggest yet.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None }
    }

    /// Says what to do next.
    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// The lines for stderr.
    pub(crate) fn render(&self, messages: &Messages) -> String {
        let mut text = tr!(messages, "error-line", what = self.what.as_str());
        if let Some(next) = &self.next {
            text.push('\n');
            text.push_str(&tr!(messages, "error-next", next = next.as_str()));
        }
        text.push('\n');
        text
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Result of a command.
pub(crate) type Outcome<T = Exit> = Result<T, Stop>;

/// Writes to stdout; a reader that went away becomes [`Stop::ReaderGone`].
pub(crate) fn write_stdout(text: &str) -> Outcome<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(unwritable)
}

/// What it means that stdout cannot be written.
pub(crate) fn unwritable(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::ReaderGone,
        // Without a stdout there are no words to look up, only the plain fact.
        _ => Stop::Failure(Failure::new(Exit::Failed, format!("stdout: {error}"))),
    }
}

/// Writes to stderr; nothing can be done when that fails.
pub(crate) fn write_stderr(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
