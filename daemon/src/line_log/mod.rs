//! A file of lines: written in batches by its own thread, rotated by size, tailed without loss.
//!
//! Whoever has something to write only puts it into a bounded queue; formatting, file work and rotation happen on the
//! writer's thread. A full disk, an unwritable directory or a file that is taken away never stops anything: lines are
//! counted as lost, the file is tried again with growing pauses, and the loss is reported once writing works.

mod queue;
mod rotate;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use kmid_config::settings::FileLimit;
use tokio::sync::{broadcast, oneshot};

use queue::{Ask, Entry, Queue};
use writer::{Report, Writer};

/// How long closing waits for a disk that hangs.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Something that becomes one line. It is formatted on the writer's thread.
pub trait Record: Send + 'static {
    /// Appends the line as UTF-8, without a newline (one inside becomes a space).
    fn write_line(&self, out: &mut Vec<u8>);

    /// What else to do with it on the writer's thread; the line may not be on disk yet.
    fn after(&self) {}

    /// About how many bytes it holds while it waits.
    fn size_hint(&self) -> usize {
        0
    }
}

impl Record for String {
    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn size_hint(&self) -> usize {
        self.len()
    }
}

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
    /// Every line after the seam, also one that a full disk kept out of the file. `Lagged(n)` = the reader was too
    /// slow and missed n.
    pub live: broadcast::Receiver<Arc<Line>>,
}

/// A file of records; cheap to clone. The last handle that goes closes it.
pub struct RecordLog<T: Record> {
    file: Arc<Handle<T>>,
}

impl<T: Record> RecordLog<T> {
    /// Starts the writer's thread. The file is opened (or created, mode 0600) with the first line.
    ///
    /// # Errors
    /// When the thread cannot start. A file that cannot be written is no error: lines are counted as lost until
    /// it can.
    pub fn open(path: PathBuf, limit: FileLimit) -> io::Result<Self> {
        Self::open_reporting(path, limit, writer::report_to_log)
    }

    fn open_reporting(path: PathBuf, limit: FileLimit, report: fn(&Report<'_>)) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(limit));
        let writer = Writer::new(Arc::clone(&queue), path.clone(), limit, report);
        let name =
            path.file_name().map_or_else(|| "lines".into(), |name| name.to_string_lossy().into_owned());
        let thread = std::thread::Builder::new().name(name).spawn(move || writer.run())?;
        Ok(Self { file: Arc::new(Handle { queue, path, thread: Mutex::new(Some(thread)) }) })
    }

    /// Queues a record. Never blocks: when the queue is full the line is counted as lost.
    pub fn push(&self, record: T) {
        let size = record.size_hint();
        self.file.queue.push(Entry::Record(record), size);
    }

    /// The same file for those who read it.
    #[must_use]
    pub fn lines(&self) -> LineLog {
        LineLog { file: Arc::clone(&self.file) as Arc<dyn Lines> }
    }
}

impl<T: Record> Clone for RecordLog<T> {
    fn clone(&self) -> Self {
        Self { file: Arc::clone(&self.file) }
    }
}

impl<T: Record> fmt::Debug for RecordLog<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordLog").field(&self.file.path).finish()
    }
}

/// Handle of one file of lines; cheap to clone.
#[derive(Clone)]
pub struct LineLog {
    file: Arc<dyn Lines>,
}

impl LineLog {
    /// Starts the writer's thread. The file is opened (or created, mode 0600) with the first line.
    ///
    /// # Errors
    /// When the thread cannot start. A file that cannot be written is no error: lines are counted as lost until
    /// it can.
    pub fn open(path: PathBuf, limit: FileLimit) -> io::Result<Self> {
        RecordLog::<String>::open(path, limit).map(|log| log.lines())
    }

    /// Queues a line. Never blocks: when the queue is full the line is counted as lost.
    pub fn push(&self, line: String) {
        self.file.push(line);
    }

    /// Lines lost since start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.file.lost()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Changes how large the file grows and how many old ones stay, from the next batch on.
    pub fn set_limit(&self, limit: FileLimit) {
        self.file.set_limit(limit);
    }

    /// Backlog and live lines from one seam.
    ///
    /// # Errors
    /// When the files cannot be opened, or the log is closed.
    pub async fn tail(&self) -> io::Result<Tail> {
        let (reply, answer) = oneshot::channel();
        if !self.file.ask(Ask::Tail(reply)) {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Returns when all lines queued so far are in the file, or are counted as lost.
    pub async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.file.ask(Ask::Flush(reply)) {
            let _ = answer.await;
        }
    }

    /// Returns when all lines queued so far are in the file; later ones are held back, up to 8 MiB, until
    /// [`LineLog::resume`] or [`LineLog::forward`].
    pub async fn hold(&self) {
        let (reply, answer) = oneshot::channel();
        if self.file.ask(Ask::Hold(reply)) {
            let _ = answer.await;
        }
    }

    /// Writes what was held back, and on.
    pub fn resume(&self) {
        self.file.ask(Ask::Resume);
    }

    /// Gives every line to `to` instead of writing it, what was held back first; `to` says `false` when it is lost.
    pub fn forward(&self, to: impl FnMut(&str) -> bool + Send + 'static) {
        self.file.ask(Ask::Forward(Box::new(to)));
    }

    /// Writes out what is queued and ends the writer's thread; waits at most two seconds, so not on the runtime
    /// while it serves. Lines pushed later are counted as lost.
    pub fn close(&self) {
        self.file.close();
    }
}

impl fmt::Debug for LineLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LineLog").field(&self.path()).finish()
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed or its disk does not answer")
}

/// What can be done with a file of lines without knowing its records.
trait Lines: Send + Sync {
    fn push(&self, line: String);
    fn lost(&self) -> u64;
    fn path(&self) -> &Path;
    fn set_limit(&self, limit: FileLimit);
    fn ask(&self, ask: Ask) -> bool;
    fn close(&self);
}

struct Handle<T> {
    queue: Arc<Queue<T>>,
    path: PathBuf,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<T> Handle<T> {
    fn end(&self) {
        self.queue.close();
        if self.queue.wait_finished(CLOSE_WAIT)
            && let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // A panic of the writer was printed when it happened.
            let _ = thread.join();
        }
    }
}

impl<T: Record> Lines for Handle<T> {
    fn push(&self, line: String) {
        let size = line.len();
        self.queue.push(Entry::Line(line), size);
    }

    fn lost(&self) -> u64 {
        self.queue.lost()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn set_limit(&self, limit: FileLimit) {
        self.queue.set_limit(limit);
    }

    fn ask(&self, ask: Ask) -> bool {
        self.queue.ask(ask)
    }

    fn close(&self) {
        self.end();
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
