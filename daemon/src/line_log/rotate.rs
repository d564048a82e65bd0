//! One file of lines on disk: opened, appended to, rotated by size, opened anew when it went away or failed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kmid_config::settings::FileLimit;
use kmid_core::time::Time;

use crate::private;

/// First pause after a failure; doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How far back an unfinished last line is looked for.
const REPAIR_WINDOW: u64 = 1 << 20;
/// Most old files that one rotation removes beyond those that may stay.
const MOST_EXTRAS: u32 = 1000;

/// Lines that are ready to be written: the bytes, and where each line ends (after its newline).
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) ends: Vec<usize>,
}

/// What became of a batch.
pub(super) struct Appended {
    /// Lines that are whole in the file.
    pub(super) lines: usize,
    /// Why the rest is not; `None` also while a failure is waited out.
    pub(super) error: Option<io::Error>,
}

pub(super) struct LogFile {
    path: PathBuf,
    open: Option<Open>,
    pause: Option<Pause>,
}

struct Open {
    file: File,
    identity: private::Identity,
    len: u64,
}

struct Pause {
    since: Time,
    length: Duration,
}

impl LogFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, open: None, pause: None }
    }

    /// Whether the last try failed.
    pub(super) fn is_failing(&self) -> bool {
        self.pause.is_some()
    }

    /// Appends the lines, rotating where the limit asks for it. After a failure nothing is tried for a while, unless
    /// `force`.
    pub(super) fn append(&mut self, batch: &Batch, limit: FileLimit, now: Time, force: bool) -> Appended {
        if batch.ends.is_empty() || (self.is_waiting(now) && !force) {
            return Appended { lines: 0, error: None };
        }
        let mut lines = 0;
        let error = self.try_append(batch, limit, &mut lines).err();
        if error.is_some() {
            self.open = None;
            let length = self.pause.as_ref().map_or(FIRST_PAUSE, |p| (p.length * 2).min(LONGEST_PAUSE));
            self.pause = Some(Pause { since: now, length });
        } else {
            self.pause = None;
        }
        Appended { lines, error }
    }

    /// Opens the files as they stand, oldest first, each with its length.
    pub(super) fn read_handles(&self, limit: FileLimit) -> io::Result<Vec<(File, u64)>> {
        let paths = (1..=limit.backups).rev().map(|n| self.backup(n)).chain([self.path.clone()]);
        let mut handles = Vec::new();
        for path in paths {
            match File::open(&path) {
                Ok(file) => {
                    let len = file.metadata()?.len();
                    handles.push((file, len));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(handles)
    }

    /// A clock that was set back ends the pause: waiting for it to catch up could take years.
    fn is_waiting(&self, now: Time) -> bool {
        self.pause.as_ref().is_some_and(|pause| now >= pause.since && now.since(pause.since) < pause.length)
    }

    fn try_append(&mut self, batch: &Batch, limit: FileLimit, lines: &mut usize) -> io::Result<()> {
        self.check()?;
        let mut just_rotated = false;
        while *lines < batch.ends.len() {
            let open = self.opened()?;
            let from = lines.checked_sub(1).map_or(0, |last| batch.ends[last]);
            let first = batch.ends[*lines] - from;
            if open.len > 0 && open.len + first as u64 > limit.max_bytes && !just_rotated {
                self.rotate(limit.backups)?;
                just_rotated = true;
                continue;
            }
            // The first line always goes in: one that is larger than the limit has a file to itself.
            let room = limit.max_bytes.saturating_sub(open.len);
            let fits = batch.ends[*lines + 1..].partition_point(|end| (end - from) as u64 <= room);
            let upto = *lines + 1 + fits;
            let bytes = &batch.bytes[from..batch.ends[upto - 1]];
            let (written, result) = write_fully(&mut open.file, bytes);
            open.len += written as u64;
            *lines += batch.ends[*lines..upto].partition_point(|end| end - from <= written);
            result?;
            just_rotated = false;
        }
        Ok(())
    }

    /// Notices that the file was removed, replaced or cut by someone else.
    fn check(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        match fs::metadata(&self.path) {
            Ok(metadata) if private::identity_at(&self.path, &metadata) == open.identity => {
                open.len = metadata.len();
            }
            Ok(_) => self.open = None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.open = None,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        let open = match self.open.take() {
            Some(open) => open,
            None => open_file(&self.path)?,
        };
        Ok(self.open.insert(open))
    }

    fn rotate(&mut self, backups: u32) -> io::Result<()> {
        self.open = None;
        if backups == 0 {
            fs::remove_file(&self.path)?;
        } else {
            // Only up to the first gap: a rotation that failed halfway leaves one, and the next must not push the
            // oldest file out for it.
            let gap = (1..backups).find(|n| !self.backup(*n).exists()).unwrap_or(backups);
            for n in (1..gap).rev() {
                fs::rename(self.backup(n), self.backup(n + 1))?;
            }
            fs::rename(&self.path, self.backup(1))?;
        }
        for n in (backups + 1..).take(MOST_EXTRAS as usize) {
            if fs::remove_file(self.backup(n)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn backup(&self, n: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{n}"));
        name.into()
    }
}

fn open_file(path: &Path) -> io::Result<Open> {
    if let Some(parent) = path.parent() {
        private::create_dir_all(parent)?;
    }
    let mut file = private::file_options().read(true).append(true).create(true).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        repair_end(path, &mut file, metadata.len())?;
    }
    let metadata = file.metadata()?;
    let identity = private::identity_of(&file, &metadata);
    Ok(Open { file, identity, len: metadata.len() })
}

/// A process that is killed, or a disk that is full, can leave half a line behind. It is of no use to a reader of
/// JSON lines, and without this the next line would be glued to it.
fn repair_end(path: &Path, file: &mut File, len: u64) -> io::Result<()> {
    let window = len.min(REPAIR_WINDOW);
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(());
    }
    file.seek(SeekFrom::Start(len - window))?;
    let mut end = Vec::new();
    file.take(window).read_to_end(&mut end)?;
    match memchr::memrchr(b'\n', &end) {
        None if window < len => file.write_all(b"\n"),
        newline => {
            let keep = newline.map_or(0, |at| len - window + at as u64 + 1);
            // A handle that may only append cannot cut a file on Windows.
            OpenOptions::new().write(true).open(path)?.set_len(keep)
        }
    }
}

/// Like `write_all`, but says how far it came.
fn write_fully(file: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
#[path = "rotate_tests.rs"]
mod tests;
