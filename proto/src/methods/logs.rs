//! `logs.*`: what the daemon did.

use serde::{Deserialize, Serialize};

/// Parameters of `logs.tail`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TailParams {
    /// Which log.
    pub source: Source,
    /// `30s`, `10m`, `1h`, `2d` or an ISO time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// At most so many of the backlog, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<usize>,
    /// Go on with what happens next.
    #[serde(default)]
    pub follow: bool,
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// `logs/kmi.log`: JSON lines
    App,
    /// `logs/proxy.out`: lines for people
    Daemon,
}
