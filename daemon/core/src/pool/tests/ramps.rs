//! Accounts that are taken up step by step.

use super::*;
use crate::policy::Policy;

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

/// In auto mode: alpha, which everything lives at, and beta and gamma, which are idle.
fn all_at_alpha(policy: Policy) -> Bench {
    let mut bench = Bench::auto(Rules { policy, ..Rules::default() }, &["alpha", "beta", "gamma"]);
    for (label, days) in [("alpha", 1), ("beta", 3), ("gamma", 6)] {
        let reading = quota(label, &[("7d", 90.0, days * DAY)], bench.now);
        bench.read(label, &reading);
    }
    bench
}

fn lease_for(bench: &mut Bench, session: u8) -> Option<Lease> {
    let session = Some(SessionId([session; 8]));
    bench.pool.lease(&Demand { session, ..Demand::default() }, bench.now).ok()
}

/// Ends all but one lease well, and that one with an empty week.
fn runs_dry(bench: &mut Bench, mut leases: Vec<Lease>) {
    assert!(leases.iter().all(|lease| &*lease.key.label == "alpha"));
    let last = leases.pop().unwrap();
    leases.into_iter().for_each(|lease| drop(bench.end(lease, &Outcome::Completed)));
    bench.end(last, &refused(403, Row::QuotaWeek));
}

#[test]
fn the_account_that_takes_over_from_one_that_ran_dry_is_ramped_up() {
    let mut bench = all_at_alpha(Policy::Drain);
    let leases: Vec<Lease> = (0..10).map(|_| bench.lease()).collect();
    runs_dry(&mut bench, leases);
    let _first = bench.lease_of("beta");
    assert_eq!(bench.view("beta").ramp, Some(1));
    pass_millis(&mut bench, 250);
    let _second = bench.lease_of("beta");
    assert_eq!(bench.view("beta").ramp, Some(2));
}

#[test]
fn so_are_those_to_which_its_sessions_move_each_once() {
    let mut bench = all_at_alpha(Policy::Drain);
    let leases: Vec<Lease> = (0..10).map(|session| lease_for(&mut bench, session).unwrap()).collect();
    runs_dry(&mut bench, leases);
    let moved: Vec<Lease> = (0..9).filter_map(|session| lease_for(&mut bench, session)).collect();
    let labels: Vec<&str> = moved.iter().map(|lease| &*lease.key.label).collect();
    assert_eq!(labels, ["beta", "gamma"], "the others wait");
    pass_millis(&mut bench, 250);
    let more: Vec<Lease> = (0..9).filter_map(|session| lease_for(&mut bench, session)).collect();
    assert_eq!(more.len(), 2);
    // The last one comes when the ramps are over: it begins none.
    bench.pass(10);
    let last = lease_for(&mut bench, 9).unwrap();
    assert_eq!((last.decision.placement, bench.view(&last.key.label).ramp), (Placement::Moved, None));
    // Alpha serves again, and runs dry again.
    bench.pool.unblock(None, bench.now);
    bench.pool.set_keys(keys(&["alpha"]), bench.now);
    let again = lease_for(&mut bench, 20).unwrap();
    bench.pool.set_keys(keys(&["alpha", "beta", "gamma"]), bench.now);
    runs_dry(&mut bench, vec![again]);
    let next = lease_for(&mut bench, 20).unwrap();
    assert!(bench.view(&next.key.label).ramp.is_some());
}

#[test]
fn neither_a_turn_nor_what_is_lent_begins_a_ramp() {
    let mut bench = all_at_alpha(Policy::RoundRobin);
    let turns: Vec<Lease> = (0..30).map(|_| bench.lease()).collect();
    assert!(["alpha", "beta", "gamma"].iter().all(|label| bench.view(label).ramp.is_none()));
    for lease in turns {
        bench.end(lease, &Outcome::Completed);
    }
    let mut bench = all_at_alpha(Policy::Drain);
    let lease = lease_for(&mut bench, 1).unwrap();
    bench.end(lease, &refused_for(429, Row::RateLimited, 5));
    let lent = lease_for(&mut bench, 1).unwrap();
    assert_eq!((&*lent.key.label, lent.decision.placement), ("beta", Placement::LentOut));
    assert_eq!(bench.view("beta").ramp, None);
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

#[test]
fn once_for_each_account_that_is_out_in_whatever_order_their_sessions_come() {
    let mut bench = all_at_alpha(Policy::Drain);
    let at_alpha: Vec<Lease> = (0..10).map(|session| lease_for(&mut bench, session).unwrap()).collect();
    runs_dry(&mut bench, at_alpha);
    let mut at_beta = vec![lease_for(&mut bench, 10).unwrap()];
    pass_millis(&mut bench, 5000);
    at_beta.extend((11..20).map(|session| lease_for(&mut bench, session).unwrap()));
    assert!(at_beta.iter().all(|lease| &*lease.key.label == "beta"));
    for lease in at_beta {
        bench.end(lease, &refused(403, Row::QuotaWeek));
    }
    // Of each the first one to come over begins a ramp.
    for session in [0, 10] {
        assert!(lease_for(&mut bench, session).is_some());
        assert!(lease_for(&mut bench, session + 1).is_none());
        pass_millis(&mut bench, 5000);
    }
    for session in 1..9 {
        assert!(lease_for(&mut bench, session).is_some(), "{session}");
        assert!(lease_for(&mut bench, session + 10).is_some(), "{session}");
    }
}
