//! `state.json`: written in the background, at most about once a second, and at once when a person waits for it.
//!
//! The store is told *that* something changed, not what: on the hot path that is a flag. When it writes, it asks its
//! source for the pool's memory at that moment, so an older picture can never overwrite a newer one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub use kmid_core::pool::snapshot::SCHEMA_VERSION;
use kmid_core::pool::snapshot::Snapshot;
use kmid_core::said::Said;
use kmid_core::{say, show_as_said};
use tokio::sync::watch;

pub use super::load::{LoadError, Loaded, load};
use super::{atomic_file, load::encode};
use crate::command::Issue;

/// How long changes are collected before a write. With the write itself, and one that is under way, a change is on the
/// disk within a second.
const COLLECT: Duration = Duration::from_millis(700);
/// Longest pause between tries while writing fails.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long closing waits for a disk that hangs.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Gives the pool's memory as it is now.
pub type Source = Box<dyn Fn() -> Snapshot + Send>;

/// The state could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SaveError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub cause: String,
}

impl SaveError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        say!(state_unwritten, path = self.path.display().to_string(), why = self.cause.as_str())
    }
}

show_as_said!(SaveError);

/// The writer of `state.json`.
pub struct Store {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    path: PathBuf,
    inner: Mutex<Inner>,
    wake: Condvar,
    finished: Condvar,
    /// A write has ended.
    rested: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Counts changes.
    wanted: u64,
    /// The change up to which the file is up to date.
    saved: u64,
    idle: bool,
    urgent: bool,
    writing: bool,
    /// Another process writes.
    paused: bool,
    closed: bool,
    finished: bool,
    failures: u64,
}

/// How far the writer has come.
#[derive(Debug, Clone, Default)]
struct Progress {
    tried: u64,
    saved: u64,
    failures: u64,
    error: Option<String>,
}

impl Store {
    /// Starts the writer's thread.
    ///
    /// # Errors
    /// When the thread cannot start.
    pub fn start(path: PathBuf, source: Source) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            path,
            inner: Mutex::new(Inner::default()),
            wake: Condvar::new(),
            finished: Condvar::new(),
            rested: Condvar::new(),
        });
        let (tell, progress) = watch::channel(Progress::default());
        let thread = std::thread::Builder::new().name("state.json".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &source, &tell)
        })?;
        Ok(Self { shared, progress, thread: Mutex::new(Some(thread)) })
    }

    /// Something changed; it is on disk within about a second. Cheap: a short lock, and a wake only after a pause.
    pub fn changed(&self) {
        let mut inner = self.shared.lock();
        inner.wanted += 1;
        let wake = std::mem::take(&mut inner.idle);
        drop(inner);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    /// Writes what is now and returns when it is on disk.
    ///
    /// # Errors
    /// When it could not be written. The change stays in memory and is tried again.
    pub async fn save_now(&self) -> Result<(), SaveError> {
        let wanted = {
            let mut inner = self.shared.lock();
            if inner.paused {
                let cause = "another process writes it now".to_owned();
                return Err(SaveError { path: self.shared.path.clone(), cause });
            }
            inner.wanted += 1;
            inner.urgent = true;
            inner.idle = false;
            inner.wanted
        };
        self.shared.wake.notify_one();
        let mut progress = self.progress.clone();
        let failed = |cause: String| SaveError { path: self.shared.path.clone(), cause };
        match progress.wait_for(|progress| progress.tried >= wanted).await {
            Ok(progress) if progress.saved >= wanted => Ok(()),
            Ok(progress) => Err(failed(progress.error.clone().unwrap_or_default())),
            Err(_) => Err(failed("the writer has ended".to_owned())),
        }
    }

    /// Lets what is being written and what somebody waits for be written, and nothing more until
    /// [`Store::resume`]. Blocks, five seconds at most.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn pause(&self) -> Result<(), SaveError> {
        let inner = self.shared.lock();
        let busy = |inner: &mut Inner| inner.writing || inner.urgent;
        let waited = self.shared.rested.wait_timeout_while(inner, CLOSE_WAIT, busy);
        let (mut inner, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let cause = "the disk does not answer".to_owned();
            return Err(SaveError { path: self.shared.path.clone(), cause });
        }
        inner.paused = true;
        Ok(())
    }

    /// After [`Store::pause`]: writes this, on the caller's thread.
    ///
    /// # Errors
    /// As the system says.
    pub fn write_last(&self, snapshot: Snapshot) -> Result<(), SaveError> {
        let path = self.shared.path.clone();
        write(&path, snapshot).map_err(|error| SaveError { path, cause: error.to_string() })
    }

    /// Writes again, and soon.
    pub fn resume(&self) {
        let mut inner = self.shared.lock();
        inner.paused = false;
        inner.wanted += 1;
        drop(inner);
        self.shared.wake.notify_one();
    }

    /// Failures in a row, for the status; none when the last write worked.
    #[must_use]
    pub fn issue(&self) -> Option<Issue> {
        let progress = self.progress.borrow();
        let cause = progress.error.clone()?;
        let error = SaveError { path: self.shared.path.clone(), cause };
        Some(Issue {
            kind: "state",
            error: true,
            subject: self.shared.path.display().to_string(),
            message: say!(state_unwritten_times, why = error.said(), times = progress.failures),
        })
    }

    /// Writes what has changed and ends the writer's thread. Waits at most five seconds, so not on the runtime while
    /// it serves.
    ///
    /// # Errors
    /// When the last write failed or did not end in time.
    pub fn close(&self) -> Result<(), SaveError> {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        let inner = self.shared.lock();
        let (inner, _) = self
            .shared
            .finished
            .wait_timeout_while(inner, CLOSE_WAIT, |inner| !inner.finished)
            .unwrap_or_else(PoisonError::into_inner);
        let (finished, saved) = (inner.finished, inner.paused || inner.saved == inner.wanted);
        drop(inner);
        if finished && let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic of the writer was printed when it happened.
            let _ = thread.join();
        }
        let cause = match self.progress.borrow().error.clone() {
            _ if finished && saved => return Ok(()),
            Some(cause) => cause,
            None => "the disk does not answer".to_owned(),
        };
        Err(SaveError { path: self.shared.path.clone(), cause })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.shared.path).finish()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(error = %error, "state_not_saved");
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is something to write and its time has come: the change it goes up to, or `None` at the
    /// end.
    fn next(&self) -> Option<u64> {
        let mut inner = self.lock();
        loop {
            inner.idle = inner.saved == inner.wanted;
            inner = self
                .wake
                .wait_while(inner, |inner| (inner.saved == inner.wanted || inner.paused) && !inner.closed)
                .unwrap_or_else(PoisonError::into_inner);
            inner.idle = false;
            let pause = match u32::try_from(inner.failures).unwrap_or(u32::MAX) {
                0 => COLLECT,
                n => (COLLECT * 2u32.saturating_pow(n.min(6))).min(LONGEST_PAUSE),
            };
            inner = self
                .wake
                .wait_timeout_while(inner, pause, |inner| !inner.urgent && !inner.closed)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            // It may have been paused meanwhile.
            if !inner.paused || inner.closed {
                break;
            }
        }
        inner.urgent = false;
        inner.writing = inner.saved != inner.wanted && !inner.paused;
        inner.writing.then_some(inner.wanted)
    }
}

fn run(shared: &Arc<Shared>, source: &Source, tell: &watch::Sender<Progress>) {
    let _finish = Finish(Arc::clone(shared));
    while let Some(upto) = shared.next() {
        let result = write(&shared.path, source());
        let mut inner = shared.lock();
        inner.writing = false;
        shared.rested.notify_all();
        let failed_before = inner.failures > 0;
        if result.is_ok() {
            inner.saved = upto;
            inner.failures = 0;
        } else {
            inner.failures += 1;
        }
        let (failures, saved, end) = (inner.failures, inner.saved, inner.closed);
        drop(inner);
        let path = shared.path.display();
        match &result {
            Ok(()) if failed_before => tracing::info!(file = %path, "state_saved_again"),
            Err(error) if !failed_before => tracing::error!(file = %path, error = %error, "state_not_saved"),
            _ => {}
        }
        let error = result.err().map(|error| error.to_string());
        tell.send_replace(Progress { tried: upto, saved, failures, error });
        if end && failures > 0 {
            return;
        }
    }
}

fn write(path: &Path, mut snapshot: Snapshot) -> io::Result<()> {
    atomic_file::write(path, &encode(&mut snapshot)?)
}

/// Tells [`Store::close`] that the writer ended, also when it panicked.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.lock().finished = true;
        self.0.finished.notify_all();
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
