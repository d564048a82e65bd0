//! The daemon's log: `logs/kmi.log` for programs, `logs/proxy.out` and the terminal for people.
//!
//! An event becomes text where it happens and is queued; files and the terminal are written by threads of their own,
//! so neither a full disk nor a terminal that nobody scrolls holds anything up.

mod event;
mod filter;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;

use jiff::tz::TimeZone;
use kmid_config::settings::{FileLimit, Settings};
use tracing::{Dispatch, Event, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};

use crate::clock;
use crate::line_log::LineLog;
use crate::local_time::Zone;
use event::Entry;
use filter::Filters;
pub use filter::{AUDIT, FilterError};

/// Most lines that wait for the terminal; further ones are left out there, not in the files.
const TERMINAL_LINES: usize = 4096;
/// Bytes written to the terminal at once at most.
const TERMINAL_BUFFER: usize = 16 * 1024;

/// What the log needs to know of the settings.
#[derive(Debug, Clone)]
pub struct Options {
    /// `<state dir>/logs`
    pub folder: PathBuf,
    /// KMI_LOG_LEVEL
    pub level: String,
    /// KMI_LOG_MAX_MB and KMI_LOG_BACKUPS
    pub limit: FileLimit,
    /// KMI_TIMEZONE
    pub timezone: TimeZone,
}

impl Options {
    /// As the settings say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            folder: settings.state_dir.join("logs"),
            level: settings.log_level.clone(),
            limit: settings.log_files,
            timezone: settings.timezone.clone(),
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// KMI_LOG_LEVEL is wrong.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A writer's thread could not start.
    #[error("the log's writer could not start; are there too many processes?")]
    Thread(#[from] io::Error),
    /// The process logs already.
    #[error("the log was started twice in one process")]
    Twice(#[from] tracing::dispatcher::SetGlobalDefaultError),
}

/// The running log. It has to outlive all that logs: [`Logging::close`] writes out the rest.
pub struct Logging {
    app: LineLog,
    daemon: LineLog,
    zone: Zone,
    set_filters: Box<dyn Fn(Filters) + Send + Sync>,
    terminal: Option<WorkerGuard>,
}

/// Starts the log for the whole process; with `foreground` also on stderr.
///
/// # Errors
/// When the filter is wrong or a thread cannot start. Files that cannot be written are no error.
pub fn start(options: &Options, foreground: bool) -> Result<Logging, LoggingError> {
    let terminal = foreground.then(|| {
        NonBlockingBuilder::default()
            .buffered_lines_limit(TERMINAL_LINES)
            .thread_name("terminal")
            // Written when the queue is empty, not line by line.
            .finish(io::BufWriter::with_capacity(TERMINAL_BUFFER, io::stderr()))
    });
    let (dispatch, logging) = build(options, terminal)?;
    tracing::dispatcher::set_global_default(dispatch)?;
    Ok(logging)
}

fn build(
    options: &Options,
    terminal: Option<(NonBlocking, WorkerGuard)>,
) -> Result<(Dispatch, Logging), LoggingError> {
    let filters = Filters::parse(&options.level)?;
    let app = LineLog::open(options.folder.join("kmi.log"), options.limit)?;
    let daemon = LineLog::open(options.folder.join("proxy.out"), options.limit)?;
    let zone = Zone::new(options.timezone.clone());
    let (writer, guard) = terminal.unzip();

    let (asked, asked_handle) = reload::Layer::new(filters.asked);
    let (caps, caps_handle) = reload::Layer::new(filters.caps);
    let lines = Lines { app: app.clone(), daemon: daemon.clone(), zone: zone.clone(), terminal: writer };
    let dispatch = Dispatch::new(Registry::default().with(asked).with(caps).with(lines));
    let set_filters = Box::new(move |filters: Filters| {
        // These fail only when the subscriber is gone, and then nothing is logged anyway. Caps come first: between
        // the two the dependencies may be quieter than asked, never louder than allowed.
        let _ = caps_handle.reload(filters.caps);
        let _ = asked_handle.reload(filters.asked);
    });
    Ok((dispatch, Logging { app, daemon, zone, set_filters, terminal: guard }))
}

impl Logging {
    /// `logs/kmi.log`
    #[must_use]
    pub fn app(&self) -> &LineLog {
        &self.app
    }

    /// `logs/proxy.out`
    #[must_use]
    pub fn daemon(&self) -> &LineLog {
        &self.daemon
    }

    /// The zone of all times that are written, for traces too; follows [`Logging::apply`].
    #[must_use]
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// Takes over changed settings: level, zone and limits. The folder stays.
    ///
    /// # Errors
    /// When the filter is wrong; then nothing is changed.
    pub fn apply(&self, options: &Options) -> Result<(), FilterError> {
        let filters = Filters::parse(&options.level)?;
        (self.set_filters)(filters);
        self.zone.set(options.timezone.clone());
        self.app.set_limit(options.limit);
        self.daemon.set_limit(options.limit);
        Ok(())
    }

    /// Writes out the rest and ends the writers. For the very end: events after this are lost.
    pub fn close(self) {
        self.app.close();
        self.daemon.close();
        drop(self.terminal);
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging")
            .field("app", &self.app)
            .field("daemon", &self.daemon)
            .finish_non_exhaustive()
    }
}

/// The layer that writes.
struct Lines {
    app: LineLog,
    daemon: LineLog,
    zone: Zone,
    terminal: Option<NonBlocking>,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let entry = Entry::new(event);
        let ts = self.zone.format(clock::now());
        self.app.push(entry.json(&ts));
        let mut line = entry.human(&ts);
        match &self.terminal {
            None => self.daemon.push(line),
            Some(terminal) => {
                self.daemon.push(line.clone());
                line.push('\n');
                // A terminal that is too slow misses lines; the files have them.
                let _ = terminal.clone().write_all(line.as_bytes());
            }
        }
    }
}

#[cfg(test)]
#[path = "logging_tests.rs"]
mod tests;
