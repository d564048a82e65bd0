#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use jiff::tz::TimeZone;
use kmid_core::key::{Fingerprint, Secret};
use kmid_core::kimi::usage::Tokens;

use super::*;

const LONG: Duration = Duration::from_secs(86_400);

fn time(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn subject(key: &str, model: &str) -> Subject {
    Subject {
        fingerprint: Some(Fingerprint::of(&Secret::new(key))),
        key: key.into(),
        model: model.into(),
        client: "".into(),
    }
}

const ONE: Sums = Sums { requests: 1, errors: 0, tokens: Tokens { input: 10, cached: 5, output: 2 } };

fn count(usage: &Usage, at: &str) {
    usage.count(time(at), subject("alpha", "k2"), ONE);
}

fn total(usage: &Usage, from: &str, now: &str) -> u64 {
    let groups = usage.read(time(from), time(now), By::Day, &TimeZone::UTC).unwrap();
    groups.iter().map(|group| group.sums.requests).sum()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_counted_is_there_after_the_end_and_added_to() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("usage");
    let now = clock::now().to_string();
    for run in 1..=3 {
        let usage = Usage::start(folder.clone(), LONG).unwrap();
        count(&usage, &now);
        usage.close();
        drop(usage);
        let again = Usage::start(folder.clone(), LONG).unwrap();
        assert_eq!(total(&again, &now, &now), run);
    }
    let file = folder.join(&names(&folder)[0]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(r#"{"schema_version":1,"rows":[{"hour":"#), "{text}");
}

#[test]
fn nobody_has_to_ask_for_the_write() {
    let dir = tempfile::tempdir().unwrap();
    let usage = Usage::start(dir.path().join("usage"), Duration::ZERO).unwrap();
    count(&usage, &clock::now().to_string());
    let began = std::time::Instant::now();
    while !dir.path().join("usage").exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "it was not written");
        std::thread::yield_now();
    }
}

#[test]
fn a_reader_sees_every_count_once() {
    let dir = tempfile::tempdir().unwrap();
    let usage = Usage::start(dir.path().join("usage"), LONG).unwrap();
    let now = "2026-11-23T12:30:00Z";
    for text in ["2026-11-20T23:59:00Z", "2026-11-23T11:00:00Z", now] {
        count(&usage, text);
    }
    assert_eq!(total(&usage, "2026-11-01T00:00:00Z", now), 3);
    count(&usage, now);
    assert_eq!(total(&usage, "2026-11-01T00:00:00Z", now), 4);
    // The hour of `from` counts whole; what comes after `now` does not count.
    assert_eq!(total(&usage, "2026-11-23T11:59:00Z", now), 3);
    assert_eq!(total(&usage, "2026-11-01T00:00:00Z", "2026-11-23T11:59:00Z"), 2);
}

#[test]
fn what_cannot_be_written_is_kept_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("usage");
    fs::write(&folder, "a file where the folder should be").unwrap();
    let usage = Usage::start(folder.clone(), LONG).unwrap();
    let now = "2026-11-23T12:30:00Z";
    count(&usage, now);
    assert!(usage.read(time(now), time(now), By::Day, &TimeZone::UTC).is_err());
    let issues = usage.issues();
    assert!(issues[0].error && issues[0].message.contains("kept in memory"), "{issues:?}");
    fs::remove_file(&folder).unwrap();
    assert_eq!(total(&usage, now, now), 1);
    assert!(usage.issues().is_empty());
    assert_eq!(names(&folder), ["2026-11-23.json"]);
}

#[test]
fn ninety_days_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("usage");
    let usage = Usage::start(folder.clone(), LONG).unwrap();
    let today = Hour::of(time("2026-11-23T12:00:00Z"));
    for ago in (0..100).rev() {
        let at = Hour(today.0 - 24 * ago).start();
        usage.count(at, subject("alpha", "k2"), ONE);
        usage.read(at, at, By::Day, &TimeZone::UTC).unwrap();
    }
    fs::write(folder.join("notes.txt"), "not ours").unwrap();
    let names = names(&folder);
    assert_eq!((names.len(), names[0].as_str()), (91, "2026-08-26.json"));
    assert_eq!(names[90], "notes.txt");
    assert_eq!(total(&usage, "2026-01-01T00:00:00Z", "2026-11-23T12:00:00Z"), 90);
}

#[test]
fn a_clock_that_is_far_ahead_for_a_while_costs_no_day() {
    const TODAY: i64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::new(dir.path().join("usage"));
    let mut use_on = |day: i64| {
        let mut sums = History::default();
        sums.add(Hour(24 * day), subject("alpha", "k2"), ONE);
        assert!(files.add(&sums, Hour(24 * day).start()).1.is_ok());
        files.days(0..=i64::from(i32::MAX)).unwrap().into_iter().collect::<Vec<i64>>()
    };
    (TODAY - 50..=TODAY).for_each(|day| drop(use_on(day)));
    for ahead in [91, 92, 1000, 0, 1] {
        let days = use_on(TODAY + ahead);
        assert!((TODAY - 50..=TODAY).all(|day| days.contains(&day)), "{ahead} days ahead: {days:?}");
    }
    // The days of the wrong clock take the place of none.
    let days = (TODAY + 2..TODAY + 90).map(&mut use_on).last().unwrap();
    let expected: Vec<i64> = (TODAY..TODAY + 90).chain([91, 92, 1000].map(|ahead| TODAY + ahead)).collect();
    assert_eq!(days, expected);
}

#[test]
fn the_oldest_go_when_all_together_are_too_large() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("usage");
    let mut files = Files::bounded(folder.clone(), 2_000);
    for day in 0..20 {
        let at = Hour(24 * (20_000 + day));
        let mut sums = History::default();
        for model in ["a", "b", "c"] {
            sums.add(at, subject("alpha", model), ONE);
        }
        let (unwritten, result) = files.add(&sums, at.start());
        assert!(unwritten.is_empty() && result.is_ok());
        let bytes: u64 = names(&folder).iter().map(|n| fs::metadata(folder.join(n)).unwrap().len()).sum();
        assert!(bytes <= 2_000, "{bytes}");
    }
    let kept: Vec<i64> = files.days(0..=30_000).unwrap().into_iter().collect();
    assert!(kept.len() > 1 && kept.last() == Some(&20_019), "{kept:?}");
}

#[test]
fn an_unreadable_day_is_set_aside_and_the_others_are_read() {
    for content in
        ["", "{", "null", r#"{"schema_version":2,"rows":[]}"#, r#"{"schema_version":1,"rows":[{}]}"#]
    {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("usage");
        let usage = Usage::start(folder.clone(), LONG).unwrap();
        count(&usage, "2026-11-22T12:00:00Z");
        let now = "2026-11-23T12:00:00Z";
        assert_eq!(total(&usage, "2026-11-01T00:00:00Z", now), 1);
        fs::write(folder.join("2026-11-23.json"), content).unwrap();
        count(&usage, now);
        assert_eq!(total(&usage, "2026-11-01T00:00:00Z", now), 2, "{content}");
        let names = names(&folder);
        assert_eq!(names.len(), 3, "{names:?}");
        let aside = names.iter().find(|name| name.contains(".corrupt-")).unwrap();
        assert_eq!(fs::read_to_string(folder.join(aside)).unwrap(), content);
        assert!(usage.issues()[0].message.contains("set aside"), "{:?}", usage.issues());
    }
}
