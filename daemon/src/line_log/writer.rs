//! The writer's thread: formats, writes in batches, and is the one point of order for those who read along.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kmid_config::settings::FileLimit;
use tokio::sync::broadcast;

use super::queue::{Ask, Entry, Forward, Queue};
use super::rotate::{Batch, LogFile};
use super::{Line, Record, Tail};
use crate::clock;

/// How many lines a reader may fall behind.
const LIVE_LINES: usize = 4096;
/// A batch is written when it has grown to this, so that a full queue does not double in memory.
const BATCH_BYTES: usize = 1 << 20;
/// Lines that are held grow to this; what comes then is lost.
const MOST_HELD: usize = 8 << 20;
/// Buffers above this are given back when they were mostly empty.
const KEEP_BYTES: usize = 64 << 10;

/// What the writer tells about itself.
#[derive(Debug)]
pub(super) enum Report<'a> {
    /// Writing began to fail.
    Failed { path: &'a Path, error: &'a std::io::Error },
    /// Writing works again, and so many lines were lost meanwhile.
    Lost { path: &'a Path, count: u64 },
}

/// Into the log. The writer of the log itself does this too: its report is a line like any other, and a line that is
/// lost again is counted and not reported until something was written.
pub(super) fn report_to_log(report: &Report<'_>) {
    match report {
        Report::Failed { path, error } => {
            tracing::warn!(file = %path.display(), error = %error, "log_write_failed");
        }
        Report::Lost { path, count } => tracing::warn!(file = %path.display(), count, "log_lines_lost"),
    }
}

/// Where lines go.
enum Out {
    File,
    /// Nowhere yet: another process may be about to write the file.
    Held,
    /// To the process that writes the file.
    Forward(Forward),
}

pub(super) struct Writer<T> {
    queue: Arc<Queue<T>>,
    path: PathBuf,
    file: LogFile,
    out: Out,
    limit: FileLimit,
    batch: Batch,
    live: Option<broadcast::Sender<Arc<Line>>>,
    seq: u64,
    reported: u64,
    report: fn(&Report<'_>),
}

impl<T: Record> Writer<T> {
    pub(super) fn new(
        queue: Arc<Queue<T>>,
        path: PathBuf,
        limit: FileLimit,
        report: fn(&Report<'_>),
    ) -> Self {
        let file = LogFile::new(path.clone());
        let (out, batch) = (Out::File, Batch::default());
        Self { queue, path, file, out, limit, batch, live: None, seq: 0, reported: 0, report }
    }

    /// Runs until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let _finish = Finish(Arc::clone(&self.queue));
        let mut entries = Vec::new();
        loop {
            let taken = self.queue.take(&mut entries);
            self.limit = taken.limit;
            if taken.closed && entries.is_empty() {
                return;
            }
            // Someone waits for this batch: it is worth a try even while a failure is waited out.
            let force = taken.closed || entries.iter().any(|entry| matches!(entry, Entry::Ask(_)));
            let count = entries.len();
            for entry in entries.drain(..) {
                self.handle(entry, force);
            }
            self.write(force);
            if entries.capacity() > 1024 && count < entries.capacity() / 4 {
                entries.shrink_to(1024);
            }
        }
    }

    fn handle(&mut self, entry: Entry<T>, force: bool) {
        match entry {
            Entry::Record(record) => {
                self.add(|out| record.write_line(out));
                record.after();
            }
            Entry::Line(line) => self.add(|out| out.extend_from_slice(line.as_bytes())),
            Entry::Ask(Ask::Flush(reply)) => {
                self.write(force);
                let _ = reply.send(());
            }
            Entry::Ask(Ask::Tail(reply)) => {
                self.write(force);
                let _ = reply.send(self.tail());
            }
            Entry::Ask(Ask::Hold(reply)) => {
                self.write(force);
                self.out = Out::Held;
                let _ = reply.send(());
            }
            Entry::Ask(Ask::Resume) => self.out = Out::File,
            Entry::Ask(Ask::Forward(forward)) => self.out = Out::Forward(forward),
        }
        if self.batch.bytes.len() >= BATCH_BYTES {
            self.write(force);
        }
    }

    fn add(&mut self, write_line: impl FnOnce(&mut Vec<u8>)) {
        let start = self.batch.bytes.len();
        write_line(&mut self.batch.bytes);
        let line = &mut self.batch.bytes[start..];
        if memchr::memchr2(b'\n', b'\r', line).is_some() {
            line.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        self.batch.bytes.push(b'\n');
        self.batch.ends.push(self.batch.bytes.len());
    }

    fn write(&mut self, force: bool) {
        let lines = self.batch.ends.len();
        if lines == 0 {
            return;
        }
        match &self.out {
            Out::File => self.append(lines, force),
            Out::Held if self.batch.bytes.len() < MOST_HELD => return,
            Out::Held => self.queue.count_lost(lines),
            Out::Forward(_) => self.forward(),
        }
        self.clear();
    }

    fn forward(&mut self) {
        self.send_live();
        let Out::Forward(forward) = &mut self.out else { return };
        let mut start = 0;
        let mut lost = 0;
        for end in &self.batch.ends {
            let told = forward(&String::from_utf8_lossy(&self.batch.bytes[start..end - 1]));
            lost += usize::from(!told);
            start = *end;
        }
        self.queue.count_lost(lost);
    }

    fn clear(&mut self) {
        if self.batch.bytes.capacity() > KEEP_BYTES && self.batch.bytes.len() < KEEP_BYTES / 4 {
            self.batch.bytes.shrink_to(KEEP_BYTES);
            self.batch.ends.shrink_to(1024);
        }
        self.batch.bytes.clear();
        self.batch.ends.clear();
    }

    fn append(&mut self, lines: usize, force: bool) {
        let was_failing = self.file.is_failing();
        let appended = self.file.append(&self.batch, self.limit, clock::now(), force);
        self.queue.count_lost(lines - appended.lines);
        self.send_live();
        if let Some(error) = appended.error {
            if !was_failing {
                (self.report)(&Report::Failed { path: &self.path, error: &error });
            }
        } else if !self.file.is_failing() {
            let lost = self.queue.lost();
            if lost > self.reported {
                (self.report)(&Report::Lost { path: &self.path, count: lost - self.reported });
                self.reported = lost;
            }
        }
    }

    /// Readers get every line, also one that a full disk kept out of the file.
    fn send_live(&mut self) {
        let first = self.seq + 1;
        self.seq += self.batch.ends.len() as u64;
        self.live.take_if(|live| live.receiver_count() == 0);
        let Some(live) = &self.live else { return };
        let mut start = 0;
        for (seq, end) in (first..).zip(&self.batch.ends) {
            let text = String::from_utf8_lossy(&self.batch.bytes[start..end - 1]).into_owned();
            let _ = live.send(Arc::new(Line { seq, text }));
            start = *end;
        }
    }

    fn tail(&mut self) -> std::io::Result<Tail> {
        let backlog = self.file.read_handles(self.limit)?;
        let live = self.live.get_or_insert_with(|| broadcast::channel(LIVE_LINES).0).subscribe();
        Ok(Tail { backlog, live })
    }
}

/// Tells those who wait that the writer ended, also when it panicked.
struct Finish<T>(Arc<Queue<T>>);

impl<T> Drop for Finish<T> {
    fn drop(&mut self) {
        self.0.finish();
    }
}
