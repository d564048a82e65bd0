#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use jiff::tz::{TimeZone, offset};

use super::*;
use crate::key::Secret;

fn at(text: &str) -> Hour {
    Hour::of(Time::parse(text).unwrap())
}

fn subject(key: &str, model: &str) -> Subject {
    Subject {
        fingerprint: Some(Fingerprint::of(&Secret::new(key))),
        key: key.into(),
        model: model.into(),
        client: "".into(),
    }
}

fn one(input: u64) -> Sums {
    Sums { requests: 1, errors: 0, tokens: Tokens { input, cached: input / 2, output: 1 } }
}

fn total(history: &History) -> Sums {
    let mut total = Sums::default();
    history.rows().for_each(|(_, _, sums)| total += *sums);
    total
}

fn names(history: &History, by: By, zone: &TimeZone) -> Vec<(String, u64)> {
    let groups = group(history.clone().into_rows(), by, zone);
    groups.into_iter().map(|group| (group.name, group.sums.requests)).collect()
}

fn list(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn an_hour_holds_no_more_models_and_rows_than_its_bounds_and_loses_no_count() {
    let mut history = History::default();
    let hour = at("2026-11-23T12:10:00Z");
    for number in 0..200 {
        history.add(hour, subject("alpha", &format!("model-{number}")), one(10));
    }
    let models: BTreeSet<_> = history.rows().map(|(_, subject, _)| subject.model.clone()).collect();
    assert_eq!(models.len(), MOST_MODELS);
    assert!(models.contains("other") && models.contains("model-0") && !models.contains("model-199"));
    for number in 0..2 * MOST_ROWS {
        history.add(hour, subject(&format!("key-{number}"), "model-0"), one(10));
    }
    assert_eq!(history.rows().count(), MOST_ROWS + 1);
    // A row that is there is counted on, however full the hour is.
    history.add(hour, subject("alpha", "model-0"), one(10));
    let alpha = history.rows().find(|(_, row, _)| **row == subject("alpha", "model-0")).unwrap();
    assert_eq!(alpha.2.requests, 2);
    let sum = total(&history);
    let requests = 200 + 2 * MOST_ROWS as u64 + 1;
    assert_eq!((sum.requests, sum.tokens.input), (requests, 10 * requests));
}

#[test]
fn hours_that_wait_are_bounded() {
    let mut history = History::default();
    for hour in 0..1000 {
        history.add(Hour(hour), subject("alpha", ""), one(1));
    }
    assert_eq!(history.rows().map(|(hour, ..)| hour.0).collect::<Vec<_>>(), (952..1000).collect::<Vec<_>>());
}

#[test]
fn parts_and_wholes() {
    let (mut one_half, mut other_half, mut whole) = Default::default();
    for (text, half) in [
        ("2026-11-22T23:59:59.999Z", 0),
        ("2026-11-23T00:00:00Z", 0),
        ("2026-11-23T00:59:00Z", 1),
        ("2026-11-23T23:00:00Z", 1),
    ] {
        let half: &mut History = if half == 0 { &mut one_half } else { &mut other_half };
        half.add(at(text), subject("alpha", "k2"), one(3));
        History::add(&mut whole, at(text), subject("alpha", "k2"), one(3));
    }
    one_half.add_all(other_half);
    assert_eq!(one_half, whole);
    let days: Vec<i64> = whole.days().into_iter().collect();
    assert_eq!(days.len(), 2);
    assert_eq!(days.iter().map(|day| total(&whole.day(*day)).requests).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn days_and_hours_are_those_of_the_zone() {
    let mut history = History::default();
    for text in ["2026-11-22T20:30:00Z", "2026-11-22T21:30:00Z", "2026-11-25T06:00:00Z"] {
        history.add(at(text), subject("alpha", "k2"), one(3));
    }
    let east = TimeZone::fixed(offset(3));
    let days = list(&[("2026-11-22", 1), ("2026-11-23", 1), ("2026-11-24", 0), ("2026-11-25", 1)]);
    assert_eq!(names(&history, By::Day, &east), days);
    assert_eq!(names(&history, By::Day, &TimeZone::UTC)[0], ("2026-11-22".to_owned(), 2));
    let hours = list(&[("2026-11-22 23:00", 1), ("2026-11-23 00:00", 1), ("2026-11-25 09:00", 1)]);
    assert_eq!(names(&history, By::Hour, &east), hours);
    let start = group(history.into_rows(), By::Day, &east)[1].start.unwrap();
    assert_eq!(start.to_string(), "2026-11-22T21:00:00.000Z");
}

#[test]
fn keys_go_by_their_fingerprint_and_carry_their_last_label() {
    let mut history = History::default();
    let renamed = Subject { key: "renamed".into(), ..subject("alpha", "k2") };
    history.add(Hour(10), renamed, one(1));
    history.add(Hour(9), subject("alpha", "k2"), one(1));
    history.add(Hour(9), subject("beta", "k1"), one(1));
    let none = Subject { fingerprint: None, key: "".into(), model: "".into(), client: "".into() };
    history.add(Hour(9), none, one(1));
    let zone = TimeZone::UTC;
    assert_eq!(names(&history, By::Key, &zone), list(&[("renamed", 2), ("", 1), ("beta", 1)]));
    assert_eq!(names(&history, By::Model, &zone), list(&[("k2", 2), ("", 1), ("k1", 1)]));
}

#[test]
fn an_answer_is_bounded_and_loses_no_count() {
    let rows = (0..5000).map(|n| (Hour(n), subject("alpha", &format!("m{n}")), one(1)));
    let groups = group(rows, By::Model, &TimeZone::UTC);
    assert_eq!(groups.len(), 1000);
    assert_eq!(groups.iter().map(|group| group.sums.requests).sum::<u64>(), 5000);
}
