//! KMI_ROTATE_POLICY in the pool, quota truth in the view, and quota refusals put to the test.

use super::*;
use crate::kimi::usage::Tokens;
use crate::ledger::Source;
use crate::policy::Policy;

fn drain() -> Rules {
    Rules { policy: Policy::Drain, ..Rules::default() }
}

fn read(bench: &mut Bench, label: &str, five_hours: (f64, u64), week: (f64, u64)) {
    let mut quota = quota(label, &[("5h", five_hours.0, five_hours.1), ("7d", week.0, week.1)], bench.now);
    quota.windows[0].length = Some(secs(5 * HOUR));
    quota.windows[1].length = Some(secs(7 * DAY));
    bench.read(label, &quota);
}

fn with_priority(bench: &mut Bench, priorities: &[(&str, i32)]) {
    let keys = priorities.iter().map(|(label, priority)| Key { priority: *priority, ..key(label) });
    bench.pool.set_keys(keys.collect(), bench.now);
}

#[test]
fn drain_serves_what_expires_first_and_most_left_what_is_fullest() {
    for (policy, expected) in [(Policy::Drain, "beta beta"), (Policy::MostLeft, "alpha alpha")] {
        let mut bench = Bench::auto(Rules { policy, ..Rules::default() }, &["alpha", "beta"]);
        read(&mut bench, "alpha", (90.0, HOUR), (90.0, 6 * DAY));
        read(&mut bench, "beta", (90.0, HOUR), (50.0, DAY));
        let plan = bench.pool.plan(bench.now);
        let first = &plan.candidates[0].label;
        assert_eq!((plan.able(), format!("{first} {first}")), (2, expected.to_owned()));
        assert_eq!(bench.serve_many(2), expected, "{}", policy.name());
    }
}

#[test]
fn a_lower_tier_serves_only_when_no_higher_one_can() {
    for policy in Policy::ALL {
        let mut bench = Bench::auto(Rules { policy, ..Rules::default() }, &["a", "b", "c"]);
        with_priority(&mut bench, &[("a", 5), ("b", 5), ("c", 0)]);
        read(&mut bench, "c", (100.0, HOUR), (100.0, HOUR));
        for _ in 0..4 {
            assert_ne!(&*bench.serve(), "c", "{}", policy.name());
        }
        for label in ["a", "b"] {
            let lease = bench.lease();
            assert_ne!(&*lease.key.label, "c", "{label}");
            bench.end(lease, &refused_for(429, Row::TierLimit, 60));
        }
        assert_eq!(&*bench.serve(), "c", "{}", policy.name());
    }
}

#[test]
fn failover_goes_to_the_policys_choice_and_by_default_to_the_next() {
    for (policy, expected) in [(Policy::RoundRobin, "beta"), (Policy::Drain, "gamma")] {
        let mut bench = Bench::new(Rules { policy, ..failover() }, &["alpha", "beta", "gamma"]);
        read(&mut bench, "beta", (90.0, HOUR), (90.0, 6 * DAY));
        read(&mut bench, "gamma", (90.0, HOUR), (90.0, DAY));
        assert_eq!(&*bench.serve(), "alpha");
        bench.meet("alpha", &dead());
        assert_eq!(bench.serve_many(2), format!("{expected} {expected}"));
        assert_eq!(&*bench.active(), expected);
    }
}

#[test]
fn an_account_that_is_full_for_a_moment_stays_the_one_in_use() {
    let mut bench = Bench::auto(drain(), &["alpha", "beta"]);
    // An hour apart: too little for a switch.
    read(&mut bench, "beta", (90.0, 5 * HOUR), (90.0, 25 * HOUR));
    read(&mut bench, "alpha", (90.0, 5 * HOUR), (90.0, DAY));
    let alpha = bench.view("alpha").reading.unwrap().0;
    bench.read("alpha", &Quota { parallel_limit: Some(1), ..alpha });
    let session = |number| Some(SessionId([number; 8]));
    let lease = |bench: &mut Bench, number, tried: &[Fingerprint]| {
        bench.pool.lease(&Demand { tried, session: session(number), ..Demand::default() }, bench.now).unwrap()
    };
    let busy = lease(&mut bench, 1, &[]);
    assert_eq!(&*busy.key.label, "alpha");
    let lent = lease(&mut bench, 1, &[]);
    let placed = lease(&mut bench, 2, &[]);
    let retried = lease(&mut bench, 1, &[key("alpha").fingerprint]);
    assert!([&lent, &placed, &retried].iter().all(|lease| &*lease.key.label == "beta"));
    for lease in [busy, lent, placed, retried] {
        bench.end(lease, &Outcome::Completed);
    }
    let next = lease(&mut bench, 3, &[]);
    assert_eq!(&*next.key.label, "alpha", "it expires first");
    // One that is out gives the place up.
    bench.end(next, &refused_for(403, Row::QuotaWeek, HOUR));
    assert_eq!(&*lease(&mut bench, 3, &[]).key.label, "beta");
    bench.pass(HOUR);
    assert_eq!(&*lease(&mut bench, 4, &[]).key.label, "beta");
}

#[test]
fn drain_leaves_an_account_that_refuses() {
    let mut bench = Bench::auto(drain(), &["alpha", "beta"]);
    read(&mut bench, "alpha", (90.0, HOUR), (90.0, DAY));
    read(&mut bench, "beta", (90.0, HOUR), (90.0, 6 * DAY));
    let lease = bench.lease_of("alpha");
    bench.end(lease, &refused(403, Row::QuotaWeek));
    assert_eq!(bench.serve_many(2), "beta beta");
    let week = bench.view("alpha").figures.remove(1);
    assert_eq!((week.figure.left_percent, week.figure.source, week.stale), (0.0, Source::Error, false));
}

#[test]
fn tokens_are_taken_off_every_key_of_the_account() {
    let mut bench = Bench::auto(drain(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    let tokens = Tokens { input: 10_000, cached: 0, output: 0 };
    bench.pool.record_tokens(key("alpha").fingerprint, tokens, bench.now);
    bench.pass(600);
    let reading = quota("account", &[("5h", 80.0, 4 * HOUR), ("7d", 88.0, 3 * DAY)], bench.now);
    bench.read("beta", &reading);
    bench.pool.record_tokens(key("beta").fingerprint, tokens, bench.now);
    for label in ["alpha", "beta"] {
        let figures = bench.view(label).figures;
        assert_eq!(
            (figures[0].figure.left_percent.round(), figures[0].figure.source),
            (70.0, Source::Ledger)
        );
    }
    assert!(bench.pool.view(bench.now).empty_at.is_some());
}

#[test]
fn old_figures_are_stale() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    read(&mut bench, "alpha", (90.0, HOUR), (90.0, DAY));
    assert!(!bench.view("alpha").figures[0].stale);
    bench.pass(1201);
    assert!(bench.view("alpha").figures[0].stale);
    bench.restart();
    assert!(bench.view("alpha").figures[0].stale, "a restart is no reading");
}

/// A week refused at noon, until the reset in three days.
fn refused_week() -> Bench {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    read(&mut bench, "alpha", (90.0, HOUR), (100.0, 3 * DAY));
    read(&mut bench, "beta", (90.0, HOUR), (100.0, 3 * DAY));
    bench.meet("alpha", &refused(403, Row::QuotaWeek));
    bench
}

fn probes(bench: &mut Bench) -> bool {
    let view = bench.view("alpha");
    assert_eq!(view.state, KeyState::Cooling);
    view.reason == Some("half_open")
}

#[test]
fn a_quota_refusal_that_a_later_reading_contradicts_is_tested_by_one_request() {
    let mut bench = refused_week();
    bench.pass(10 * MINUTE);
    read(&mut bench, "alpha", (90.0, HOUR), (100.0, 3 * DAY));
    assert!(!probes(&mut bench), "a good poll beside the refusal says nothing yet");
    bench.pass(10 * MINUTE);
    assert!(!probes(&mut bench), "time alone says nothing either");
    read(&mut bench, "alpha", (90.0, HOUR), (100.0, 3 * DAY));
    assert!(probes(&mut bench));

    bench.pool.rotate(Some("alpha"), bench.now).unwrap();
    let probe = bench.lease_of("alpha");
    assert!(probe.probe);
    assert_eq!(&*bench.serve(), "beta", "one at a time");
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    assert!(bench.view("alpha").figures.iter().all(|view| view.figure.source != Source::Error));
}

#[test]
fn a_test_that_fails_puts_the_next_one_off_twice_as_long() {
    let mut bench = refused_week();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let began = bench.now;
        while !probes(&mut bench) {
            bench.pass(5 * MINUTE);
            read(&mut bench, "alpha", (90.0, HOUR), (100.0, 3 * DAY));
        }
        waits.push(bench.now.since(began).as_secs() / MINUTE);
        bench.pool.rotate(Some("alpha"), bench.now).unwrap();
        let probe = bench.lease_of("alpha");
        bench.end(probe, &refused(403, Row::QuotaWeek));
    }
    assert_eq!(waits, [15, 30, 60, 120, 240, 360, 360, 360]);
}

#[test]
fn a_reading_without_room_tests_nothing_and_a_restart_forgets_nothing() {
    let mut bench = refused_week();
    bench.pass(HOUR);
    read(&mut bench, "alpha", (90.0, HOUR), (4.0, 3 * DAY));
    assert!(!probes(&mut bench));
    read(&mut bench, "alpha", (90.0, HOUR), (40.0, 3 * DAY));
    bench.restart();
    assert!(probes(&mut bench));
}

#[test]
fn quota_that_is_bought_after_a_refusal_is_tested_by_one_request() {
    let mut bench = refused_week();
    let charged = |bench: &Bench| Quota {
        extra_left: true,
        ..quota("alpha", &[("5h", 90.0, HOUR), ("7d", 0.0, 3 * DAY)], bench.now)
    };
    bench.pass(10 * MINUTE);
    let reading = charged(&bench);
    bench.read("alpha", &reading);
    assert!(!probes(&mut bench), "the wallet may have been full beside the refusal");
    bench.pass(10 * MINUTE);
    let reading = charged(&bench);
    bench.read("alpha", &reading);
    assert!(probes(&mut bench));
    bench.pool.rotate(Some("alpha"), bench.now).unwrap();
    let probe = bench.lease_of("alpha");
    assert!(probe.probe);
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.state("alpha"), KeyState::Warn, "the window is empty all the same");
}

#[test]
fn a_test_counts_for_all_keys_of_the_account() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.meet("alpha", &refused(403, Row::QuotaWeek));
    assert_eq!(bench.state("beta"), KeyState::Cooling);
    bench.pass(20 * MINUTE);
    bench.one_account(&["alpha"]);
    let probe = bench.lease();
    assert!(probe.probe);
    assert!(bench.refusal().keys.iter().all(|key| key.obstacle == Obstacle::Probing));
    bench.end(probe, &Outcome::Completed);
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Ready, KeyState::Ready));
}
