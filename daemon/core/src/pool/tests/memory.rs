//! What survives a restart, and clocks that are wrong.

use super::super::snapshot::{BlockRecord, CooldownRecord, KeyRecord};
use super::*;
use crate::ledger::Source;
use crate::outcome::BlockReason;
use crate::pool::view::FigureView;
use crate::refresh_plan::Readable;

const STATES: [&str; 6] = ["ready", "warn", "cooling", "dry", "blocked", "half-open"];

fn bench() -> Bench {
    let mut bench = Bench::new(failover(), &STATES);
    bench.left("warn", 10.0);
    bench.meet("cooling", &refused_for(403, Row::QuotaWeek, HOUR));
    let dry = quota("", &[("5h", 0.0, 2 * HOUR)], bench.now);
    bench.read("dry", &dry);
    bench.meet("blocked", &unpaid());
    bench.meet("half-open", &dead());
    bench.recheck("half-open");
    bench
}

fn told(bench: &Bench) -> Vec<String> {
    STATES
        .iter()
        .map(|label| {
            let key = bench.view(label);
            format!(
                "{label} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
                key.state, key.reason, key.until, key.requests, key.errors, key.last_used, key.reading
            )
        })
        .collect()
}

#[test]
fn a_restart_keeps_every_state() {
    let mut bench = bench();
    bench.pool.set_auto(true);
    bench.serve_many(2);
    let (before, view) = (told(&bench), bench.pool.view(bench.now));
    bench.restart();
    assert_eq!(told(&bench), before);
    let after = bench.pool.view(bench.now);
    assert_eq!(
        (after.active, after.mode, after.rotation_index),
        (view.active, Mode::Auto, view.rotation_index)
    );
    assert_eq!(after.last_refresh, view.last_refresh);
}

#[test]
fn a_restart_keeps_what_grows() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    for hours in [1, 2] {
        bench.meet("alpha", &unpaid());
        bench.pass(hours * HOUR);
        bench.restart();
    }
    bench.meet("alpha", &unpaid());
    assert_eq!(bench.left_of("alpha"), Some(4 * HOUR));

    let mut bench = Bench::new(failover(), &["alpha"]);
    for _ in 0..6 {
        bench.meet("alpha", &refused(429, Row::RateLimited));
        bench.pass(HOUR);
    }
    bench.restart();
    bench.meet("alpha", &refused(429, Row::RateLimited));
    assert!(bench.left_of("alpha").unwrap() > 20, "its strikes count on");
}

#[test]
fn cooldowns_end_by_their_time_across_a_restart() {
    let mut bench = bench();
    bench.pass(HOUR);
    bench.restart();
    assert_eq!(bench.state("cooling"), KeyState::Ready);
    assert_eq!(bench.state("dry"), KeyState::Cooling);
    assert_eq!(bench.view("blocked").reason, Some("half_open"));
    bench.left("dry", 80.0);
    assert_eq!(bench.state("dry"), KeyState::Ready, "and is still one that a reading made");
}

#[test]
fn a_quota_refusal_is_known_after_a_restart_whatever_the_poll_says() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    for label in ["alpha", "beta"] {
        bench.read(label, &quota("account", &[("5h", 60.0, 5 * HOUR), ("7d", 80.0, 3 * DAY)], bench.now));
    }
    bench.pass(60);
    bench.meet("alpha", &refused_for(403, Row::QuotaCycle, 2 * HOUR));
    let figures = |bench: &Bench, label| {
        let shown =
            |view: &FigureView| (view.figure.name.clone(), view.figure.source, view.figure.left_percent);
        bench.view(label).figures.iter().map(shown).collect::<Vec<_>>()
    };
    let refused = [("5h".to_owned(), Source::Error, 0.0), ("7d".to_owned(), Source::Poll, 80.0)];
    for restarted in [false, true] {
        if restarted {
            bench.restart();
        }
        for label in ["alpha", "beta"] {
            assert_eq!(figures(&bench, label), refused, "{label}, restarted: {restarted}");
            // So it is read as often as before, and the test comes in time.
            assert!(Readable::of(&bench.view(label)).refused, "{label}, restarted: {restarted}");
        }
    }
    bench.pass(2 * HOUR);
    bench.restart();
    assert!(!Readable::of(&bench.view("alpha")).refused, "it is over");
}

#[test]
fn what_version_1_remembered_goes_to_the_key_with_the_label_once() {
    let record =
        KeyRecord { label: "alpha".into(), requests: 7, last_seen: Some(noon()), ..KeyRecord::default() };
    let snapshot = Snapshot {
        by_label: [("alpha".to_owned(), record.clone()), ("gone".to_owned(), record)].into(),
        ..Snapshot::default()
    };
    let mut pool = Pool::new(failover(), snapshot);
    pool.set_keys(keys(&["alpha"]), noon());
    assert_eq!(pool.view(noon()).keys[0].requests, 7);
    assert_eq!(pool.snapshot(noon()).by_label.len(), 1, "the other waits for its key");
    pool.set_keys(vec![Key { label: "alpha".into(), ..key("replacement") }], noon());
    assert_eq!(pool.view(noon()).keys[0].requests, 0);
    pool.set_keys(keys(&["alpha"]), noon() + secs(31 * DAY));
    assert!(pool.snapshot(noon()).by_label.is_empty(), "but not for ever");
}

/// A pool with one key and this record of it.
fn restored(record: KeyRecord, now: Time) -> Bench {
    let snapshot = Snapshot { keys: [(key("alpha").fingerprint, record)].into(), ..Snapshot::default() };
    let mut pool = Pool::new(failover(), snapshot);
    pool.set_keys(keys(&["alpha"]), now);
    Bench { pool, now }
}

#[test]
fn a_damaged_record_neither_cools_nor_blocks_for_ever() {
    let until = Time::parse("9999-01-01T00:00:00Z").unwrap();
    let cooldown = Some(CooldownRecord { since: None, until, reason: "who knows".into() });
    let record = KeyRecord {
        cooldown: cooldown.clone(),
        reading_cooldown: cooldown,
        strikes: u32::MAX,
        ..KeyRecord::default()
    };
    let mut bench = restored(record, noon());
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    bench.meet("alpha", &refused(429, Row::RateLimited));
    assert!(bench.left_of("alpha").unwrap() <= 300);

    for seconds in [u64::MAX, 3600, 0] {
        let block = BlockRecord {
            until: Some(until),
            reason: BlockReason::Payment,
            seconds: Some(seconds),
            half_open: false,
        };
        let mut bench = restored(KeyRecord { block: Some(block), ..KeyRecord::default() }, noon());
        bench.meet("alpha", &unpaid());
        assert!(bench.left_of("alpha").unwrap() <= DAY);
    }
}

#[test]
fn a_start_with_a_wrong_clock_forgets_nothing() {
    let mut bench = bench();
    let before = told(&bench);
    bench.now = Time::from_millis(0);
    bench.restart();
    assert!(STATES.iter().all(|label| bench.state(label) != KeyState::Cooling));
    bench.now = noon();
    assert_eq!(told(&bench)[2..5], before[2..5]);
}

#[test]
fn a_clock_set_far_back_frees_what_it_would_hold() {
    let mut bench = bench();
    bench.now = Time::parse("2025-01-01T00:00:00Z").unwrap();
    for label in ["cooling", "dry"] {
        assert!(bench.state(label).serves(), "{label}");
    }
    assert_eq!(bench.view("blocked").reason, Some("half_open"));
    bench.meet("cooling", &refused_for(429, Row::RateLimited, 9));
    assert_eq!(bench.left_of("cooling"), Some(9), "and a new cooldown is not taken for the old one");
}

#[test]
fn a_clock_set_back_by_a_day_holds_no_key_for_a_day() {
    let mut bench = bench();
    let before = (bench.left_of("cooling"), bench.left_of("dry"));
    bench.now = Time::from_millis(noon().as_millis() - 1000 * DAY as i64);
    for restarted in [false, true] {
        if restarted {
            bench.restart();
        }
        for label in ["cooling", "dry"] {
            assert!(bench.state(label).serves(), "{label}, restarted: {restarted}");
        }
    }
    bench.now = noon();
    assert_eq!(
        (bench.left_of("cooling"), bench.left_of("dry")),
        before,
        "the clock was wrong only for a moment"
    );
}

#[test]
fn a_block_that_a_clock_ahead_made_holds_no_longer_than_it_is_long() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.pass(DAY);
    bench.meet("alpha", &unpaid());
    bench.now = noon();
    for _ in 0..2 {
        assert_eq!(
            (bench.state("alpha"), bench.view("alpha").reason),
            (KeyState::Blocked, Some("half_open"))
        );
        bench.restart();
    }
    assert!(bench.lease().probe);
    // Set back by no more than a time server may, it holds.
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &unpaid());
    bench.now = Time::from_millis(bench.now.as_millis() - 30_000);
    assert_eq!(bench.view("alpha").reason, Some("payment"));
}

#[test]
fn a_clock_set_back_a_little_keeps_what_stands() {
    let mut bench = bench();
    bench.now = Time::from_millis(noon().as_millis() - 5000);
    assert_eq!((bench.state("cooling"), bench.state("blocked")), (KeyState::Cooling, KeyState::Blocked));
    assert_eq!(bench.view("blocked").reason, Some("payment"));
}
