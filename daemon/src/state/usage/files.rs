//! The files of the history: `2026-11-23.json`, one for each UTC day.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use kmid_core::history::{DAYS_KEPT, History, Hour, Subject, Sums};
use kmid_core::said::Said;
use kmid_core::say;
use kmid_core::time::Time;
use serde::{Deserialize, Serialize};

use super::super::atomic_file;
use super::super::load::free_name;

/// The version that this program writes and reads.
const SCHEMA_VERSION: u64 = 1;
/// All files together, those that were set aside included.
const MAX_TOTAL: u64 = 16_000_000;
const EPOCH: Date = Date::constant(1970, 1, 1);

#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    max_total: u64,
    set_aside: Option<Said>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema_version: u64,
    rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    hour: Hour,
    #[serde(flatten)]
    subject: Subject,
    #[serde(flatten)]
    sums: Sums,
}

impl Files {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, max_total: MAX_TOTAL, set_aside: None }
    }

    #[cfg(test)]
    pub(super) fn bounded(folder: PathBuf, max_total: u64) -> Self {
        Self { folder, max_total, set_aside: None }
    }

    /// What was set aside since the last call, in a sentence.
    pub(super) fn take_set_aside(&mut self) -> Option<Said> {
        self.set_aside.take()
    }

    /// Adds sums to the files of their days, then drops what is too old or too much. Returns what could not be
    /// written.
    pub(super) fn add(&mut self, sums: &History, now: Time) -> (History, io::Result<()>) {
        let mut unwritten = History::default();
        let mut result = Ok(());
        for day in sums.days() {
            let part = sums.day(day);
            if let Err(error) = self.add_day(day, part.clone(), now) {
                unwritten.add_all(part);
                result = Err(error);
            }
        }
        let cleaned = self.clean(now);
        (unwritten, result.and(cleaned))
    }

    fn add_day(&mut self, day: i64, part: History, now: Time) -> io::Result<()> {
        let mut whole = self.read(day, now)?;
        whole.add_all(part);
        let rows = whole.into_rows().map(|(hour, subject, sums)| Row { hour, subject, sums }).collect();
        let mut bytes = serde_json::to_vec(&Document { schema_version: SCHEMA_VERSION, rows })?;
        bytes.push(b'\n');
        atomic_file::write(&self.path(day)?, &bytes)
    }

    /// One day; empty when there is no file, or none that can be read: that one is set aside.
    pub(super) fn read(&mut self, day: i64, now: Time) -> io::Result<History> {
        let path = self.path(day)?;
        let bytes = match read_bounded(&path, self.max_total) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(History::default()),
            Err(error) => return self.put_aside(&path, now, &error.to_string()),
        };
        match parse(&bytes, day) {
            Ok(history) => Ok(history),
            Err(why) => self.put_aside(&path, now, &why),
        }
    }

    fn put_aside(&mut self, path: &Path, now: Time, why: &str) -> io::Result<History> {
        let moment = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
        let kept = free_name(path, &format!("corrupt-{moment}"));
        fs::rename(path, &kept)?;
        let (path, kept) = (path.display().to_string(), kept.display().to_string());
        self.set_aside = Some(say!(usage_set_aside, path = path, why = why, kept = kept));
        Ok(History::default())
    }

    /// The days of this range that have a file.
    pub(super) fn days(&self, range: RangeInclusive<i64>) -> io::Result<BTreeSet<i64>> {
        let whole = |entry: &Entry| (entry.name.len() == "2026-11-23.json".len()).then_some(entry.day);
        Ok(self.entries()?.iter().filter_map(whole).filter(|day| range.contains(day)).collect())
    }

    /// Drops what is older than the last days that are kept, then the oldest while all together are too large.
    ///
    /// Days are counted and not reckoned from today: a clock that is far ahead for a moment would cost all of them.
    fn clean(&self, now: Time) -> io::Result<()> {
        let mut entries = self.entries()?;
        // What such a clock has left behind stands in no real day's way.
        let today = Hour::of(now).day();
        let days: BTreeSet<i64> = entries.iter().map(|entry| entry.day).filter(|day| *day <= today).collect();
        let oldest = days.iter().rev().nth(DAYS_KEPT - 1).copied();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
        for entry in entries {
            if oldest.is_some_and(|oldest| entry.day < oldest) || total > self.max_total {
                fs::remove_file(self.folder.join(&entry.name))?;
                total -= entry.bytes;
            }
        }
        Ok(())
    }

    /// The history's files, those that were set aside included; nothing else in the folder is ours.
    fn entries(&self) -> io::Result<Vec<Entry>> {
        let folder = match fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut entries = Vec::new();
        for entry in folder {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let date = name.split_once(".json").and_then(|(date, _)| date.parse::<Date>().ok());
            let Some(date) = date else { continue };
            let day = i64::from((date - EPOCH).get_days());
            entries.push(Entry { name, day, bytes: entry.metadata()?.len() });
        }
        Ok(entries)
    }

    fn path(&self, day: i64) -> io::Result<PathBuf> {
        let span = jiff::Span::new().try_days(day).map_err(io::Error::other)?;
        let date = EPOCH.checked_add(span).map_err(io::Error::other)?;
        Ok(self.folder.join(format!("{date}.json")))
    }
}

struct Entry {
    name: String,
    day: i64,
    bytes: u64,
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        // A FIFO or a device would never end.
        Ok(metadata) if !metadata.is_file() => return Err(io::Error::other("it is not a regular file")),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(Some(bytes))
}

fn parse(bytes: &[u8], day: i64) -> Result<History, String> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.schema_version != SCHEMA_VERSION {
        return Err(format!("its version is {}", document.schema_version));
    }
    let mut history = History::default();
    for Row { hour, subject, sums } in document.rows {
        if hour.day() != day {
            return Err("it holds hours of another day".to_owned());
        }
        history.add(hour, subject, sums);
    }
    Ok(history)
}
