//! What makes a key ready, warn, cooling, blocked or disabled.

use super::*;
use crate::kimi::usage::Tokens;
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

/// A pool of three that has learnt what a token takes of alpha's five hours; by now 12 % of them must be left.
fn alpha_used_up_since_its_reading() -> Bench {
    let mut bench = Bench::auto(Rules::default(), &["alpha", "beta", "gamma"]);
    let uses = |bench: &mut Bench, input: u64| {
        let mut lease = bench
            .pool
            .lease(
                &Demand { tried: &[key("beta").fingerprint, key("gamma").fingerprint], ..Demand::default() },
                bench.now,
            )
            .unwrap();
        lease.tokens = Tokens { input, cached: 0, output: 0 };
        bench.end(lease, &Outcome::Completed);
    };
    for (label, percent) in [("alpha", 90.0), ("beta", 50.0), ("gamma", 30.0)] {
        bench.left(label, percent);
    }
    uses(&mut bench, 20_000);
    bench.pass(MINUTE);
    bench.left("alpha", 70.0);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    uses(&mut bench, 58_000);
    bench
}

#[test]
fn what_went_through_since_the_reading_counts_as_it_is_shown() {
    let bench = alpha_used_up_since_its_reading();
    let view = bench.view("alpha");
    let figure = &view.figures[0].figure;
    assert_eq!((figure.left_percent.round(), figure.source), (12.0, crate::ledger::Source::Ledger));
    assert_eq!((view.state, view.reason), (KeyState::Warn, Some("low_quota")));
    assert_eq!(bench.state("beta"), KeyState::Ready);
}

#[test]
fn a_key_that_was_used_up_since_its_reading_stands_back() {
    let mut bench = alpha_used_up_since_its_reading();
    assert_eq!(bench.serve_many(4), "beta gamma beta gamma");
    bench.pool.set_rules(Rules { allowed: true, include_warn: true, ..Rules::default() });
    assert!(bench.serve_many(3).contains("alpha"));

    let mut bench = alpha_used_up_since_its_reading();
    let rotated = bench.pool.rotate(None, bench.now).unwrap();
    assert_eq!((&*rotated.active.label, rotated.state), ("beta", KeyState::Ready), "beta has the most left");
}

#[test]
fn what_was_left_at_another_host_is_not_this_ones() {
    let mut bench = Bench::new(failover(), &["alpha"]);
    bench.left("alpha", 3.0);
    let elsewhere = BaseUrl::parse("https://api.kimi.ai/coding/v1").unwrap();
    bench.pool.set_keys(vec![Key { base_url: elsewhere, ..key("alpha") }], bench.now);
    let view = bench.view("alpha");
    assert_eq!((view.state, view.figures.len(), view.reading), (KeyState::Ready, 0, None));
}

#[test]
fn a_key_that_brings_an_older_reading_changes_nothing_of_its_accounts() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    bench.pool.set_keys(keys(&["beta"]), bench.now);
    bench.pass(MINUTE);
    let low = quota("account", &[("5h", 3.0, HOUR)], bench.now);
    bench.read("beta", &low);
    bench.pool.set_keys(keys(&["alpha", "beta"]), bench.now);
    bench.restart();
    assert_eq!((bench.state("alpha"), bench.state("beta")), (KeyState::Warn, KeyState::Warn));
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
