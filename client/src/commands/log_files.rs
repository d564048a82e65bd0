//! The last lines of a log and its rotated files, read without the daemon.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::fmt::strtime;

/// A longer line is cut: the writer never makes one.
const LONGEST_LINE: u64 = 1024 * 1024;

/// The newest `count` lines that are not older than `since`, oldest first. No file is no line.
pub(crate) fn last_lines(
    folder: &Path,
    name: &str,
    count: usize,
    since: Option<Timestamp>,
) -> io::Result<VecDeque<String>> {
    let mut kept = VecDeque::new();
    // Lines without a time of their own belong to the line above them.
    let mut wanted = since.is_none();
    for path in oldest_first(folder, name)? {
        let file = match File::open(&path) {
            Ok(file) => file,
            // Rotated away since the folder was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut reader = BufReader::new(file);
        while let Some(line) = read_line(&mut reader)? {
            if let (Some(since), Some(time)) = (since, time_of(&line)) {
                wanted = time >= since;
            }
            if !wanted || count == 0 {
                continue;
            }
            if kept.len() == count {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }
    Ok(kept)
}

/// `name.3`, `name.2`, `name.1`, `name`: as many as there are.
fn oldest_first(folder: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let file_name = entry?.file_name();
        let Some(rest) = file_name.to_str().and_then(|text| text.strip_prefix(name)) else { continue };
        let age =
            if rest.is_empty() { Some(0) } else { rest.strip_prefix('.').and_then(|age| age.parse().ok()) };
        files.extend(age.map(|age: u32| (age, folder.join(&file_name))));
    }
    files.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    if reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') {
        // Either the rest of a cut line, or a last line that is still being written: both end here.
        reader.skip_until(b'\n')?;
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// The time a line starts with, or that stands in its `ts`.
fn time_of(line: &str) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Head {
        ts: String,
    }
    let text =
        if line.starts_with('{') { serde_json::from_str::<Head>(line).ok()?.ts } else { line.to_owned() };
    let text = text.trim_start();
    if let Some(time) = text.split_whitespace().next().and_then(|word| word.parse().ok()) {
        return Some(time);
    }
    let (parsed, _) = strtime::BrokenDownTime::parse_prefix("%Y-%m-%d %H:%M:%S%.f %z", text).ok()?;
    parsed.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn lines(folder: &Path, name: &str, count: usize, since: Option<&str>) -> Vec<String> {
        last_lines(folder, name, count, since.map(|time| time.parse().unwrap())).unwrap().into()
    }

    #[test]
    fn rotated_files_come_in_order() {
        let folder = folder(&[
            ("proxy.out", "e\nf"),
            ("proxy.out.1", "d\n"),
            ("proxy.out.10", "a\n"),
            ("proxy.out.2", "b\nc\n"),
            ("proxy.out.bak", "no\n"),
            ("kmi.log", "other\n"),
        ]);
        assert_eq!(lines(folder.path(), "proxy.out", 9, None), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(lines(folder.path(), "proxy.out", 2, None), ["e", "f"]);
        assert_eq!(lines(folder.path(), "proxy.out", 0, None), Vec::<String>::new());
        assert_eq!(lines(&folder.path().join("none"), "proxy.out", 5, None), Vec::<String>::new());
    }

    #[test]
    fn since_looks_at_the_time_of_a_line_and_keeps_what_follows_it() {
        let folder = folder(&[
            (
                "proxy.out",
                "2026-11-23 12:00:00.100 +0300 old\n  its tail\n2026-11-23 12:00:01.000 +0300 new\n  tail\n",
            ),
            (
                "kmi.log",
                "{\"ts\":\"2026-11-23 11:00:00.000 +0300\",\"level\":\"INFO\"}\n{\"ts\":\"2026-11-23T09:30:00Z\"}\n",
            ),
        ]);
        assert_eq!(
            lines(folder.path(), "proxy.out", 9, Some("2026-11-23T09:00:00.500Z")),
            ["2026-11-23 12:00:01.000 +0300 new", "  tail"]
        );
        assert_eq!(
            lines(folder.path(), "kmi.log", 9, Some("2026-11-23T09:00:00Z")),
            ["{\"ts\":\"2026-11-23T09:30:00Z\"}"]
        );
    }

    #[test]
    fn bytes_that_are_no_text_and_endless_lines_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'x'; 3 * usize::try_from(LONGEST_LINE).unwrap()];
        bytes.extend(b"\n\xff\xfe\r\nlast\n");
        std::fs::write(folder.path().join("proxy.out"), bytes).unwrap();
        let found = lines(folder.path(), "proxy.out", 9, None);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].len() as u64, LONGEST_LINE);
        assert_eq!(found[2], "last");
    }
}
