#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::kimi::quota::Window;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

fn at(seconds: u64) -> Time {
    Time::parse("2026-11-23T12:00:00Z").unwrap() + Duration::from_secs(seconds)
}

fn account() -> AccountId {
    AccountId::of_user("one", "h")
}

/// Name, percent left, reset in seconds after noon.
fn quota(windows: &[(&str, f64, u64)]) -> Quota {
    let window = |&(name, percent_left, resets): &(&str, f64, u64)| Window {
        name: name.into(),
        limit: Some(100.0),
        used: None,
        percent_left,
        resets_at: Some(at(resets)),
        length: Some(Duration::from_secs(if name == "5h" { 5 * HOUR } else { 7 * DAY })),
    };
    Quota { windows: windows.iter().map(window).collect(), ..Quota::default() }
}

fn tokens(input: u64) -> Tokens {
    Tokens { input, cached: 0, output: 0 }
}

fn figure(ledger: &Ledger, name: &str, now: Time) -> Figure {
    ledger.figures(account(), now).find(|figure| figure.name == name).unwrap()
}

/// A ledger that has learnt that 1000 tokens are 1 % of the five hours and 0.2 % of the week, polled last at 1200 s.
fn learnt() -> Ledger {
    let mut ledger = Ledger::default();
    ledger.poll(account(), &quota(&[("5h", 90.0, 4 * HOUR), ("7d", 95.0, 3 * DAY)]), at(0));
    ledger.spend(account(), tokens(20_000), at(600));
    ledger.poll(account(), &quota(&[("5h", 70.0, 4 * HOUR), ("7d", 91.0, 3 * DAY)]), at(1200));
    ledger
}

#[test]
fn a_poll_alone_is_what_it_says() {
    let mut ledger = Ledger::default();
    assert!(ledger.lacks(account()));
    ledger.poll(account(), &quota(&[("5h", 90.0, HOUR)]), at(0));
    ledger.spend(account(), tokens(1_000_000), at(5));
    let known = figure(&ledger, "5h", at(10));
    assert_eq!(
        (known.left_percent, known.source, known.as_of),
        (90.0, Source::Poll, at(0)),
        "no rate, no estimate"
    );
    assert_eq!((known.resets_at, known.burn, known.empty_at), (Some(at(HOUR)), None, None));
}

#[test]
fn a_poll_after_the_reset_that_it_names_is_believed() {
    let mut ledger = Ledger::default();
    ledger.poll(account(), &quota(&[("5h", 0.0, HOUR)]), at(2 * HOUR));
    let known = figure(&ledger, "5h", at(2 * HOUR));
    assert_eq!((known.left_percent, known.source, known.resets_at), (0.0, Source::Poll, None));
}

#[test]
fn tokens_since_the_poll_count_by_the_learnt_rate() {
    let mut ledger = learnt();
    assert_eq!(figure(&ledger, "5h", at(1200)).source, Source::Poll);
    ledger.spend(account(), Tokens { input: 5_000, cached: 4_000, output: 2_000 }, at(1300));
    let (short, week) = (figure(&ledger, "5h", at(1300)), figure(&ledger, "7d", at(1300)));
    assert_eq!((short.source, short.as_of), (Source::Ledger, at(1200)));
    assert!((short.left_percent - 60.0).abs() < 1e-9, "{short:?}");
    assert!((week.left_percent - 89.0).abs() < 1e-9, "{week:?}");
    ledger.poll(account(), &quota(&[("5h", 61.0, 4 * HOUR)]), at(1400));
    assert_eq!(figure(&ledger, "5h", at(1400)).left_percent, 61.0, "a poll corrects");
    assert_eq!(ledger.figures(account(), at(1400)).count(), 1, "what polls do not name any more is gone");
}

#[test]
fn what_others_use_teaches_nothing() {
    let mut ledger = Ledger::default();
    ledger.poll(account(), &quota(&[("5h", 90.0, 4 * HOUR)]), at(0));
    ledger.poll(account(), &quota(&[("5h", 50.0, 4 * HOUR)]), at(600));
    ledger.spend(account(), tokens(50_000), at(700));
    assert_eq!(figure(&ledger, "5h", at(700)).source, Source::Poll);
}

#[test]
fn a_reset_is_believed_but_said_to_be_unread() {
    let mut ledger = learnt();
    ledger.spend(account(), tokens(30_000), at(2000));
    let after = 4 * HOUR + 60;
    let known = figure(&ledger, "5h", at(after));
    assert_eq!((known.left_percent, known.source, known.as_of), (100.0, Source::Reset, at(4 * HOUR)));
    ledger.spend(account(), tokens(10_000), at(after));
    let known = figure(&ledger, "5h", at(after));
    assert!((known.left_percent - 90.0).abs() < 1e-9 && known.source == Source::Ledger, "{known:?}");
}

#[test]
fn a_refusal_beats_a_good_poll_until_its_time_or_a_served_request() {
    let mut ledger = learnt();
    ledger.refused(account(), FullWindow::Week, at(3 * DAY), at(1300));
    ledger.poll(account(), &quota(&[("5h", 100.0, 4 * HOUR), ("7d", 100.0, 3 * DAY)]), at(1400));
    let week = figure(&ledger, "7d", at(1500));
    assert_eq!((week.left_percent, week.source, week.as_of), (0.0, Source::Error, at(1300)));
    assert_eq!(figure(&ledger, "5h", at(1500)).left_percent, 100.0);
    assert_ne!(figure(&ledger, "7d", at(3 * DAY)).source, Source::Error);
    ledger.forgive(account());
    assert_eq!(figure(&ledger, "7d", at(1500)).left_percent, 100.0);
}

#[test]
fn a_refusal_that_a_clock_ahead_heard_is_none() {
    let mut ledger = learnt();
    ledger.refused(account(), FullWindow::Week, at(2 * DAY), at(DAY));
    assert_eq!(figure(&ledger, "7d", at(DAY)).source, Source::Error);
    assert_ne!(figure(&ledger, "7d", at(1300)).source, Source::Error);
    assert_eq!(figure(&ledger, "7d", at(DAY - 30)).source, Source::Error, "a time server's correction");
}

#[test]
fn a_refusal_without_a_window_means_the_worst_one() {
    let mut ledger = learnt();
    ledger.refused(account(), FullWindow::Unknown, at(2000), at(1300));
    assert_eq!(figure(&ledger, "5h", at(1300)).source, Source::Error);
    assert_eq!(figure(&ledger, "7d", at(1300)).source, Source::Poll);
}

#[test]
fn the_end_is_estimated_from_the_traffic_of_the_last_half_hour() {
    let mut ledger = learnt();
    let known = figure(&ledger, "5h", at(1200));
    let empty = known.empty_at.unwrap();
    assert_eq!(empty, at(1200) + Duration::from_secs_f64(70.0 / known.burn.unwrap() * 3600.0));
    assert_eq!(figure(&ledger, "7d", at(1200)).empty_at, Some(ledger_end(&ledger, "7d", 1200)));
    // 70 % of the five hours is less than 91 % of the week: the account ends with its first window.
    assert_eq!(ledger.empty_at([account()].into_iter(), at(1200)), Some(empty));
    assert_eq!(ledger.empty_at([account(), AccountId::of_user("two", "h")].into_iter(), at(1200)), None);
    assert_eq!(figure(&ledger, "5h", at(5 * HOUR)).empty_at, None, "nobody uses it any more");
    ledger.spend(account(), tokens(1), at(1201));
    let slow = figure(&ledger, "5h", at(3 * HOUR));
    assert_eq!(slow.empty_at, None, "it resets before: {slow:?}");
}

fn ledger_end(ledger: &Ledger, name: &str, seconds: u64) -> Time {
    let known = figure(ledger, name, at(seconds));
    at(seconds) + Duration::from_secs_f64(known.left_percent / known.burn.unwrap() * 3600.0)
}

#[test]
fn a_key_brings_its_notes_into_its_account() {
    let key = AccountId::of_user("as if a key", "h");
    let mut ledger = Ledger::default();
    ledger.spend(key, tokens(1000), at(0));
    ledger.join(key, account());
    assert!(ledger.burn(at(0)) > 0.0 && ledger.figures(key, at(0)).count() == 0);
    ledger.retain(|_| false);
    assert_eq!(ledger.burn(at(0)), 0.0);
}

#[test]
fn policies_are_told_how_fast_a_window_can_go() {
    let ledger = learnt();
    let windows = ledger.windows(account(), 10_000.0, false, at(1200));
    let [short, week] = windows.as_slice() else { panic!("{windows:?}") };
    assert!((short.burn.unwrap() - 10.0).abs() < 1e-9 && short.pace.is_none());
    // 20 % of the five hours an hour is 4 % of the week.
    assert!((week.burn.unwrap() - 2.0).abs() < 1e-9 && (week.pace.unwrap() - 4.0).abs() < 1e-9);
    assert!((ledger.size(account()).unwrap() - 500_000.0).abs() < 1e-3);
}

#[derive(Debug, Clone)]
enum Event {
    Poll(f64, u64),
    Spend(u64),
    Refused(u64),
    Forgive,
    Pass(u64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (prop_oneof![Just(0.0), 0.0..100.0, Just(100.0)], 0..2 * DAY)
            .prop_map(|(left, reset)| Event::Poll(left, reset)),
        prop_oneof![0..100_000u64, any::<u64>()].prop_map(Event::Spend),
        (0..40 * DAY).prop_map(Event::Refused),
        Just(Event::Forgive),
        (0..DAY).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn the_truth_is_never_better_than_the_worst_source(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut ledger = Ledger::default();
        let mut seconds = 0;
        let mut polled: Option<(f64, u64)> = None;
        let mut refused_until = 0;
        for event in events {
            match event {
                Event::Poll(left, reset) => {
                    polled = Some((left, seconds + reset));
                    ledger.poll(account(), &quota(&[("5h", left, seconds + reset)]), at(seconds));
                }
                Event::Spend(input) => ledger.spend(account(), tokens(input), at(seconds)),
                Event::Refused(length) => {
                    if polled.is_some() {
                        refused_until = refused_until.max(seconds + length.min(31 * DAY));
                    }
                    ledger.refused(account(), FullWindow::Unknown, at(seconds + length.min(31 * DAY)), at(seconds));
                }
                Event::Forgive => {
                    refused_until = 0;
                    ledger.forgive(account());
                }
                Event::Pass(length) => seconds += length,
            }
            if let Some((left, reset)) = polled {
                let known = figure(&ledger, "5h", at(seconds));
                prop_assert!((0.0..=100.0).contains(&known.left_percent), "{known:?}");
                prop_assert!(seconds >= reset || known.left_percent <= left, "{known:?}");
                prop_assert!(seconds >= refused_until || known.left_percent == 0.0, "{known:?}");
                prop_assert!(known.as_of <= at(seconds));
                prop_assert!(known.empty_at.is_none_or(|empty| empty >= at(seconds)));
            }
        }
    }
}
