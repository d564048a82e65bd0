//! What the system tells the daemon: end, or read the settings anew.

use std::time::Duration;

/// A wish of the system or of a person at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, SIGINT, SIGHUP of a terminal that was closed; on Windows Ctrl-C and Ctrl-Break.
    Stop,
    /// Windows closes the console, logs off or shuts down: it waits no longer than [`LAST_CALL`], whatever is under way.
    LastCall,
    /// Any other SIGHUP; Windows knows no such thing.
    Reload,
}

/// How long requests may go on after [`Signal::LastCall`]. Windows kills a process 5 s after such an event
/// (Microsoft "HandlerRoutine callback function", 2026-11), and what is left of them is for the files.
pub const LAST_CALL: Duration = Duration::from_secs(2);

pub use imp::Signals;

#[cfg(unix)]
mod imp {
    use std::io::IsTerminal as _;
    use std::{fmt, io};

    use futures_util::StreamExt as _;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    use super::Signal;

    /// Signals as they come. Equal ones that come before the first was read may be one.
    pub struct Signals {
        signals: signal_hook_tokio::Signals,
        /// Standard input was a terminal at the start: whoever closes that ends what runs in it.
        at_terminal: bool,
    }

    impl fmt::Debug for Signals {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Signals")
        }
    }

    impl Signals {
        /// Takes over the signals; from here on they do not end the process by themselves. Needs the runtime.
        ///
        /// # Errors
        /// As the system says.
        pub fn install() -> io::Result<Self> {
            let signals = signal_hook_tokio::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
            Ok(Self { signals, at_terminal: io::stdin().is_terminal() })
        }

        /// The next one. Safe to drop while it waits: nothing is lost.
        pub async fn next(&mut self) -> Signal {
            match self.signals.next().await {
                // A terminal that was closed is none any more: what it is asked ends with EIO.
                Some(SIGHUP) if self.at_terminal && !io::stdin().is_terminal() => Signal::Stop,
                Some(SIGHUP) => Signal::Reload,
                Some(_) => Signal::Stop,
                // The stream ends only when its handle is closed, and nobody has one.
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::io;

    use tokio::signal::windows::{CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown};

    use super::Signal;

    /// Signals as they come. Equal ones that come before the first was read may be one. Closing, logging off and
    /// shutting down end the process when their handler returns: tokio's never does once somebody listens (1.54,
    /// 2026-11), so the time until the system loses patience is ours.
    #[derive(Debug)]
    pub struct Signals {
        ctrl_c: CtrlC,
        ctrl_break: CtrlBreak,
        ctrl_close: CtrlClose,
        ctrl_logoff: CtrlLogoff,
        ctrl_shutdown: CtrlShutdown,
    }

    impl Signals {
        /// Takes over the console's events. Needs the runtime.
        ///
        /// # Errors
        /// As the system says.
        pub fn install() -> io::Result<Self> {
            use tokio::signal::windows;
            Ok(Self {
                ctrl_c: windows::ctrl_c()?,
                ctrl_break: windows::ctrl_break()?,
                ctrl_close: windows::ctrl_close()?,
                ctrl_logoff: windows::ctrl_logoff()?,
                ctrl_shutdown: windows::ctrl_shutdown()?,
            })
        }

        /// The next one. Safe to drop while it waits: nothing is lost.
        pub async fn next(&mut self) -> Signal {
            let (came, signal) = tokio::select! {
                came = self.ctrl_c.recv() => (came, Signal::Stop),
                came = self.ctrl_break.recv() => (came, Signal::Stop),
                came = self.ctrl_close.recv() => (came, Signal::LastCall),
                came = self.ctrl_logoff.recv() => (came, Signal::LastCall),
                came = self.ctrl_shutdown.recv() => (came, Signal::LastCall),
            };
            match came {
                Some(()) => signal,
                // The runtime that drives them has ended.
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {

    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::low_level::raise;

    use super::*;

    #[test]
    fn signals_become_wishes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut signals = Signals::install().unwrap();
            for (number, signal) in [
                (SIGHUP, Signal::Reload),
                (SIGTERM, Signal::Stop),
                (SIGINT, Signal::Stop),
                (SIGTERM, Signal::Stop),
            ] {
                raise(number).unwrap();
                assert_eq!(signals.next().await, signal);
            }
        });
    }
}
