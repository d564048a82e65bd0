//! A restart without loss: the running kmid starts its successor, gives it the listening sockets, the state
//! directory's lock and the state, and then only finishes the requests that it has.
//!
//! The two talk over a control socket of their own, a pair of which the successor gets one end as its standard input:
//! lines of JSON, `FromNew` one way, `FromOld` the other. Nobody else can speak on it, and each sees the end of the
//! other at once. ARCHITECTURE.md, "Restart", has the states of both and what happens at each failure.

#[cfg(unix)]
mod new;
#[cfg(unix)]
mod old;
#[cfg(unix)]
mod spawn;
#[cfg(not(unix))]
mod unsupported;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kmid_config::settings::Settings;
#[cfg(unix)]
use kmid_core::key::Fingerprint;
use kmid_core::said::Said;
#[cfg(unix)]
use kmid_core::session::Home;
use kmid_core::{say, show_as_said};
#[cfg(unix)]
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

#[cfg(unix)]
pub use self::new::{Predecessor, Takeover};
#[cfg(unix)]
pub use self::old::{Relay, hand_over};
#[cfg(not(unix))]
pub use self::unsupported::{Predecessor, Relay, Takeover, hand_over};
use crate::inherited::Held;
use crate::instance::Instance;
use crate::line_log::LineLog;
#[cfg(unix)]
use crate::state::Late;
use crate::state::State;

/// A listening socket to be passed on.
#[cfg(unix)]
pub type Handle = std::os::fd::OwnedFd;
/// Nothing is passed on.
#[cfg(not(unix))]
pub type Handle = std::convert::Infallible;

/// Predecessors that still finish requests while a further restart is asked for: each relays what the one before it
/// tells, so a long line of them is a sign of something else.
pub const MOST_BEHIND: u32 = 4;
/// Sessions whose homes are told in one line.
#[cfg(unix)]
const HOMES_A_LINE: usize = 1000;
/// The longest line of the conversation.
#[cfg(unix)]
const LONGEST_LINE: u64 = 4 << 20;

/// What the successor says.
#[cfg(unix)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "new")]
enum FromNew {
    /// Of the first process: it has started the one that is to take over ([`Takeover::stand_alone`]). That one may speak
    /// before.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// Its settings are good and it has the sockets; it has written nothing.
    Prepared {
        /// Its version.
        version: String,
        /// Its process id; without one it is the process that was started.
        #[serde(default)]
        pid: Option<u32>,
    },
    /// It holds lock and state, and answers.
    Serving,
    /// It will end.
    Failed {
        /// For people.
        why: String,
    },
    /// It serves and was told to stop: the requests of both are to end in time.
    Stopping,
    /// The time is over, or somebody forced the stop.
    Aborting,
}

/// What the predecessor says. The lock comes with the byte before the first line.
#[cfg(unix)]
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "old")]
enum FromOld {
    /// Where sessions live, those that were used least recently first; as often as it takes, and then `yours`.
    Homes {
        /// [`HOMES_A_LINE`] at most.
        homes: Vec<Home>,
    },
    /// Everything is written, and writing is the successor's from here on.
    Yours(Yours),
    /// Something that happened since.
    Tells {
        /// What.
        what: Late,
    },
}

/// What the successor has to know beside what is on disk.
#[cfg(unix)]
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Yours {
    /// Attempts under way.
    in_flight: Vec<(Fingerprint, u32)>,
    /// The control socket's file goes with the last kmid and not with the one who made it (systemd).
    owns_socket: bool,
    /// How many processes still finish requests, the predecessor included.
    behind: u32,
    /// Sockets that are a manager's.
    #[serde(default)]
    held: Held,
}

/// Why there was no restart. The running kmid goes on as it was: who asks is told so by the error's kind.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RestartError {
    /// Not on this platform.
    Unsupported,
    /// One is under way.
    UnderWay,
    /// See [`MOST_BEHIND`].
    TooManyBehind(u32),
    /// What the successor would need is elsewhere.
    Elsewhere(&'static str),
    /// The same, where a manager goes on listening at the old place.
    Held(&'static str),
    /// See [`crate::starter`].
    Managed,
    /// The settings cannot be used.
    BadSettings(Vec<Said>),
    /// The new process did not come up.
    Failed(Said),
    /// The last write failed.
    NotSaved(String),
}

impl RestartError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::Unsupported => say!(restart_unsupported),
            Self::UnderWay => say!(restart_under_way),
            Self::TooManyBehind(count) => say!(restart_too_many_behind, count = *count),
            Self::Elsewhere(what) => say!(restart_elsewhere, what = *what),
            Self::Held(what) => say!(restart_held, what = *what),
            Self::Managed => say!(restart_managed),
            Self::BadSettings(list) => say!(restart_bad_settings, list = list.clone()),
            Self::Failed(why) => say!(restart_failed, why = why),
            Self::NotSaved(why) => say!(restart_not_saved, why = why.as_str()),
        }
    }
}

show_as_said!(RestartError);

/// What a successor is started from.
#[derive(Debug)]
pub struct Parts {
    /// The program on disk.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// For `logs/proxy.out`.
    pub state_dir: PathBuf,
    /// It logs to files alone, and not to where this process prints.
    pub detached: bool,
    /// Names as in `LISTEN_FDNAMES`.
    pub listeners: Vec<(&'static str, Handle)>,
    /// The lock.
    pub instance: Arc<Instance>,
    /// The state.
    pub state: Arc<State>,
    /// The files of lines.
    pub files: Files,
    /// The control socket's file goes with the last kmid.
    pub owns_socket: bool,
    /// How many processes still finish requests from before this one.
    pub behind: u32,
    /// Sockets that are a manager's.
    pub held: Held,
    /// How long the successor may take.
    pub limits: Limits,
    /// Cancelled, the restart is given up: the successor is killed, and all is as before.
    pub give_up: CancellationToken,
}

/// How long the successor may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To read its settings.
    pub prepare: Duration,
    /// From there to serving: keys on a slow disk, a large state.
    pub serve: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { prepare: Duration::from_secs(10), serve: Duration::from_secs(30) }
    }
}

/// The files of lines that are handed over.
#[derive(Debug, Clone)]
pub struct Files {
    /// `trace/trace.jsonl`
    pub trace: LineLog,
    /// `logs/kmi.log`
    pub app: LineLog,
    /// `logs/proxy.out`
    pub daemon: LineLog,
}

/// A successor that serves.
#[derive(Debug)]
pub struct Succeeded {
    /// Its process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// To be closed when nothing more is to be told.
    pub relay: Relay,
    /// Cancelled when it drains or has ended.
    pub stopping: CancellationToken,
    /// Cancelled when it cuts off what is left.
    pub aborting: CancellationToken,
}

/// What a predecessor is told.
#[derive(Debug, Clone, Default)]
pub struct ToPredecessor {
    /// Cancelled, it is told that kmid stops.
    pub stopping: CancellationToken,
    /// Cancelled, it is told to cut off what is left.
    pub aborting: CancellationToken,
}

/// The program to start: the file that this one was started from, which an upgrade may have replaced since. Linux says
/// ` (deleted)` behind its name then.
#[must_use]
pub fn program(running: &std::path::Path) -> PathBuf {
    let text = running.to_string_lossy();
    match text.strip_suffix(" (deleted)") {
        Some(stripped) if !running.exists() => stripped.into(),
        _ => running.to_owned(),
    }
}

/// Whether the settings for the successor leave everything that has to stay where it is.
///
/// # Errors
/// With the name of what has moved.
pub fn stays_put(running: &Settings, wanted: &Settings, held: Held) -> Result<(), RestartError> {
    if running.state_dir != wanted.state_dir {
        return Err(RestartError::Elsewhere("KMI_STATE_DIR"));
    }
    if running.socket != wanted.socket {
        let moved = if held.control { RestartError::Held } else { RestartError::Elsewhere };
        return Err(moved("KMI_SOCKET"));
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests;
