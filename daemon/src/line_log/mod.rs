//! A file of lines: written in batches by its own thread, rotated by size, tailed without loss.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use kmid_config::settings::FileLimit;
use tokio::sync::broadcast;

/// Handle of one file of lines; cheap to clone.
#[derive(Debug, Clone)]
pub struct LineLog {}

/// A finished line, without its newline, with its place in the order of all lines since start.
#[derive(Debug)]
pub struct Line {
    /// Counts up by one a line.
    pub seq: u64,
    /// UTF-8, no newline inside.
    pub text: String,
}

/// Everything written so far, then everything that comes, with no line lost or doubled at the seam.
#[derive(Debug)]
pub struct Tail {
    /// The files as they stood at the seam, oldest first, each open and with the length to read up to.
    pub backlog: Vec<(std::fs::File, u64)>,
    /// What was written after the seam. `Lagged(n)` = the reader was too slow and missed n.
    pub live: broadcast::Receiver<Arc<Line>>,
}

impl LineLog {
    /// Opens (or creates, mode 0600) the file and starts its writer thread.
    ///
    /// # Errors
    /// When the thread cannot start. A file that cannot be written is no error: lines are counted as lost until
    /// it can.
    pub fn open(_path: PathBuf, _limit: FileLimit) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Queues a line. Never blocks: when the queue is full the line is counted as lost.
    pub fn push(&self, _line: String) {}

    /// Lines lost since start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        0
    }

    /// Backlog and live lines from one seam.
    ///
    /// # Errors
    /// When the files cannot be opened.
    pub async fn tail(&self) -> io::Result<Tail> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns when all lines queued so far are in the file.
    pub async fn flush(&self) {}
}
