//! Asking a person. Questions go to stderr or the terminal itself, so that stdout stays clean.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::file;
use super::given::{self, Given};
use crate::app::App;
use crate::exit::{Exit, Failure, Outcome};
use crate::tr;

/// More than any key file; a bound for what standard input may send.
const MOST_BYTES: u64 = 65_536;

/// Whether somebody is there to answer.
pub(crate) fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// One line of an answer; `None` when there is none to be had.
pub(super) fn line(question: &str) -> Option<String> {
    write!(io::stderr(), "{question} ").and_then(|()| io::stderr().flush()).ok()?;
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_owned())
}

/// A yes or a no; `otherwise` is what an empty line means, and no answer at all is a no.
pub(crate) fn agreed(app: &App, question: &str, otherwise: bool) -> bool {
    match line(question) {
        Some(answer) if answer.is_empty() => otherwise,
        Some(answer) => tr!(app.messages, "stop-yes").split(' ').any(|yes| yes == answer.to_lowercase()),
        None => false,
    }
}

/// The key: typed without being shown, or what standard input says; `dir` is the key directory.
pub(super) fn key(app: &App, dir: &Path) -> Outcome<Given> {
    let unread = |error: io::Error| {
        let what = tr!(app.messages, "keys-unread", why = error.to_string());
        Failure::new(Exit::Failed, what).next(tr!(app.messages, "keys-argument-next"))
    };
    let text = Zeroizing::new(if io::stdin().is_terminal() {
        hidden(&format!("{} ", tr!(app.messages, "keys-ask-key"))).map_err(unread)?
    } else {
        // With room from the beginning: while it grew it would leave copies behind.
        let mut text = String::with_capacity(MOST_BYTES as usize + 1);
        io::stdin().take(MOST_BYTES + 1).read_to_string(&mut text).map_err(unread)?;
        text
    });
    let key = if text.len() as u64 > MOST_BYTES { Err(file::NoKey::TooLong) } else { given::read(&text) };
    key.map_err(|why| {
        let id = format!("keys-bad-{}", why.name());
        let what = app.messages.find(&id).unwrap_or(id);
        let next = match why {
            file::NoKey::Config => {
                tr!(app.messages, "keys-config-next", dir = dir.display().to_string())
            }
            why if why.is_of_a_file() => tr!(app.messages, "keys-file-next"),
            _ => tr!(app.messages, "keys-argument-next"),
        };
        Failure::new(Exit::Failed, what).next(next).into()
    })
}

/// A line of the terminal, typed without being shown.
fn hidden(question: &str) -> io::Result<String> {
    #[cfg(unix)]
    {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicBool, Ordering};

        use signal_hook::consts::SIGINT;

        // At Ctrl-C rpassword 7.5 raises the signal before it lets the terminal show again what is typed: held back
        // until the prompt is over, it cannot end us in between.
        let over = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register_conditional_default(SIGINT, Arc::clone(&over))?;
        let typed = rpassword::prompt_password(question);
        over.store(true, Ordering::SeqCst);
        if typed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            signal_hook::low_level::raise(SIGINT)?;
        }
        typed
    }
    #[cfg(not(unix))]
    rpassword::prompt_password(question)
}
