//! Blocks: how they begin, how they end, and the one request that decides.

use super::*;

#[test]
fn any_402_blocks_the_account_for_the_setting() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.meet("alpha", &unpaid());
    assert_eq!((bench.left_of("alpha"), bench.left_of("beta")), (Some(HOUR), Some(HOUR)));
    let refusal = bench.refusal();
    assert!(refusal.needs_a_person());
    assert_eq!(refusal.keys[0].until, Some(bench.now + secs(HOUR)), "it is told until when");
    assert_eq!(refusal.soonest().map(|(_, until)| until), None, "but nobody is told to wait for it");
}

#[test]
fn the_first_output_of_the_deciding_request_opens_the_key() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.meet("alpha", &unpaid());
    bench.pass(HOUR);
    let mut decides = bench.lease();
    assert!(decides.probe && bench.try_lease().is_err(), "the others wait for it");
    let both = ["alpha", "beta"].map(|label| Effect::Unblocked { label: label.into() });
    assert_eq!(bench.pool.answered(&mut decides, bench.now), both, "what blocked them was the account's");
    bench.pass(SECOND);
    assert!(!bench.lease().probe, "its stream may last for minutes");
    bench.end(decides, &Outcome::ClientLeft);
    assert!(!bench.lease().probe, "what was proven stays so");
}

#[test]
fn a_key_that_is_dead_itself_stays_blocked_when_its_account_is_back() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.one_account(&["alpha", "beta", "gamma"]);
    bench.meet("gamma", &dead());
    bench.meet("alpha", &unpaid());
    bench.pass(HOUR);
    assert_eq!(bench.serve_many(1), "alpha");
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Ready, KeyState::Ready));
    assert_eq!((bench.state("gamma"), bench.view("gamma").reason), (KeyState::Blocked, Some("invalid_key")));
}

#[test]
fn a_payment_block_without_a_time_waits_for_a_recheck_or_a_person() {
    let rules = Rules { payment_block: None, ..failover() };
    let mut bench = Bench::new(rules, &["alpha"]);
    bench.meet("alpha", &unpaid());
    bench.pass(365 * DAY);
    assert!(bench.try_lease().is_err());
    assert!(bench.recheck("alpha"));
    assert!(bench.lease().probe);
}

#[test]
fn a_401_ends_by_a_recheck_or_a_person_only() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    assert_eq!(bench.left_of("alpha"), None);
    bench.pass(365 * DAY);
    assert_eq!(bench.state("alpha"), KeyState::Blocked);
    assert_eq!(bench.pool.unblock(Some("alpha"), bench.now), ["alpha".into()]);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    assert!(bench.pool.unblock(None, bench.now).is_empty());
}

#[test]
fn a_recheck_of_a_key_that_is_not_blocked_changes_nothing() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    assert!(!bench.recheck("alpha"));
    assert!(!bench.lease().probe);
}

#[test]
fn one_request_decides_and_a_success_unblocks() {
    for by_time in [true, false] {
        let mut bench = Bench::new(failover(), &["alpha"]);
        bench.meet("alpha", &unpaid());
        if by_time {
            bench.pass(HOUR - 1);
            assert!(bench.try_lease().is_err());
            bench.pass(1);
        } else {
            assert!(bench.recheck("alpha"));
        }
        assert_eq!(bench.view("alpha").reason, Some("half_open"));
        let probe = bench.lease();
        assert!(probe.probe);
        let refusal = bench.refusal();
        assert_eq!(refusal.keys[0].obstacle, Obstacle::Probing);
        assert!(!refusal.needs_a_person());
        let effects = bench.end(probe, &Outcome::Completed);
        assert_eq!(effects, [Effect::Unblocked { label: "alpha".into() }]);
        assert_eq!(bench.state("alpha"), KeyState::Ready);
        bench.pass(1);
        let leases = [bench.lease(), bench.lease()];
        assert!(leases.iter().all(|lease| !lease.probe));
    }
}

#[test]
fn blocked_again_it_takes_twice_as_long_up_to_a_day() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        bench.meet("alpha", &unpaid());
        assert_eq!(bench.left_of("alpha"), Some(hours * HOUR));
        bench.pass(hours * HOUR);
    }
    bench.meet("alpha", &Outcome::Completed);
    bench.meet("alpha", &unpaid());
    assert_eq!(bench.left_of("alpha"), Some(HOUR), "a success starts it anew");
}

#[test]
fn a_setting_longer_than_a_day_is_not_cut() {
    let rules = Rules { payment_block: Some(secs(60 * DAY)), ..failover() };
    let mut bench = Bench::new(rules, &["alpha"]);
    for _ in 0..2 {
        bench.meet("alpha", &unpaid());
        bench.restart();
        assert_eq!(bench.left_of("alpha"), Some(60 * DAY));
        bench.pass(60 * DAY);
    }
}

#[test]
fn what_the_deciding_request_may_meet() {
    for (outcome, unblocks) in [
        (Outcome::Completed, true),
        (Outcome::Answered, false),
        (Outcome::CutOff, false),
        (refused(400, Row::InvalidRequest), true),
        (refused(401, Row::BadModel), true),
        (refused(404, Row::ModelNotFound), true),
        (refused(403, Row::QuotaCycle), true),
        (BROKE, false),
        (Outcome::ClientLeft, false),
        (refused(503, Row::UpstreamError), false),
        (refused(429, Row::Overloaded), false),
        (refused(403, Row::ClientRefused), false),
        (refused(429, Row::RateLimited), false),
        (refused(403, Row::ConcurrentLimit), false),
        (refused(403, Row::Unknown), false),
    ] {
        let mut bench = Bench::new(failover(), &["alpha"]);
        bench.meet("alpha", &dead());
        bench.recheck("alpha");
        let probe = bench.lease();
        let told = bench.end(probe, &outcome).contains(&Effect::Unblocked { label: "alpha".into() });
        assert_eq!(told, unblocks, "{outcome:?}");
        assert_eq!(bench.state("alpha") != KeyState::Blocked, unblocks, "{outcome:?}");
        if !unblocks {
            bench.pass(1);
            assert!(bench.lease().probe, "{outcome:?}: the next request decides");
        }
    }
}

#[test]
fn a_half_open_key_that_cools_waits_for_that_and_not_for_a_person() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    bench.recheck("alpha");
    bench.meet("alpha", &refused_for(429, Row::RateLimited, 30));
    let refusal = bench.refusal();
    assert!(!refusal.needs_a_person());
    assert_eq!(refusal.soonest().unwrap().1, bench.now + secs(30));
    assert!(bench.pool.rotate(None, bench.now).is_err(), "kmi rotate does not take it for one that serves");
    bench.pass(30);
    assert!(bench.lease().probe);
}

#[test]
fn requests_under_way_when_the_block_began_decide_nothing() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let [early, late, later] = [bench.lease(), bench.lease(), bench.lease()];
    bench.meet("alpha", &unpaid());
    assert!(bench.end(early, &unpaid()).is_empty(), "one block, told once");
    bench.pass(HOUR);
    bench.end(late, &unpaid());
    assert_eq!(bench.view("alpha").reason, Some("half_open"), "the deciding request is still to come");
    let probe = bench.lease();
    assert!(probe.probe);
    bench.end(later, &Outcome::Completed);
    assert_eq!(bench.state("alpha"), KeyState::Blocked);
    assert!(bench.try_lease().is_err(), "still one at a time");
    bench.end(probe, &unpaid());
    assert_eq!(bench.left_of("alpha"), Some(2 * HOUR), "doubled once");
}

#[test]
fn a_probe_from_before_an_unblock_decides_about_no_later_block() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    bench.recheck("alpha");
    let old = bench.lease();
    bench.pool.unblock(None, bench.now);
    bench.meet("alpha", &dead());
    bench.end(old, &Outcome::Completed);
    assert_eq!(bench.view("alpha").reason, Some("invalid_key"));

    bench.recheck("alpha");
    let probe = bench.lease();
    assert!(probe.probe);
    assert!(bench.try_lease().is_err());
}

#[test]
fn one_request_decides_for_all_keys_of_an_account() {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    let lease = bench.lease_of("alpha");
    bench.end(lease, &unpaid());
    bench.pass(HOUR);
    let probe = bench.lease();
    let refusal = bench.refusal();
    assert!(refusal.keys.iter().all(|key| key.obstacle == Obstacle::Probing));
    bench.end(probe, &unpaid());
    assert_eq!((bench.left_of("alpha"), bench.left_of("beta")), (Some(2 * HOUR), Some(2 * HOUR)));
}

#[test]
fn an_account_mates_402_ends_a_deciding_request() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.meet("alpha", &dead());
    bench.recheck("alpha");
    bench.pool.rotate(Some("alpha"), bench.now).unwrap();
    let probe = bench.lease_of("alpha");
    let mate = bench.lease_of("beta");
    bench.end(mate, &unpaid());
    assert_eq!(bench.view("alpha").reason, Some("payment"));
    assert!(bench.end(probe, &Outcome::Completed).is_empty());
    assert_eq!(bench.state("alpha"), KeyState::Blocked);
}

#[test]
fn manual_mode_lets_the_active_key_prove_itself() {
    let mut bench = Bench::new(Rules::default(), &["alpha", "beta"]);
    bench.meet("alpha", &unpaid());
    bench.pass(HOUR);
    let probe = bench.lease_of("alpha");
    assert_eq!(bench.refusal().keys[0].obstacle, Obstacle::Probing);
    bench.end(probe, &Outcome::Completed);
    assert_eq!(&*bench.serve(), "alpha");
}

#[test]
fn unblock_clears_blocks_and_cooldowns_of_one_or_all() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.meet("alpha", &dead());
    bench.meet("beta", &refused_for(429, Row::RateLimited, 60));
    let dry = quota("", &[("5h", 0.0, HOUR)], bench.now);
    bench.read("gamma", &dry);
    assert_eq!(bench.pool.unblock(Some("beta"), bench.now), ["beta".into()]);
    assert_eq!(bench.state("alpha"), KeyState::Blocked);
    assert_eq!(bench.pool.unblock(None, bench.now), ["alpha".into(), "gamma".into()]);
    assert!(["alpha", "beta"].iter().all(|label| bench.state(label) == KeyState::Ready));
    assert_eq!(bench.state("gamma"), KeyState::Warn, "its reading stands");
}
