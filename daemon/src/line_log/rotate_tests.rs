//! Rotation, repair and recovery of one file.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn limit(max_bytes: u64, backups: u32) -> FileLimit {
    FileLimit { max_bytes, backups }
}

fn batch(lines: &[&str]) -> Batch {
    let mut batch = Batch::default();
    for line in lines {
        batch.bytes.extend_from_slice(line.as_bytes());
        batch.bytes.push(b'\n');
        batch.ends.push(batch.bytes.len());
    }
    batch
}

fn append(file: &mut LogFile, limit: FileLimit, lines: &[&str]) {
    let appended = file.append(&batch(lines), limit, Time::from_millis(0), false);
    assert!(appended.error.is_none(), "{:?}", appended.error);
    assert_eq!(appended.lines, lines.len());
}

fn content(path: &Path, ending: &str) -> Option<String> {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    fs::read_to_string(PathBuf::from(name)).ok()
}

fn two(dir: &tempfile::TempDir) -> (PathBuf, LogFile) {
    let path = dir.path().join("logs").join("x.log");
    (path.clone(), LogFile::new(path))
}

#[test]
fn a_file_is_filled_to_the_byte_and_then_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(10, 2), &["1234", "5678"]);
    assert_eq!(content(&path, ".1"), None);
    append(&mut file, limit(10, 2), &["a"]);
    assert_eq!(content(&path, ".1").unwrap(), "1234\n5678\n");
    assert_eq!(content(&path, "").unwrap(), "a\n");
}

#[test]
fn one_batch_can_fill_several_files_and_only_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(4, 2), &["a", "b", "c", "d", "e", "f", "g", "h", "i"]);
    assert_eq!(content(&path, ".2").unwrap(), "e\nf\n");
    assert_eq!(content(&path, ".1").unwrap(), "g\nh\n");
    assert_eq!(content(&path, "").unwrap(), "i\n");
    assert_eq!(content(&path, ".3"), None);
}

#[test]
fn a_line_larger_than_the_limit_is_written_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(4, 3), &["a", "a much longer line", "b"]);
    assert_eq!(content(&path, ".2").unwrap(), "a\n");
    assert_eq!(content(&path, ".1").unwrap(), "a much longer line\n");
    assert_eq!(content(&path, "").unwrap(), "b\n");
}

#[test]
fn without_backups_the_file_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(4, 0), &["a", "b", "c"]);
    assert_eq!(content(&path, "").unwrap(), "c\n");
    assert_eq!(content(&path, ".1"), None);
}

#[test]
fn fewer_backups_remove_the_surplus() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(2, 4), &["a", "b", "c", "d", "e"]);
    assert_eq!(content(&path, ".4").unwrap(), "a\n");
    append(&mut file, limit(2, 1), &["f"]);
    assert_eq!(content(&path, ".1").unwrap(), "e\n");
    for gone in [".2", ".3", ".4"] {
        assert_eq!(content(&path, gone), None, "{gone}");
    }
}

#[test]
fn a_gap_in_the_chain_costs_no_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    append(&mut file, limit(2, 3), &["a", "b", "c", "d"]);
    fs::remove_file(file.backup(2)).unwrap();
    append(&mut file, limit(2, 3), &["e"]);
    assert_eq!(content(&path, ".3").unwrap(), "a\n");
    assert_eq!(content(&path, ".2").unwrap(), "c\n");
    assert_eq!(content(&path, ".1").unwrap(), "d\n");
}

#[test]
fn an_unfinished_last_line_is_cut_off() {
    for (before, after) in [("whole\nha", "whole\nnew\n"), ("half", "new\n"), ("whole\n", "whole\nnew\n")] {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut file) = two(&dir);
        fs::create_dir(path.parent().unwrap()).unwrap();
        fs::write(&path, before).unwrap();
        append(&mut file, limit(1000, 1), &["new"]);
        assert_eq!(content(&path, "").unwrap(), after, "{before:?}");
    }
}

#[test]
fn an_unfinished_line_beyond_the_window_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    fs::create_dir(path.parent().unwrap()).unwrap();
    let long = "x".repeat(usize::try_from(REPAIR_WINDOW).unwrap() + 1);
    fs::write(&path, &long).unwrap();
    append(&mut file, limit(1 << 30, 1), &["new"]);
    assert_eq!(content(&path, "").unwrap(), format!("{long}\nnew\n"));
}

#[test]
fn a_file_that_was_removed_replaced_or_cut_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    let limit = limit(1000, 1);
    append(&mut file, limit, &["first"]);
    fs::remove_file(&path).unwrap();
    append(&mut file, limit, &["second"]);
    assert_eq!(content(&path, "").unwrap(), "second\n");

    let other = dir.path().join("other");
    fs::write(&other, "other\n").unwrap();
    fs::rename(&other, &path).unwrap();
    append(&mut file, limit, &["third"]);
    assert_eq!(content(&path, "").unwrap(), "other\nthird\n");

    fs::write(&path, "").unwrap();
    append(&mut file, limit, &["fourth"]);
    assert_eq!(content(&path, "").unwrap(), "fourth\n");

    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    append(&mut file, limit, &["fifth"]);
    assert_eq!(content(&path, "").unwrap(), "fifth\n");
}

#[test]
fn failures_are_waited_out_and_forgotten_when_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    let limit = limit(1000, 1);
    // A file stands where the directory should be.
    fs::write(dir.path().join("logs"), "").unwrap();
    let at = Time::from_millis;
    let lines = batch(&["a"]);
    let try_at = |file: &mut LogFile, ms| {
        let appended = file.append(&lines, limit, at(ms), false);
        (appended.lines, appended.error.is_some())
    };
    assert_eq!(try_at(&mut file, 1000), (0, true));
    assert_eq!(try_at(&mut file, 1099), (0, false), "the first pause is 100 ms");
    assert_eq!(try_at(&mut file, 1100), (0, true));
    assert_eq!(try_at(&mut file, 1299), (0, false), "the second is twice as long");
    fs::remove_file(dir.path().join("logs")).unwrap();
    assert_eq!(try_at(&mut file, 1299), (0, false));
    assert!(file.is_failing());
    assert_eq!(try_at(&mut file, 1000), (1, false), "a clock set back ends the pause");
    assert!(!file.is_failing());
    assert_eq!(content(&path, "").unwrap(), "a\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_and_no_line_counts_as_written() {
    let dir = tempfile::tempdir().unwrap();
    let (path, mut file) = two(&dir);
    fs::create_dir(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let appended = file.append(&batch(&["a", "b"]), limit(10, 1), Time::from_millis(0), false);
    assert_eq!(appended.lines, 0);
    assert_eq!(appended.error.unwrap().kind(), io::ErrorKind::StorageFull);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever the lines and batches: what is left is the end of what was written, in order; every file keeps the
    /// limit unless one line alone is over it.
    #[test]
    fn rotation_keeps_order_and_limits(
        batches in prop::collection::vec(prop::collection::vec("[a-z]{0,12}", 1..8), 1..12),
        max_bytes in 1u64..40,
        backups in 0u32..4,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut file) = two(&dir);
        let mut all = String::new();
        for lines in &batches {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            append(&mut file, limit(max_bytes, backups), &lines);
            lines.iter().for_each(|line| { all.push_str(line); all.push('\n'); });
        }
        let mut left = String::new();
        for n in (1..=backups).rev() {
            left.push_str(&content(&path, &format!(".{n}")).unwrap_or_default());
        }
        let current = content(&path, "").unwrap();
        left.push_str(&current);
        prop_assert!(all.ends_with(&left));
        prop_assert_eq!(content(&path, &format!(".{}", backups + 1)), None);
        for n in 1..=backups {
            if let Some(old) = content(&path, &format!(".{n}")) {
                prop_assert!(old.len() as u64 <= max_bytes || old.lines().count() == 1);
            }
        }
        prop_assert!(current.len() as u64 <= max_bytes || current.lines().count() == 1);
    }
}
