//! Attempts in flight for an account.

use super::*;

/// Two keys of one account that may have `limit` attempts in flight.
fn account(limit: u32) -> Bench {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta"]);
    for label in ["alpha", "beta"] {
        let quota = quota("account", &[("5h", 90.0, HOUR)], bench.now);
        bench.read(label, &Quota { parallel_limit: Some(limit), ..quota });
    }
    bench
}

fn lease_all(bench: &mut Bench) -> Vec<Lease> {
    std::iter::from_fn(|| bench.try_lease().ok()).take(1000).collect()
}

fn complete(bench: &mut Bench, count: usize) {
    for _ in 0..count {
        bench.serve();
    }
}

#[test]
fn without_a_reading_the_smaller_plan_is_assumed() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let leases = lease_all(&mut bench);
    assert_eq!(leases.len(), 20);
    assert_eq!(bench.refusal().keys[0].obstacle, Obstacle::AtCap);
}

#[test]
fn an_assumed_cap_grows_only_where_all_of_it_is_used() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    complete(&mut bench, 1000);
    assert_eq!(bench.view("alpha").cap, 20);
    let mut leases = lease_all(&mut bench);
    for _ in 0..20 {
        bench.end(leases.pop().unwrap(), &Outcome::Completed);
        leases.push(bench.lease());
    }
    assert_eq!(bench.view("alpha").cap, 21);
    let quota = quota("one", &[("5h", 90.0, HOUR)], bench.now);
    bench.read("alpha", &Quota { parallel_limit: Some(30), ..quota.clone() });
    assert_eq!(bench.view("alpha").cap, 30);
    bench.read("alpha", &Quota { parallel_limit: Some(4), ..quota });
    assert_eq!(bench.view("alpha").cap, 4, "never above the plan's limit");
}

#[test]
fn the_cap_is_the_accounts_over_all_its_keys() {
    let mut bench = account(5);
    let mut leases = lease_all(&mut bench);
    assert_eq!(leases.len(), 5);
    let refusal = bench.refusal();
    assert!(refusal.keys.iter().all(|key| key.obstacle == Obstacle::AtCap));
    assert_eq!(refusal.soonest().unwrap().1, bench.now + secs(1), "a place may be free at any moment");
    for outcome in [Outcome::Completed, Outcome::ClientLeft, BROKE] {
        bench.end(leases.pop().unwrap(), &outcome);
        leases.extend(lease_all(&mut bench));
        assert_eq!(leases.len(), 5);
    }
}

#[test]
fn a_full_active_key_lends_and_stays_active() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    let quota = quota("one", &[("5h", 90.0, HOUR)], bench.now);
    bench.read("alpha", &Quota { parallel_limit: Some(1), ..quota });
    let lease = bench.lease_of("alpha");
    assert_eq!(&*bench.serve(), "beta");
    assert_eq!(&*bench.active(), "alpha");
    bench.end(lease, &Outcome::Completed);
    assert_eq!(&*bench.serve(), "alpha");
}

#[test]
fn a_concurrency_refusal_lowers_the_cap_below_what_was_in_flight() {
    let mut bench = account(20);
    let mut leases: Vec<Lease> = (0..8).map(|_| bench.lease()).collect();
    bench.end(leases.pop().unwrap(), &refused(403, Row::ConcurrentLimit));
    assert_eq!((bench.view("alpha").cap, bench.view("beta").cap), (7, 7));
    assert_eq!(bench.state("alpha"), KeyState::Ready, "no cooldown");
    assert!(bench.try_lease().is_err());
    for _ in 0..3 {
        bench.end(leases.pop().unwrap(), &refused(403, Row::ConcurrentLimit));
    }
    assert_eq!(bench.view("alpha").cap, 7, "they were under way when it was lowered");
    let later: Vec<Lease> = (0..3).map(|_| bench.lease()).collect();
    assert_eq!(bench.view("alpha").account_in_flight, 7);
    bench.end(later.into_iter().next().unwrap(), &refused(403, Row::ConcurrentLimit));
    assert_eq!(bench.view("alpha").cap, 6);
}

#[test]
fn a_cap_is_at_least_one() {
    let mut bench = account(20);
    for _ in 0..3 {
        refuse(&mut bench);
    }
    assert_eq!(bench.view("alpha").cap, 1);
    assert_eq!(lease_all(&mut bench).len(), 1);
}

#[test]
fn a_lowered_cap_rises_slowly_up_to_the_limit_whichever_key_serves() {
    let mut bench = account(4);
    refuse(&mut bench);
    bench.pool.set_auto(false);
    for cap in [1, 2, 3, 4, 4] {
        assert_eq!((bench.view("alpha").cap, bench.view("beta").cap), (cap, cap));
        complete(&mut bench, 20);
    }
    for label in ["alpha", "beta"] {
        let quota = quota("account", &[("5h", 90.0, HOUR)], bench.now);
        bench.read(label, &Quota { parallel_limit: Some(30), ..quota });
    }
    assert_eq!(bench.view("alpha").cap, 30, "a larger plan counts at once");
}

/// One request alone is refused.
fn refuse(bench: &mut Bench) {
    let lease = bench.lease();
    bench.end(lease, &refused(403, Row::ConcurrentLimit));
}
