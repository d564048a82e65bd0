//! What `control` asks of rooms that it does not import; `app` owns the channel and carries it out.

use kmid_core::said::Said;
use tokio::sync::oneshot;

use crate::handover::RestartError;

/// A request to the rest of the daemon.
#[derive(Debug)]
pub enum Command {
    /// Read settings and keys anew.
    Reload {
        /// What changed.
        reply: oneshot::Sender<Reloaded>,
    },
    /// Start a successor and hand everything over to it.
    Restart {
        /// Its process id and version.
        reply: oneshot::Sender<Result<(u32, String), RestartError>>,
    },
    /// End: drain, or at once.
    Stop {
        /// At once.
        force: bool,
    },
    /// Ask `/usages` now, for one key or all.
    RefreshQuota {
        /// One key.
        label: Option<String>,
        /// What came of it, by label.
        reply: oneshot::Sender<Vec<(String, Result<(), QuotaRefused>)>>,
    },
    /// Try the way to every host that keys are sent to, without a key.
    CheckUpstreams {
        /// By host; `None` in dry-run, where nothing leaves the machine.
        reply: oneshot::Sender<Option<Vec<Reach>>>,
    },
    /// Ask `/usages` for blocked keys and lift the blocks of those that answer well.
    Recheck {
        /// One key.
        label: Option<String>,
        /// Labels cleared and labels still blocked.
        reply: oneshot::Sender<(Vec<String>, Vec<String>)>,
    },
}

/// What a reload changed.
#[derive(Debug, Clone, Default)]
pub struct Reloaded {
    /// Nothing changed, because the settings cannot be used; `issues` say why.
    pub refused: bool,
    /// Names of settings in force now, and `keys`.
    pub changed: Vec<String>,
    /// Changed settings that wait for a restart.
    pub needs_restart: Vec<String>,
    /// What could not be used.
    pub issues: Vec<Issue>,
}

/// How far a question without a key came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// `host` or `host:port`.
    pub host: String,
    /// A connection was made.
    pub reachable: bool,
    /// TLS came about on it.
    pub tls: bool,
    /// Seconds that this machine's clock is ahead of the answer's `Date`.
    pub clock_skew_seconds: Option<i64>,
    /// What went wrong; never a secret.
    pub error: Option<Said>,
}

/// Why there is no new reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRefused {
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// One sentence without secrets.
    pub said: Said,
}

impl From<Said> for QuotaRefused {
    fn from(said: Said) -> Self {
        Self { status: None, said }
    }
}

/// Something a person should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// `key_file`, `settings`, `log_loss`, `state`, `certificate`
    pub kind: &'static str,
    /// Whether something does not work because of it.
    pub error: bool,
    /// The file or variable concerned.
    pub subject: String,
    /// What is wrong and what to do; never a secret.
    pub message: Said,
}
