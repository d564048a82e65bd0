//! Accounts that are taken up step by step.

use super::*;

/// How many more attempts the pool grants at this moment.
fn grants(bench: &mut Bench) -> Vec<Lease> {
    std::iter::from_fn(|| bench.try_lease().ok()).take(100).collect()
}

fn pass_millis(bench: &mut Bench, millis: u64) {
    bench.now = bench.now + Duration::from_millis(millis);
}

/// Steps of a quarter second from one attempt to the cap of 20, and no step held back for long.
fn ramps(bench: &mut Bench, label: &str) {
    let mut leases = grants(bench);
    assert_eq!(leases.len(), 1);
    for most in 2..20 {
        pass_millis(bench, 249);
        assert!(grants(bench).is_empty());
        let refusal = bench.refusal();
        let refused = refusal.keys.iter().find(|key| &*key.label == label).unwrap();
        assert_eq!(refused.obstacle, Obstacle::Ramping);
        assert_eq!(refused.until, Some(bench.now + Duration::from_millis(1)));
        assert_eq!(bench.pool.next_change(bench.now), refused.until);
        assert!(refusal.may_end_by(bench.now));
        pass_millis(bench, 1);
        assert_eq!(bench.view(label).ramp, Some(most));
        leases.extend(grants(bench));
        assert_eq!(leases.len(), most as usize);
    }
    pass_millis(bench, 250);
    assert_eq!(bench.view(label).ramp, None);
    leases.extend(grants(bench));
    assert_eq!((leases.len(), bench.refusal().keys[0].obstacle), (20, Obstacle::AtCap));
    for lease in leases {
        bench.end(lease, &Outcome::Completed);
    }
    assert_eq!(grants(bench).len(), 20, "it is over");
}

#[test]
fn after_a_cooldown() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 30));
    // It begins with the first attempt, however long that takes.
    bench.pass(HOUR);
    ramps(&mut bench, "alpha");
}

#[test]
fn after_a_dry_window_has_reset_also_across_a_restart() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.left("alpha", 0.0);
    bench.restart();
    bench.pass(HOUR);
    ramps(&mut bench, "alpha");
}

#[test]
fn after_a_persons_switch_but_not_to_the_same_account() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta", "gamma"]);
    bench.one_account(&["alpha", "beta"]);
    bench.pool.rotate(Some("beta"), bench.now).unwrap();
    let leases = grants(&mut bench);
    assert_eq!(leases.len(), 20, "the account was in use before");
    bench.pool.rotate(Some("gamma"), bench.now).unwrap();
    ramps(&mut bench, "gamma");
}

#[test]
fn after_a_failover() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &refused_for(403, Row::QuotaWeek, HOUR));
    let first = bench.lease_of("beta");
    assert!(bench.try_lease().is_err(), "one at first");
    pass_millis(&mut bench, 500);
    let more = grants(&mut bench);
    assert!(more.iter().all(|lease| &*lease.key.label == "beta"));
    assert_eq!(more.len(), 2);
    bench.end(first, &Outcome::Completed);
}

#[test]
fn all_keys_of_the_account_share_it() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    let lease = bench.lease_of("alpha");
    bench.end(lease, &refused_for(429, Row::RateLimited, 1));
    bench.pass(1);
    let leases = grants(&mut bench);
    assert_eq!(leases.len(), 1);
    pass_millis(&mut bench, 250);
    assert_eq!(grants(&mut bench).len(), 1);
    assert_eq!((bench.view("alpha").ramp, bench.view("beta").ramp), (Some(2), Some(2)));
}

#[test]
fn attempts_that_are_under_way_do_not_hold_it_back() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    let mut long: Vec<Lease> = (0..5).map(|_| bench.lease()).collect();
    bench.end(long.pop().unwrap(), &refused_for(429, Row::RateLimited, 1));
    bench.pass(1);
    assert_eq!(grants(&mut bench).len(), 1);
    pass_millis(&mut bench, 250);
    assert_eq!(grants(&mut bench).len(), 1);
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_it_for_ever() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 1));
    bench.pass(1);
    let _first = bench.lease();
    bench.now = Time::from_millis(bench.now.as_millis() - 1000);
    // the cooldown, which ends by the clock, counts again
    bench.pool.unblock(None, bench.now);
    assert_eq!(grants(&mut bench).len(), 19);
}

#[test]
fn a_lease_that_is_given_back_has_never_been() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.serve();
    let before = bench.view("alpha");
    bench.pass(5);
    let lease = bench.lease();
    bench.pool.give_back(lease, bench.now);
    let after = bench.view("alpha");
    assert_eq!((after.requests, after.in_flight, after.last_used), (before.requests, 0, before.last_used));
    // one that was used since keeps the later use
    let (lease, other) = (bench.lease(), bench.lease());
    bench.pass(1);
    let later = bench.lease();
    let used = bench.view("alpha").last_used;
    bench.pool.give_back(lease, bench.now);
    assert_eq!(bench.view("alpha").last_used, used);
    for lease in [other, later] {
        bench.end(lease, &Outcome::Completed);
    }
    assert_eq!(bench.view("alpha").in_flight, 0);
}

#[test]
fn a_probe_that_is_given_back_leaves_the_decision_to_the_next() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.meet("alpha", &unpaid());
    bench.recheck("alpha");
    let probe = bench.lease();
    assert!(probe.probe && bench.refusal().may_end_by(bench.now));
    bench.pool.give_back(probe, bench.now);
    assert!(bench.lease().probe);
}

#[test]
fn waiting_helps_only_for_what_ends_by_itself_in_time_and_was_not_tried() {
    let mut bench = Bench::new(Rules::default(), &["alpha"]);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 30));
    let refusal = bench.refusal();
    assert!(refusal.may_end_by(bench.now + secs(30)));
    assert!(!refusal.may_end_by(bench.now + secs(29)));
    assert_eq!(bench.pool.next_change(bench.now), Some(bench.now + secs(30)));
    let tried = [key("alpha").fingerprint];
    let refusal = bench.pool.lease(&Demand { tried: &tried, ..Demand::default() }, bench.now).unwrap_err();
    assert!(!refusal.may_end_by(bench.now + secs(30)));
    bench.pool.unblock(None, bench.now);
    bench.meet("alpha", &unpaid());
    assert!(!bench.refusal().may_end_by(bench.now + secs(2 * HOUR)), "a block is no pause");
}

#[test]
fn nobody_waits_for_a_key_whose_upstream_is_down_though_it_only_cools() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 20));
    let soon = bench.now + secs(30);
    for _ in 0..crate::pool::outage::FAILURES {
        bench.meet("beta", &refused(503, Row::UpstreamError));
    }
    let refusal = bench.refusal();
    let obstacles: Vec<Obstacle> = refusal.keys.iter().map(|key| key.obstacle).collect();
    assert_eq!(obstacles, [Obstacle::State, Obstacle::UpstreamDown]);
    assert!(refusal.down.is_some() && !refusal.may_end_by(soon));
    assert!(!bench.pool.outlook(bench.now).waits(&Demand::default(), soon));
    // When one request may ask the upstream again, a pause is a pause again.
    bench.pass(1);
    let probe = bench.lease();
    bench.end(probe, &Outcome::Completed);
    let tried = [key("beta").fingerprint];
    let refusal = bench.pool.lease(&Demand { tried: &tried, ..Demand::default() }, bench.now).unwrap_err();
    assert!(refusal.may_end_by(soon));
}
