//! What makes a key ready, warn, cooling, blocked or disabled.

use super::*;
use crate::outcome::BlockReason;

#[test]
fn a_key_without_a_reading_is_ready() {
    assert_eq!(Bench::new(failover(), &["alpha"]).state("alpha"), KeyState::Ready);
}

#[test]
fn under_20_percent_in_the_worst_window_is_warn() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    for (five_hours, week, state) in [
        (20.0, 100.0, KeyState::Ready),
        (19.9, 100.0, KeyState::Warn),
        (100.0, 19.9, KeyState::Warn),
        (0.1, 0.1, KeyState::Warn),
        (20.0, 20.0, KeyState::Ready),
    ] {
        let quota = quota("", &[("5h", five_hours, HOUR), ("7d", week, DAY)], bench.now);
        bench.read("alpha", &quota);
        assert_eq!(bench.state("alpha"), state, "{five_hours} {week}");
    }
    let reason = |bench: &Bench| bench.view("alpha").reason;
    bench.left("alpha", 3.0);
    assert_eq!(reason(&bench), Some("low_quota"));
}

#[test]
fn a_window_that_has_reset_warns_no_more() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.left("alpha", 3.0);
    bench.pass(HOUR);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
}

#[test]
fn old_error_counts_make_no_warn() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    for outcome in [BROKE, refused(503, Row::UpstreamError), refused_for(429, Row::RateLimited, 1)] {
        for _ in 0..50 {
            bench.meet("alpha", &outcome);
            // further apart than failures in a row
            bench.pass(61);
        }
    }
    assert_eq!(bench.state("alpha"), KeyState::Ready);
}

#[test]
fn error_counts_by_class() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let outcomes = [
        (refused(401, Row::InvalidKey), [1, 0, 0, 0]),
        (refused(402, Row::Payment), [0, 1, 0, 0]),
        (refused(403, Row::ClientRefused), [0, 1, 0, 0]),
        (refused(429, Row::Overloaded), [0, 0, 1, 0]),
        (refused(529, Row::UpstreamError), [0, 0, 0, 1]),
        (BROKE, [0, 0, 0, 1]),
        (refused(400, Row::InvalidRequest), [0; 4]),
        (Outcome::ClientLeft, [0; 4]),
        (Outcome::Completed, [0; 4]),
    ];
    let mut expected = [0; 4];
    for (done, (outcome, counts)) in outcomes.iter().enumerate() {
        bench.pool.unblock(None, bench.now);
        bench.meet("alpha", outcome);
        for (sum, count) in expected.iter_mut().zip(counts) {
            *sum += count;
        }
        let view = bench.view("alpha");
        let errors = view.errors;
        assert_eq!([errors.e401, errors.e403, errors.e429, errors.e5xx], expected, "{outcome:?}");
        assert_eq!((view.requests, view.in_flight), (done as u64 + 1, 0));
        assert_eq!(view.last_used, Some(bench.now));
    }
}

#[test]
fn a_disabled_key_never_serves() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    let off = || vec![Key { disabled: true, ..key("alpha") }];
    bench.pool.set_keys(off(), bench.now);
    assert_eq!(bench.state("alpha"), KeyState::Disabled);
    assert!(bench.refusal().needs_a_person());

    bench.pool.set_keys(keys(&["alpha"]), bench.now);
    bench.meet("alpha", &unpaid());
    bench.pass(HOUR);
    bench.pool.set_keys(off(), bench.now);
    assert_eq!(bench.state("alpha"), KeyState::Disabled, "also while half-open");
    assert!(bench.try_lease().is_err());
}

#[test]
fn a_disabled_key_is_not_the_first_active_one() {
    let mut pool = Pool::new(failover(), Snapshot::default());
    pool.set_keys(vec![Key { disabled: true, ..key("alpha") }, key("beta")], noon());
    assert_eq!(&*pool.view(noon()).active_key().unwrap().label, "beta");
}

#[test]
fn what_every_row_does_to_the_key() {
    use KeyState::{Blocked, Cooling, Ready};
    for (status, row, state, reason) in [
        (401, Row::InvalidKey, Blocked, Some("invalid_key")),
        (401, Row::BadModel, Ready, None),
        (402, Row::Payment, Blocked, Some("payment")),
        (403, Row::QuotaCycle, Cooling, Some("quota")),
        (403, Row::QuotaWeek, Cooling, Some("quota")),
        (403, Row::QuotaMonth, Cooling, Some("quota")),
        (403, Row::ConcurrentLimit, Ready, None),
        (403, Row::ClientRefused, Ready, None),
        (403, Row::Banned, Blocked, Some("banned")),
        (429, Row::RateLimited, Cooling, Some("rate_limited")),
        (429, Row::Overloaded, Ready, None),
        (429, Row::QuotaPeriod, Cooling, Some("quota")),
        (429, Row::Balance, Blocked, Some("balance")),
        (429, Row::TierLimit, Cooling, Some("rate_limited")),
        (400, Row::InvalidRequest, Ready, None),
        (404, Row::ModelNotFound, Ready, None),
        (500, Row::UpstreamError, Ready, None),
        (403, Row::Unknown, Ready, None),
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "beta"]);
        bench.meet("alpha", &refused(status, row));
        let view = bench.view("alpha");
        assert_eq!((view.state, view.reason), (state, reason), "{row:?}");
        assert_eq!(bench.state("beta"), Ready, "{row:?}: another account's key");
    }
}

#[test]
fn an_accounts_fault_hits_all_its_keys_and_a_keys_fault_only_itself() {
    use KeyState::{Blocked, Cooling, Ready};
    for (status, row, mate) in [
        (402, Row::Payment, Blocked),
        (403, Row::Banned, Blocked),
        (429, Row::Balance, Blocked),
        (403, Row::QuotaCycle, Cooling),
        (429, Row::RateLimited, Cooling),
        (401, Row::InvalidKey, Ready),
        (404, Row::ModelNotFound, Ready),
    ] {
        let mut bench = Bench::new(failover(), &["alpha", "other", "beta"]);
        bench.one_account(&["alpha", "beta"]);
        let effects = bench.meet("alpha", &refused(status, row));
        assert_eq!(bench.state("beta"), mate, "{row:?}");
        assert_eq!(bench.state("other"), Ready, "{row:?}");
        assert_eq!(bench.left_of("beta"), if mate == Ready { None } else { bench.left_of("alpha") });
        let told = effects.iter().filter(|effect| match effect {
            Effect::Blocked { label, .. } | Effect::Cooled { label, .. } => &**label == "beta",
            _ => false,
        });
        assert_eq!(told.count(), usize::from(mate != Ready), "{row:?}");
    }
}

#[test]
fn a_reading_without_a_user_leaves_the_key_in_its_account() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.left("alpha", 80.0);
    bench.meet("beta", &unpaid());
    assert_eq!(bench.view("alpha").reason, Some(BlockReason::Payment.name()));
}
