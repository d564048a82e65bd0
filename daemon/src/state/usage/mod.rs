//! History of what was used, in `usage/DAY.json`, in dry-run `usage-dry-run/DAY.json`: one file for each UTC day, with
//! sums by hour, key and model.
//!
//! The request's path adds to sums in memory. Once a minute, and at the end, a thread adds these to the files of
//! their days, each replaced atomically; `kill -9` costs the last minute. Whoever reads writes first, so that the
//! files say it all. 90 days and 16 MB at most: the oldest go.

mod files;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kmid_core::history::{By, Group, History, Hour, Subject, Sums, group};
use kmid_core::said::Said;
use kmid_core::say;
use kmid_core::time::Time;

use self::files::Files;
use super::Late;
use crate::clock;
use crate::command::Issue;

/// The folder of live use, in the state directory.
pub const FOLDER: &str = "usage";
/// That of dry-run: what the simulator counts is nobody's use.
pub const DRY_RUN_FOLDER: &str = "usage-dry-run";

/// The history's folder in the state directory: dry-run and live use have one each.
#[must_use]
pub fn folder(dry_run: bool) -> &'static str {
    if dry_run { DRY_RUN_FOLDER } else { FOLDER }
}

/// How long sums are collected before they are written.
pub const COLLECT: Duration = Duration::from_secs(60);
/// How long closing waits for a disk that hangs.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The history and its writer.
#[derive(Debug)]
pub struct Usage {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    late_lost: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    /// Held while files are read or written, so that nothing is counted twice or not at all.
    files: Mutex<Files>,
    /// Why the last write failed, and what was set aside.
    trouble: Mutex<Trouble>,
    wake: Condvar,
    finished: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    sums: History,
    /// Another process writes: it is told instead.
    late: Option<SyncSender<Late>>,
    /// The writer sleeps until there is something to write.
    idle: bool,
    closed: bool,
    finished: bool,
}

#[derive(Debug, Default)]
struct Trouble {
    error: Option<String>,
    set_aside: Option<Said>,
}

impl Usage {
    /// Starts the writer's thread; `folder` is made when there is something to write.
    ///
    /// # Errors
    /// When the thread cannot start.
    pub fn start(folder: PathBuf, collect: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            files: Mutex::new(Files::new(folder)),
            trouble: Mutex::default(),
            wake: Condvar::new(),
            finished: Condvar::new(),
        });
        let thread = std::thread::Builder::new().name("usage".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, collect)
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), late_lost: AtomicU64::new(0) })
    }

    /// Counts a finished request. Cheap: a short lock, and a wake only after a pause.
    pub fn count(&self, at: Time, subject: Subject, sums: Sums) {
        let mut pending = lock(&self.shared.pending);
        if let Some(late) = &pending.late {
            if matches!(late.try_send(Late::Used { at, subject, sums }), Err(TrySendError::Full(_))) {
                self.late_lost.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        pending.sums.add(Hour::of(at), subject, sums);
        let wake = std::mem::take(&mut pending.idle);
        drop(pending);
        if wake {
            self.shared.wake.notify_one();
        }
    }

    /// Writes what is in memory for the last time; what comes from now on, and what cannot be written, goes to `late`.
    /// Blocks.
    pub fn leave(&self, late: SyncSender<Late>) {
        let mut files = lock(&self.shared.files);
        lock(&self.shared.pending).late = Some(late.clone());
        self.shared.write(&mut files, clock::now());
        let unwritten = std::mem::take(&mut lock(&self.shared.pending).sums);
        for (hour, subject, sums) in unwritten.into_rows() {
            if late.try_send(Late::Used { at: hour.start(), subject, sums }).is_err() {
                self.late_lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How many sums could not be told to the other process, because too much waited.
    pub(super) fn late_lost(&self) -> u64 {
        self.late_lost.load(Ordering::Relaxed)
    }

    /// Counts and writes again.
    pub fn stay(&self) {
        lock(&self.shared.pending).late = None;
    }

    /// What was used since `from` and before `now`, added up. Reads and writes files: not on the runtime.
    ///
    /// # Errors
    /// When the folder cannot be read. What cannot be written is still counted.
    pub fn read(&self, from: Time, now: Time, by: By, zone: &jiff::tz::TimeZone) -> io::Result<Vec<Group>> {
        let mut files = lock(&self.shared.files);
        self.shared.write(&mut files, now);
        // Empty when writing worked.
        let unwritten = lock(&self.shared.pending).sums.clone();
        let (from, to) = (Hour::of(from), Hour::of(now));
        let mut error = None;
        let written = files.days(from.day()..=to.day())?.into_iter().flat_map(|day| {
            let read = files.read(day, now).unwrap_or_else(|failed| {
                error = Some(failed);
                History::default()
            });
            read.into_rows()
        });
        let rows = written.chain(unwritten.into_rows()).filter(|(hour, ..)| (from..=to).contains(hour));
        let groups = group(rows, by, zone);
        if let Some(set_aside) = files.take_set_aside() {
            lock(&self.shared.trouble).set_aside = Some(set_aside);
        }
        error.map_or(Ok(groups), Err)
    }

    /// What a person should know: sums that cannot be written, a file that was set aside.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        let trouble = lock(&self.shared.trouble);
        let issue =
            |error: bool, message: Said| Issue { kind: "usage", error, subject: "usage".to_owned(), message };
        let set_aside = trouble.set_aside.as_ref().map(|message| issue(false, message.clone()));
        let error =
            trouble.error.as_ref().map(|error| issue(true, say!(usage_unwritten, why = error.to_string())));
        set_aside.into_iter().chain(error).collect()
    }

    /// Writes what is in memory and ends the writer's thread. Waits at most five seconds, so not on the runtime while
    /// it serves.
    pub fn close(&self) {
        let mut pending = lock(&self.shared.pending);
        pending.closed = true;
        self.shared.wake.notify_one();
        let (pending, _) = self
            .shared
            .finished
            .wait_timeout_while(pending, CLOSE_WAIT, |pending| !pending.finished)
            .unwrap_or_else(PoisonError::into_inner);
        let finished = pending.finished;
        drop(pending);
        if finished && let Some(thread) = lock(&self.thread).take() {
            // A panic of the writer was printed when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Sleeps until there is something to write and its time has come; `false` at the end.
    fn wait(&self, collect: Duration) -> bool {
        let mut pending = lock(&self.pending);
        pending.idle = true;
        pending = self
            .wake
            .wait_while(pending, |pending| pending.sums.is_empty() && !pending.closed)
            .unwrap_or_else(PoisonError::into_inner);
        pending.idle = false;
        pending = self
            .wake
            .wait_timeout_while(pending, collect, |pending| !pending.closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        !pending.closed
    }

    /// Adds what is in memory to the files; what cannot be written stays in memory.
    fn write(&self, files: &mut Files, now: Time) {
        let sums = std::mem::take(&mut lock(&self.pending).sums);
        if sums.is_empty() {
            return;
        }
        let (unwritten, result) = files.add(&sums, now);
        let mut trouble = lock(&self.trouble);
        match &result {
            Err(error) if trouble.error.is_none() => tracing::error!(%error, "usage_not_saved"),
            Ok(()) if trouble.error.is_some() => tracing::info!("usage_saved_again"),
            _ => {}
        }
        trouble.error = result.err().map(|error| error.to_string());
        if let Some(set_aside) = files.take_set_aside() {
            tracing::error!(message = %set_aside, "usage_set_aside");
            trouble.set_aside = Some(set_aside);
        }
        lock(&self.pending).sums.add_all(unwritten);
    }
}

fn run(shared: &Arc<Shared>, collect: Duration) {
    let _finish = Finish(Arc::clone(shared));
    loop {
        let go_on = shared.wait(collect);
        shared.write(&mut lock(&shared.files), clock::now());
        if !go_on {
            return;
        }
    }
}

/// Tells [`Usage::close`] that the writer ended, also when it panicked.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        lock(&self.0.pending).finished = true;
        self.0.finished.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
