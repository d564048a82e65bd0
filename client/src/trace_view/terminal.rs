//! The terminal while it is ours, and as it was afterwards, whatever happens in between.

use std::io::{self, Stdout};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal, backend::CrosstermBackend};

/// Whether the terminal is in our hands. A panic hook has no other way to know.
static OURS: AtomicBool = AtomicBool::new(false);

/// The whole terminal; given back when the value goes, and before a panic speaks.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it does not let itself be taken; it is as it was then.
    pub(crate) fn take() -> io::Result<Self> {
        static HOOKED: Once = Once::new();
        HOOKED.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        OURS.store(true, Ordering::SeqCst);
        let taken = enable_raw_mode()
            .and_then(|()| execute!(io::stdout(), EnterAlternateScreen, Hide))
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        match taken {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a frame, in the size that the terminal has now.
    ///
    /// # Errors
    /// When the terminal cannot be written, or when a thread that panicked gave it back.
    pub(crate) fn draw(&mut self, paint: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        // Held from the look to the last byte: a frame after the terminal was given back would stay on it.
        let _held = io::stdout().lock();
        if !OURS.load(Ordering::SeqCst) {
            return Err(io::Error::other("the screen was left after a panic"));
        }
        self.terminal.draw(paint).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Leaves the terminal as it was, once.
pub(super) fn give_back() {
    // The lock lets the thread in that has it already, which is the one that panicked while it drew.
    let _held = io::stdout().lock();
    if OURS.swap(false, Ordering::SeqCst) {
        // There is nothing more to be done for a terminal that is gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
