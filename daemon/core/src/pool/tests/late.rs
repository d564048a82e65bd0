//! Attempts of a process that this one took over from.

use super::*;

#[test]
fn an_adopted_attempt_takes_a_slot_and_counts_once() {
    let mut pool = Pool::new(failover(), Snapshot::default());
    pool.set_keys(keys(&["alpha", "beta"]), noon());
    let old = pool.lease(&Demand::default(), noon()).unwrap();
    let fingerprint = old.key.fingerprint;
    assert_eq!(pool.in_flight(), [(fingerprint, 1)]);
    let snapshot = pool.snapshot(noon());

    let mut new = Pool::new(failover(), snapshot);
    new.set_keys(keys(&["alpha", "beta"]), noon());
    assert_eq!(new.in_flight(), []);
    let counted = new.adopt(fingerprint, false, noon()).unwrap();
    let begun = new.adopt(fingerprint, true, noon()).unwrap();
    assert_eq!(new.in_flight(), [(fingerprint, 2)]);
    let requests = |pool: &Pool| pool.view(noon()).keys.iter().map(|key| key.requests).sum::<u64>();
    assert_eq!(requests(&new), 2);
    new.record(counted, &BROKE, noon(), 0);
    new.give_back(begun, noon());
    assert_eq!((new.in_flight(), requests(&new)), (vec![], 1));
    assert_eq!(new.view(noon()).keys[0].errors.e5xx, 1);
    // A key that is gone has no leases.
    new.set_keys(keys(&["beta"]), noon());
    assert!(new.adopt(fingerprint, false, noon()).is_none());
}

#[test]
fn a_refusal_that_comes_late_cools_the_key() {
    let mut pool = Pool::new(failover(), Snapshot::default());
    pool.set_keys(keys(&["alpha", "beta"]), noon());
    let fingerprint = key("alpha").fingerprint;
    let late = pool.adopt(fingerprint, false, noon()).unwrap();
    pool.record(late, &refused(401, Row::InvalidKey), noon(), 0);
    assert_eq!(pool.view(noon()).keys[0].state, KeyState::Blocked);
}
