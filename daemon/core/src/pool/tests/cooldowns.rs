//! How long a key cools, and what ends it.

use super::*;
use crate::cooldown;

fn cools(bench: &mut Bench, outcome: &Outcome) -> u64 {
    bench.meet("alpha", outcome);
    assert_eq!(bench.state("alpha"), KeyState::Cooling);
    bench.left_of("alpha").unwrap()
}

fn alpha() -> Bench {
    Bench::new(failover(), &["alpha"])
}

#[test]
fn retry_after_comes_first() {
    assert_eq!(cools(&mut alpha(), &refused_for(429, Row::RateLimited, 42)), 42);
    assert_eq!(cools(&mut alpha(), &refused_for(429, Row::TierLimit, 1152)), 1152);

    let mut bench = alpha();
    let full = quota("", &[("5h", 0.5, HOUR), ("7d", 0.0, 3 * DAY)], bench.now);
    bench.read("alpha", &full);
    bench.pool.unblock(None, bench.now);
    assert_eq!(cools(&mut bench, &refused_for(403, Row::QuotaCycle, 30)), 30);
}

#[test]
fn else_the_reset_of_the_full_window() {
    let mut bench = alpha();
    let full = quota("", &[("5h", 0.0, 2 * HOUR), ("7d", 40.0, 3 * DAY)], bench.now);
    bench.read("alpha", &full);
    bench.pool.unblock(None, bench.now);
    assert_eq!(cools(&mut bench, &refused(403, Row::QuotaCycle)), 2 * HOUR);
}

#[test]
fn the_week_is_the_week_whatever_the_reading_shows() {
    let mut bench = alpha();
    let quota = quota("", &[("5h", 0.0, 2 * HOUR), ("7d", 40.0, 3 * DAY)], bench.now);
    bench.read("alpha", &quota);
    bench.pool.unblock(None, bench.now);
    assert_eq!(cools(&mut bench, &refused(403, Row::QuotaWeek)), 3 * DAY);
}

#[test]
fn the_month_cools_long_though_usages_says_it_is_free() {
    let mut bench = alpha();
    let free = quota("", &[("5h", 0.0, MINUTE), ("month", 100.0, 20 * DAY)], bench.now);
    bench.read("alpha", &free);
    bench.pool.unblock(None, bench.now);
    assert_eq!(cools(&mut bench, &refused(403, Row::QuotaMonth)), cooldown::MONTH.as_secs());

    let mut bench = alpha();
    let full = quota("", &[("month", 0.0, 20 * DAY)], bench.now);
    bench.read("alpha", &full);
    bench.pool.unblock(None, bench.now);
    assert_eq!(cools(&mut bench, &refused(403, Row::QuotaMonth)), 20 * DAY);
}

#[test]
fn else_a_backoff_that_grows_up_to_the_setting() {
    let mut bench = alpha();
    let mut last = 0;
    for strike in 0..16 {
        let pause = cools(&mut bench, &refused(429, Row::RateLimited));
        assert!(pause >= last && (1..=300).contains(&pause), "strike {strike}: {pause}");
        last = pause;
        bench.pass(pause + 1);
    }
    // random is 0 here: half of the longest, jitter adds the rest
    assert_eq!(last, 150);
    bench.meet("alpha", &Outcome::Completed);
    assert_eq!(cools(&mut bench, &refused(429, Row::RateLimited)), 1, "a success starts it anew");
}

#[test]
fn jitter_spreads_the_backoff() {
    let pauses: std::collections::BTreeSet<Time> = (0..1024)
        .step_by(64)
        .map(|random| {
            let mut bench = alpha();
            for _ in 0..5 {
                cools(&mut bench, &refused(429, Row::RateLimited));
                bench.pass(HOUR);
            }
            let lease = bench.lease();
            bench.pool.record(lease, &refused(429, Row::RateLimited), bench.now, random);
            bench.view("alpha").until.unwrap()
        })
        .collect();
    assert_eq!(pauses.len(), 16);
}

#[test]
fn floors() {
    assert_eq!(cools(&mut alpha(), &refused_for(429, Row::RateLimited, 0)), 1);
    assert_eq!(cools(&mut alpha(), &refused(429, Row::RateLimited)), 1);
    assert_eq!(cools(&mut alpha(), &refused(403, Row::QuotaCycle)), 60);
    assert_eq!(cools(&mut alpha(), &refused(429, Row::QuotaPeriod)), 60);
    assert_eq!(cools(&mut alpha(), &refused_for(403, Row::QuotaCycle, 0)), 60);
    assert_eq!(cools(&mut alpha(), &refused_for(403, Row::QuotaWeek, 0)), 1);
    let rules = Rules { longest_backoff: secs(5), ..failover() };
    assert_eq!(cools(&mut Bench::new(rules, &["alpha"]), &refused(403, Row::QuotaCycle)), 60);
}

#[test]
fn nothing_cools_longer_than_a_month() {
    let longest = cooldown::LONGEST.as_secs();
    assert_eq!(cools(&mut alpha(), &refused_for(429, Row::RateLimited, 365 * DAY)), longest);
    let mut bench = alpha();
    let quota = quota("", &[("5h", 0.0, 900 * DAY)], bench.now);
    bench.read("alpha", &quota);
    assert_eq!(bench.left_of("alpha"), Some(longest));
}

#[test]
fn a_quota_refusal_asks_for_a_reading() {
    let effects = alpha().meet("alpha", &refused(403, Row::QuotaCycle));
    assert!(effects.contains(&Effect::ReadQuota(key("alpha").fingerprint)));
    let effects = alpha().meet("alpha", &refused(429, Row::RateLimited));
    assert_eq!(effects.len(), 1);
}

#[test]
fn a_good_reading_lifts_what_a_reading_cooled() {
    let mut bench = alpha();
    let dry = quota("", &[("5h", 0.0, 2 * HOUR)], bench.now);
    assert_eq!(bench.read("alpha", &dry).len(), 1);
    assert_eq!((bench.view("alpha").reason, bench.left_of("alpha")), (Some("exhausted"), Some(2 * HOUR)));
    assert!(bench.read("alpha", &dry).is_empty(), "told once");
    bench.left("alpha", 100.0);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
}

#[test]
fn no_reading_lifts_what_a_response_cooled() {
    let mut bench = alpha();
    bench.meet("alpha", &refused_for(403, Row::QuotaCycle, 600));
    bench.left("alpha", 100.0);
    assert_eq!((bench.state("alpha"), bench.left_of("alpha")), (KeyState::Cooling, Some(600)));
    bench.pass(599);
    assert_eq!(bench.state("alpha"), KeyState::Cooling);
    bench.pass(1);
    assert_eq!(&*bench.serve(), "alpha");
}

#[test]
fn the_later_of_two_cooldowns_ends_it() {
    let mut bench = alpha();
    let dry = quota("", &[("5h", 0.0, 100)], bench.now);
    bench.read("alpha", &dry);
    bench.pool.entries[0].cooldown =
        Some(super::super::entry::Cooldown { since: None, until: bench.now + secs(200), reason: "quota" });
    assert_eq!((bench.view("alpha").reason, bench.left_of("alpha")), (Some("quota"), Some(200)));
    bench.left("alpha", 50.0);
    assert_eq!(bench.left_of("alpha"), Some(200));
}

#[test]
fn a_dry_account_with_other_quota_left_goes_on() {
    let mut bench = alpha();
    let dry = Quota { extra_left: true, ..quota("", &[("5h", 0.0, HOUR)], bench.now) };
    bench.read("alpha", &dry);
    assert_eq!(bench.state("alpha"), KeyState::Warn);
}

#[test]
fn a_dry_window_without_a_reset_cools_for_the_setting() {
    let mut bench = alpha();
    let mut dry = quota("", &[("5h", 0.0, HOUR)], bench.now);
    dry.windows[0].resets_at = None;
    bench.read("alpha", &dry);
    assert_eq!(bench.left_of("alpha"), Some(300));
}

#[test]
fn a_reading_of_one_key_is_its_accounts() {
    let mut bench = Bench::new(failover(), &["alpha", "beta", "other"]);
    bench.one_account(&["alpha", "beta"]);
    let dry = quota("account", &[("5h", 0.0, HOUR)], bench.now);
    assert_eq!(bench.read("alpha", &dry).len(), 2);
    assert_eq!((bench.state("beta"), bench.state("other")), (KeyState::Cooling, KeyState::Ready));
    bench.one_account(&["beta"]);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
}

#[test]
fn refusals_that_were_under_way_are_one_strike() {
    let mut bench = alpha();
    let leases: Vec<Lease> = (0..8).map(|_| bench.lease()).collect();
    for (index, lease) in leases.into_iter().enumerate() {
        // some come while it cools, some after
        bench.pass(if index == 4 { 10 } else { 0 });
        bench.end(lease, &refused(429, Row::RateLimited));
    }
    assert_eq!(bench.pool.entries[0].rate_strikes.count, 1);
}

#[test]
fn a_success_of_one_key_forgives_the_strikes_of_all_keys_of_its_account() {
    let mut bench = Bench::new(failover(), &["alpha", "beta"]);
    bench.one_account(&["alpha", "beta"]);
    for _ in 0..12 {
        let early = bench.lease_of("alpha");
        bench.meet("alpha", &refused(429, Row::RateLimited));
        bench.pass(1);
        bench.end(early, &Outcome::Completed);
        assert!(
            bench.pool.entries.iter().all(|entry| entry.rate_strikes.count == 1),
            "what was under way forgives nothing"
        );
        bench.meet("alpha", &Outcome::Completed);
        bench.pass(HOUR);
        bench.one_account(&["alpha"]);
    }
    bench.restart();
    bench.meet("beta", &refused(429, Row::RateLimited));
    assert_eq!((bench.left_of("beta"), bench.left_of("alpha")), (Some(1), Some(1)));
}

#[test]
fn a_success_that_was_under_way_forgives_no_strike() {
    let mut bench = alpha();
    let early = bench.lease();
    bench.meet("alpha", &refused(429, Row::RateLimited));
    bench.end(early, &Outcome::Completed);
    assert_eq!(bench.pool.entries[0].rate_strikes.count, 1);
    bench.pass(1);
    bench.meet("alpha", &Outcome::Completed);
    assert_eq!(bench.pool.entries[0].rate_strikes.count, 0);
}

#[test]
fn a_throughput_limit_and_a_quota_refusal_count_their_own_strikes() {
    let mut bench = alpha();
    for _ in 0..5 {
        bench.meet("alpha", &refused(429, Row::RateLimited));
        bench.pass(HOUR);
    }
    bench.meet("alpha", &refused_for(403, Row::QuotaCycle, DAY));
    bench.pass(15 * MINUTE);
    bench.left("alpha", 90.0);
    assert_eq!(
        bench.view("alpha").reason,
        Some("half_open"),
        "the first test comes after a quarter of an hour"
    );
    probe_ends(&mut bench, &refused(429, Row::RateLimited));
    assert_eq!(bench.view("alpha").reason, Some("half_open"), "that said nothing about the quota");
    probe_ends(&mut bench, &refused_for(403, Row::QuotaCycle, DAY));
    bench.pass(29 * MINUTE);
    bench.left("alpha", 90.0);
    assert_eq!(bench.view("alpha").reason, Some("quota"), "each further refusal doubles it");
    bench.pass(MINUTE);
    bench.left("alpha", 90.0);
    probe_ends(&mut bench, &Outcome::Completed);
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    for _ in 0..4 {
        bench.meet("alpha", &refused_for(403, Row::QuotaCycle, 60));
        bench.pass(61);
    }
    assert_eq!(cools(&mut bench, &refused(429, Row::RateLimited)), 1);
}

fn probe_ends(bench: &mut Bench, outcome: &Outcome) {
    let lease = bench.lease();
    assert!(lease.probe);
    bench.end(lease, outcome);
}

#[test]
fn quota_that_is_back_is_shown_so_from_the_first_output_on() {
    let mut bench = Bench::auto(failover(), &["alpha", "beta"]);
    bench.meet("alpha", &refused_for(403, Row::QuotaCycle, 3 * DAY));
    bench.pass(HOUR);
    bench.left("alpha", 100.0);
    bench.left("beta", 100.0);
    let mut leases: Vec<Lease> = (0..2).map(|_| bench.lease()).collect();
    let decides = leases.iter_mut().find(|lease| lease.probe).unwrap();
    let effects = bench.pool.answered(decides, bench.now);
    assert_eq!(effects, [Effect::Unblocked { label: "alpha".into() }]);
    // Its client leaves in the middle: that takes nothing back.
    leases.into_iter().for_each(|lease| drop(bench.end(lease, &Outcome::ClientLeft)));
    assert_eq!(bench.state("alpha"), KeyState::Ready);
    assert!(bench.serve_many(4).contains("alpha beta alpha"), "round robin goes over both");
}

#[test]
fn a_cooldown_is_never_shortened_and_a_longer_one_for_another_reason_is_told() {
    let mut bench = alpha();
    let leases: Vec<Lease> = (0..3).map(|_| bench.lease()).collect();
    let mut effects = Vec::new();
    let outcomes = [refused_for(429, Row::RateLimited, 5), refused_for(403, Row::QuotaWeek, 500), shorter()];
    for (lease, outcome) in leases.into_iter().zip(outcomes) {
        effects.extend(bench.end(lease, &outcome));
    }
    assert_eq!(bench.left_of("alpha"), Some(500));
    let reasons: Vec<&str> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Cooled { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["rate_limited", "quota"]);
}

fn shorter() -> Outcome {
    refused_for(429, Row::RateLimited, 2)
}
