//! Manual, failover, auto; strict mode; limits a key.

use super::*;
use crate::rate::Limit;
use crate::said::Said;

#[test]
fn the_first_active_key_is_the_first_in_pool_order() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    assert_eq!(&*bench.active(), "alpha");
    assert_eq!(bench.serve_many(3), "alpha alpha alpha");
}

#[test]
fn a_pool_without_keys_refuses() {
    let mut bench = Bench::new(failover(), &[]);
    let refusal = bench.refusal();
    assert_eq!((refusal.total, refusal.keys.len(), refusal.needs_a_person()), (0, 0, true));
}

#[test]
fn manual_serves_the_active_key_or_refuses_naming_it() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    assert_eq!(bench.pool.mode(), Mode::Manual);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 30));

    let refusal = bench.refusal();
    assert_eq!((refusal.mode, refusal.total), (Mode::Manual, 2));
    assert_eq!(refusal.keys.iter().map(|key| &*key.label).collect::<Vec<_>>(), ["alpha"]);
    assert_eq!(refusal.keys[0].state, KeyState::Cooling);
    assert_eq!(refusal.soonest().unwrap().1, bench.now + secs(30));

    bench.pool.rotate(Some("beta"), bench.now).unwrap();
    assert_eq!(bench.serve_many(2), "beta beta");
}

#[test]
fn manual_has_no_second_key_for_a_request() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    let refusal = bench
        .pool
        .lease(&Demand { tried: &[key("alpha").fingerprint], ..Demand::default() }, bench.now)
        .unwrap_err();
    assert_eq!(refusal.keys[0].obstacle, Obstacle::Tried);
    assert!(refusal.has_tried("alpha") && !refusal.has_tried("beta"));
}

#[test]
fn auto_is_refused_when_switching_is_not_allowed() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    assert!(!bench.pool.set_auto(true));
    assert!(bench.pool.set_auto(false));

    // turned on while it was allowed, and forbidden since
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta"]);
    bench.pool.set_rules(Rules::default());
    assert_eq!(bench.pool.mode(), Mode::Manual);
    assert!(!bench.pool.view(bench.now).auto);
    assert_eq!(bench.serve_many(3), "alpha alpha alpha");
}

#[test]
fn failover_stays_until_the_active_key_cannot_serve_then_the_next_that_can() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    assert_eq!(bench.pool.mode(), Mode::Failover);
    bench.left("alpha", 5.0);
    assert_eq!(bench.serve_many(3), "alpha alpha alpha");

    bench.meet("beta", &dead());
    bench.meet("alpha", &refused_for(403, Row::QuotaWeek, HOUR));
    assert_eq!(bench.serve_many(2), "gamma gamma");
    assert_eq!(&*bench.active(), "gamma");

    bench.pass(2 * HOUR);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    assert_eq!(bench.serve_many(2), "gamma gamma");
    bench.meet("gamma", &refused_for(429, Row::RateLimited, 10));
    assert_eq!(bench.serve_many(2), "alpha alpha");
}

#[test]
fn failover_lends_a_request_when_only_this_request_tried_the_active_key() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    let lease = bench
        .pool
        .lease(&Demand { tried: &[key("alpha").fingerprint], ..Demand::default() }, bench.now)
        .unwrap();
    assert_eq!(&*lease.key.label, "beta");
    assert_eq!(&*bench.active(), "alpha");
}

#[test]
fn an_upstreams_or_clients_failure_moves_no_active_key() {
    let outcomes = [
        BROKE,
        Outcome::ClientLeft,
        refused(503, Row::UpstreamError),
        refused(429, Row::Overloaded),
        refused(403, Row::ClientRefused),
        refused(400, Row::InvalidRequest),
        refused(401, Row::BadModel),
        refused(404, Row::ModelNotFound),
        refused(403, Row::ConcurrentLimit),
        refused(418, Row::Unknown),
    ];
    for outcome in outcomes {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        bench.meet("alpha", &outcome);
        assert_eq!((&*bench.serve(), bench.state("alpha")), ("alpha", KeyState::Ready), "{outcome:?}");
    }
}

#[test]
fn auto_takes_the_ready_keys_in_turn() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma"]);
    assert_eq!(bench.pool.mode(), Mode::Auto);
    assert_eq!(bench.serve_many(5), "alpha beta gamma alpha beta");
    let lease = bench.lease_of("gamma");
    bench.end(lease, &dead());
    assert_eq!(bench.serve_many(4), "alpha beta alpha beta");
}

#[test]
fn auto_leaves_out_keys_that_the_request_tried() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma"]);
    let tried = [key("alpha").fingerprint, key("beta").fingerprint];
    assert_eq!(
        &*bench.pool.lease(&Demand { tried: &tried, ..Demand::default() }, bench.now).unwrap().key.label,
        "gamma"
    );
}

#[test]
fn auto_uses_warn_keys_only_when_no_ready_one_can_serve() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma"]);
    bench.left("beta", 10.0);
    assert_eq!(bench.serve_many(4), "alpha gamma alpha gamma");
    for label in ["alpha", "gamma"] {
        let lease = bench.lease_of(label);
        bench.end(lease, &refused_for(403, Row::QuotaCycle, 60));
    }
    assert_eq!(bench.serve_many(2), "beta beta");
}

#[test]
fn auto_includes_warn_keys_when_told_to() {
    let rules = Rules { include_warn: true, ..Rules::default() };
    let mut bench = Bench::auto(rules, &["alpha", "beta"]);
    bench.left("beta", 10.0);
    assert_eq!(bench.serve_many(4), "alpha beta alpha beta");
}

#[test]
fn a_half_open_key_has_its_turn_once_at_a_time() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma"]);
    let lease = bench.lease_of("alpha");
    bench.end(lease, &unpaid());
    bench.pass(HOUR);
    assert_eq!(bench.serve_many(2), "beta gamma");
    let probe = bench.lease_of("alpha");
    assert!(probe.probe);
    assert_eq!(bench.serve_many(4), "beta gamma beta gamma");
    bench.end(probe, &Outcome::Completed);
    assert_eq!(bench.serve_many(3), "alpha beta gamma");
}

#[test]
fn strict_mode_wants_a_good_reading() {
    let strict = Rules { require_reading: true, fail_open: false, ..failover() };
    let rules = Rules { reading_max_age: Some(secs(1800)), ..strict };
    let mut bench = Bench::new(rules, &["alpha", "beta"]);
    let refusal = bench.refusal();
    assert!(refusal.keys.iter().all(|key| key.obstacle == Obstacle::NoReading));
    assert!(!refusal.needs_a_person());

    bench.left("beta", 50.0);
    assert_eq!(&*bench.serve(), "beta");
    bench.pool.record_quota_error(key("beta").fingerprint, &Said::plain("timeout"));
    bench.pass(1800);
    assert_eq!(&*bench.serve(), "beta", "a failed refresh keeps the last reading");
    bench.pass(1);
    assert_eq!(bench.refusal().keys[1].obstacle, Obstacle::NoReading, "an old reading is not good");
}

#[test]
fn strict_mode_fails_open_until_the_first_reading_exists() {
    let rules = Rules { require_reading: true, fail_open: true, ..failover() };
    let mut bench = Bench::new(rules, &["alpha", "beta"]);
    assert_eq!(&*bench.serve(), "alpha");
    bench.left("beta", 50.0);
    assert_eq!(&*bench.serve(), "beta");
}

#[test]
fn at_its_limit_a_key_lends_the_request_out_and_stays_active() {
    let limit_per_key = Limit { per_second: Some(2), per_minute: None };
    let mut bench = Bench::new(Rules { limit_per_key, ..failover() }, &["alpha", "beta"]);
    assert_eq!(bench.serve_many(4), "alpha alpha beta beta");
    assert_eq!(&*bench.active(), "alpha");
    let refusal = bench.refusal();
    assert!(refusal.keys.iter().all(|key| key.obstacle == Obstacle::RateLimited));
    assert_eq!(refusal.soonest().unwrap().1, bench.now + secs(1));
    bench.pass(1);
    assert_eq!(&*bench.serve(), "alpha");
}

#[test]
fn at_its_limit_the_active_key_refuses_in_manual_mode() {
    let limit_per_key = Limit { per_second: None, per_minute: Some(1) };
    let mut bench = Bench::new(Rules { limit_per_key, ..Rules::default() }, &["alpha", "beta"]);
    bench.serve();
    let refusal = bench.refusal();
    assert_eq!((refusal.keys.len(), refusal.keys[0].until), (1, Some(bench.now + secs(60))));
}

#[test]
fn the_limit_over_all_counts_what_it_lets_through() {
    let limit = Limit { per_second: Some(2), per_minute: None };
    let mut bench = Bench::new(Rules { limit, ..failover() }, &["alpha"]);
    assert_eq!((bench.pool.admit(bench.now), bench.pool.admit(bench.now)), (None, None));
    for _ in 0..3 {
        assert_eq!(bench.pool.admit(bench.now), Some(bench.now + secs(1)));
    }
    bench.pass(1);
    assert_eq!(bench.pool.admit(bench.now), None);
}
