//! Keys that come, go and change.

use super::*;

fn elsewhere(label: &str) -> Key {
    Key { base_url: BaseUrl::parse("https://api.kimi.ai/coding/v1").unwrap(), ..key(label) }
}

fn edited(label: &str) -> Key {
    Key { revision: 2, ..key(label) }
}

#[test]
fn a_key_that_stays_keeps_its_counters_and_leases() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.meet("beta", &refused_for(429, Row::RateLimited, 60));
    bench.pool.rotate(Some("alpha"), bench.now).unwrap();
    let lease = bench.lease_of("alpha");
    bench
        .pool
        .set_keys(vec![key("gamma"), Key { label: "first".into(), ..key("alpha") }, key("beta")], bench.now);
    let view = bench.view("first");
    assert_eq!((view.requests, view.in_flight), (1, 1));
    assert_eq!(bench.left_of("beta"), Some(60));
    assert_eq!(&*bench.active(), "first", "the active key is the key, not its label or place");
    bench.end(lease, &Outcome::Completed);
    assert_eq!(bench.view("first").in_flight, 0);
}

#[test]
fn another_key_under_the_same_label_starts_clean() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    bench.pool.set_keys(vec![Key { label: "alpha".into(), ..key("replacement") }], bench.now);
    let view = bench.view("alpha");
    assert_eq!((view.state, view.requests, view.errors.e401), (KeyState::Ready, 0, 0));
}

#[test]
fn a_key_that_comes_back_finds_its_record_for_30_days() {
    for (away, remembered) in [(29 * DAY, true), (31 * DAY, false)] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        bench.meet("beta", &dead());
        bench.pool.set_keys(keys(&["alpha"]), bench.now);
        bench.pass(away);
        bench.pool.set_keys(keys(&["alpha"]), bench.now);
        bench.restart();
        bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
        assert_eq!(bench.state("beta") == KeyState::Blocked, remembered);
        assert_eq!(bench.view("beta").requests, u64::from(remembered));
    }
}

#[test]
fn at_most_a_thousand_records_of_keys_that_are_gone_are_kept() {
    let mut bench = Bench::new(failover(), &[]);
    for index in 0..1005 {
        bench.pass(1);
        bench.pool.set_keys(vec![key(&format!("key-{index}"))], bench.now);
    }
    bench.pool.set_keys(Vec::new(), bench.now);
    let records = bench.pool.snapshot(bench.now).keys;
    assert_eq!(records.len(), 1000);
    assert!(!records.contains_key(&key("key-4").fingerprint), "the oldest go first");
}

#[test]
fn without_its_key_the_first_one_becomes_active() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.pool.rotate(Some("gamma"), bench.now).unwrap();
    bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
    assert_eq!(&*bench.active(), "alpha");
}

#[test]
fn a_key_that_is_back_is_active_again_unless_somebody_switched() {
    for restarts in [false, true] {
        let mut bench = Bench::new(Rules { allowed: false, ..failover() }, &["alpha", "beta", "gamma"]);
        bench.pool.rotate(Some("gamma"), bench.now).unwrap();
        bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
        if restarts {
            bench.restart();
        }
        assert_eq!(&*bench.active(), "alpha", "somebody has to serve");
        bench.pool.set_keys(keys(&["beta"]), bench.now);
        assert_eq!(&*bench.active(), "beta");
        bench.pool.set_keys(keys(&["alpha", "beta", "gamma"]), bench.now);
        assert_eq!(&*bench.active(), "gamma");

        bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
        bench.pool.rotate(Some("beta"), bench.now).unwrap();
        bench.pool.set_keys(keys(&["alpha", "beta", "gamma"]), bench.now);
        assert_eq!(&*bench.active(), "beta");
    }
}

#[test]
fn a_new_key_under_the_active_ones_label_takes_its_place() {
    let mut bench = Bench::new(Rules { allowed: false, ..failover() }, &["alpha", "beta", "gamma"]);
    bench.pool.rotate(Some("gamma"), bench.now).unwrap();
    let renewed = || Key { label: "gamma".into(), ..key("renewed") };
    let with = |key: Key| keys(&["alpha", "beta"]).into_iter().chain([key]).collect::<Vec<_>>();
    bench.pool.set_keys(with(renewed()), bench.now);
    assert_eq!(bench.pool.active, Some(renewed().fingerprint));
    // The file was gone for a moment while it was replaced.
    bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
    bench.restart();
    bench.pool.set_keys(with(key("gamma")), bench.now);
    assert_eq!(bench.pool.active, Some(key("gamma").fingerprint));
}

#[test]
fn a_choice_outlives_a_moment_without_any_key() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.pool.rotate(Some("beta"), bench.now).unwrap();
    bench.pool.set_keys(Vec::new(), bench.now);
    assert!(bench.try_lease().is_err());
    bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
    assert_eq!(&*bench.active(), "beta");
}

#[test]
fn a_key_taken_out_while_leased_still_counts_for_its_account() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    for label in ["alpha", "beta"] {
        let quota = quota("account", &[("5h", 90.0, HOUR)], bench.now);
        bench.read(label, &Quota { parallel_limit: Some(2), ..quota });
    }
    let [first, second] = [bench.lease_of("alpha"), bench.lease_of("alpha")];
    bench.pool.set_keys(keys(&["beta"]), bench.now);
    assert_eq!(bench.refusal().keys[0].obstacle, Obstacle::AtCap);
    bench.end(first, &Outcome::Completed);
    assert_eq!(&*bench.serve(), "beta");

    bench.end(second, &unpaid());
    assert_eq!(bench.state("beta"), KeyState::Blocked, "any 402 blocks the account");
    bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
    let view = bench.view("alpha");
    assert_eq!((view.state, view.requests, view.errors.e403), (KeyState::Blocked, 2, 1));
}

#[test]
fn a_key_that_comes_back_while_leased_still_has_its_leases() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let lease = bench.lease();
    bench.pool.set_keys(Vec::new(), bench.now);
    bench.pool.set_keys(keys(&["alpha"]), bench.now);
    assert_eq!(bench.view("alpha").in_flight, 1);
    let other = bench.lease();
    bench.end(lease, &Outcome::Completed);
    assert_eq!(bench.view("alpha").in_flight, 1);
    bench.end(other, &Outcome::Completed);
    assert_eq!(bench.view("alpha").in_flight, 0);
}

#[test]
fn a_removed_keys_deciding_request_still_decides() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    bench.recheck("alpha");
    let probe = bench.lease();
    bench.pool.set_keys(Vec::new(), bench.now);
    bench.end(probe, &Outcome::Completed);
    bench.pool.set_keys(keys(&["alpha"]), bench.now);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
}

#[test]
fn a_change_of_the_file_ends_a_401_and_nothing_else() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "gamma"]);
    bench.meet("alpha", &dead());
    bench.meet("beta", &unpaid());
    bench.meet("gamma", &refused_for(429, Row::RateLimited, 60));
    bench.pool.set_keys(keys(&["alpha", "beta", "gamma"]), bench.now);
    assert_eq!(bench.state("alpha"), KeyState::Blocked, "nothing changed");
    bench.pool.set_keys(vec![edited("alpha"), edited("beta"), edited("gamma")], bench.now);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    assert_eq!(bench.state("beta"), KeyState::Blocked);
    assert_eq!(bench.state("gamma"), KeyState::Cooling);
}

#[test]
fn a_change_of_the_file_counts_while_kmid_does_not_run() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.meet("alpha", &dead());
    let snapshot = bench.pool.snapshot(bench.now);
    for (key, state) in [(key("alpha"), KeyState::Blocked), (edited("alpha"), KeyState::Ready)] {
        let mut pool = Pool::new(failover(), snapshot.clone());
        pool.set_keys(vec![key], bench.now);
        assert_eq!(pool.view(bench.now).keys[0].state, state);
    }
}

#[test]
fn another_host_is_another_system() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    let late: Vec<Lease> = (0..4).map(|_| bench.lease_of("alpha")).collect();
    let [one_too_many, last] = [bench.lease_of("alpha"), bench.lease_of("alpha")];
    bench.end(one_too_many, &refused(403, Row::ConcurrentLimit));
    bench.end(last, &dead());
    bench.pool.set_keys(vec![elsewhere("alpha"), key("beta")], bench.now);
    let view = bench.view("alpha");
    assert_eq!((view.state, view.reading, view.cap), (KeyState::Ready, None, 20));
    assert_eq!((view.requests, view.in_flight), (6, 4), "but its counters stay");

    for (lease, outcome) in
        late.into_iter().zip([dead(), unpaid(), refused(403, Row::QuotaCycle), Outcome::Completed])
    {
        assert!(bench.end(lease, &outcome).is_empty());
    }
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Ready, KeyState::Ready));
    assert_eq!(bench.view("alpha").in_flight, 0);
    bench.meet("beta", &unpaid());
    assert_eq!(bench.state("alpha"), KeyState::Ready, "the account is no longer its own");
}

#[test]
fn another_host_counts_while_the_key_is_away() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha"]);
    bench.meet("alpha", &unpaid());
    bench.pool.set_keys(keys(&["beta"]), bench.now);
    bench.pool.set_keys(vec![elsewhere("alpha")], bench.now);
    let view = bench.view("alpha");
    assert_eq!((view.state, view.reading, view.requests), (KeyState::Ready, None, 1));
}

#[test]
fn a_restart_remembers_a_key_that_was_leased_when_it_left() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let _lost = bench.lease();
    bench.pool.set_keys(Vec::new(), bench.now);
    bench.restart();
    bench.pool.set_keys(keys(&["alpha"]), bench.now);
    assert_eq!(bench.view("alpha").requests, 1);
}
