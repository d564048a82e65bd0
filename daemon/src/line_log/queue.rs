//! What waits for the writer: bounded, ordered, and quiet. A sender wakes the writer only when it sleeps with nothing
//! to do; while it collects a batch or writes one, a push is a short lock and nothing else.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kmid_config::settings::FileLimit;
use tokio::sync::oneshot;

use super::Tail;

/// Most records that wait.
pub(super) const MAX_RECORDS: usize = 65_536;
/// Most bytes that wait, as the records estimate themselves.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// Most questions that wait. Each is a caller that waits for its answer, so this is only reached when the disk hangs.
const MAX_ASKS: usize = 1024;
/// How long the writer collects after the first record, so that a busy daemon writes ten times a second and not once
/// a request.
const COLLECT: Duration = Duration::from_millis(80);

/// One thing for the writer to do, in order.
pub(super) enum Entry<T> {
    /// A record to format and write.
    Record(T),
    /// A line that is ready.
    Line(String),
    /// A question; its place in the queue is the moment it is about.
    Ask(Ask),
}

/// What a caller waits for.
pub(super) enum Ask {
    /// Everything before is in the file.
    Flush(oneshot::Sender<()>),
    /// A seam between what is in the files and what comes.
    Tail(oneshot::Sender<io::Result<Tail>>),
    /// Nothing is written from here on; everything before is in the file when the answer comes.
    Hold(oneshot::Sender<()>),
    /// Writing goes on.
    Resume,
    /// Lines go there instead, what was held first.
    Forward(Forward),
}

/// Where lines go instead of the file; `false` when one is lost.
pub(super) type Forward = Box<dyn FnMut(&str) -> bool + Send>;

/// What [`Queue::take`] says beside the entries.
pub(super) struct Taken {
    /// The limit in force.
    pub(super) limit: FileLimit,
    /// Nothing comes any more.
    pub(super) closed: bool,
}

pub(super) struct Queue<T> {
    inner: Mutex<Inner<T>>,
    wake: Condvar,
    finished: Condvar,
    lost: AtomicU64,
}

struct Inner<T> {
    entries: Vec<Entry<T>>,
    records: usize,
    bytes: usize,
    asks: usize,
    limit: FileLimit,
    /// The writer sleeps until it is woken.
    idle: bool,
    /// Write now instead of collecting.
    urgent: bool,
    closed: bool,
    finished: bool,
}

impl<T> Queue<T> {
    pub(super) fn new(limit: FileLimit) -> Self {
        Self {
            inner: Mutex::new(Inner {
                entries: Vec::new(),
                records: 0,
                bytes: 0,
                asks: 0,
                limit,
                idle: false,
                urgent: false,
                closed: false,
                finished: false,
            }),
            wake: Condvar::new(),
            finished: Condvar::new(),
            lost: AtomicU64::new(0),
        }
    }

    /// Queues a record of about `size` bytes, or counts it as lost.
    pub(super) fn push(&self, entry: Entry<T>, size: usize) {
        let mut inner = self.lock();
        if inner.closed || inner.records >= MAX_RECORDS || inner.bytes.saturating_add(size) > MAX_BYTES {
            drop(inner);
            self.count_lost(1);
            return;
        }
        inner.records += 1;
        inner.bytes += size;
        inner.entries.push(entry);
        let half_full = inner.records >= MAX_RECORDS / 2 || inner.bytes >= MAX_BYTES / 2;
        let hurry = half_full && !inner.urgent;
        inner.urgent |= half_full;
        self.wake_if(inner, hurry);
    }

    /// Queues a question and has it answered without delay; `false` when it cannot be.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        let mut inner = self.lock();
        if inner.closed || inner.asks >= MAX_ASKS {
            return false;
        }
        inner.asks += 1;
        inner.urgent = true;
        inner.entries.push(Entry::Ask(ask));
        self.wake_if(inner, true);
        true
    }

    fn wake_if(&self, mut inner: MutexGuard<'_, Inner<T>>, hurry: bool) {
        let wake = inner.idle || hurry;
        inner.idle = false;
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
    }

    pub(super) fn set_limit(&self, limit: FileLimit) {
        self.lock().limit = limit;
    }

    /// For the writer: sleeps until there is something, collects for a moment, and swaps the entries out.
    pub(super) fn take(&self, entries: &mut Vec<Entry<T>>) -> Taken {
        let mut inner = self.lock();
        inner.idle = true;
        inner = self
            .wake
            .wait_while(inner, |inner| inner.entries.is_empty() && !inner.closed)
            .unwrap_or_else(PoisonError::into_inner);
        inner.idle = false;
        inner = self
            .wake
            .wait_timeout_while(inner, COLLECT, |inner| !inner.urgent && !inner.closed)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        std::mem::swap(&mut inner.entries, entries);
        inner.records = 0;
        inner.bytes = 0;
        inner.asks = 0;
        inner.urgent = false;
        Taken { limit: inner.limit, closed: inner.closed }
    }

    /// Lets nothing in any more; the writer writes the rest and ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// For the writer: it has ended, for whatever reason. What still waits is lost, and those who ask are told by
    /// their channel's end.
    pub(super) fn finish(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.finished = true;
        let left = std::mem::take(&mut inner.entries);
        drop(inner);
        self.count_lost(left.iter().filter(|entry| !matches!(entry, Entry::Ask(_))).count());
        self.finished.notify_all();
    }

    /// Waits until the writer has ended; `false` when it did not in time.
    pub(super) fn wait_finished(&self, at_most: Duration) -> bool {
        let inner = self.lock();
        self.finished
            .wait_timeout_while(inner, at_most, |inner| !inner.finished)
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .finished
    }

    pub(super) fn count_lost(&self, lines: usize) {
        self.lost.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
