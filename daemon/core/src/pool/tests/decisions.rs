//! Every lease can say why.

use super::*;
use crate::policy::Policy;

const LABELS: &[&str] = &["alpha", "beta", "gamma"];

fn words(decision: &Decision) -> Vec<(&str, bool, Option<&str>, Option<&str>)> {
    let word = |one: &'_ Considered| (one.chosen, one.obstacle, one.reason);
    let with_label = |one| {
        let (chosen, obstacle, reason) = word(one);
        (&*one.label, chosen, obstacle, reason)
    };
    decision.candidates.iter().map(with_label).collect()
}

#[test]
fn in_auto_mode_the_turn_and_who_was_kept_out() {
    let mut bench = Bench::auto(Rules::default(), LABELS);
    let lease = bench.lease_of("alpha");
    bench.end(lease, &unpaid());
    let lease = bench.lease();
    assert_eq!(
        words(&lease.decision),
        [
            ("beta", true, None, Some("in_turn")),
            ("gamma", false, None, Some("in_turn")),
            ("alpha", false, Some("state"), Some("payment")),
        ]
    );
    let alpha = &lease.decision.candidates[2];
    assert_eq!((alpha.state, alpha.until), (KeyState::Blocked, Some(bench.now + secs(HOUR))));
    assert_eq!(lease.decision.short(), "round-robin; no_session; in_turn; 2/3");
}

#[test]
fn manual_mode_names_the_active_key_and_failover_the_next() {
    let mut bench = Bench::new(Rules::default(), LABELS);
    assert_eq!(
        words(&bench.lease().decision),
        [
            ("alpha", true, None, Some("active")),
            ("beta", false, Some("not_active"), None),
            ("gamma", false, Some("not_active"), None)
        ]
    );
    let mut bench = Bench::new(failover(), LABELS);
    let tried = [key("alpha").fingerprint];
    let lease = bench.pool.lease(&Demand { tried: &tried, ..Demand::default() }, bench.now).unwrap();
    assert_eq!(words(&lease.decision)[0], ("beta", true, None, Some("next")));
    assert_eq!(words(&lease.decision)[2], ("alpha", false, Some("tried"), None));
    assert_eq!(lease.decision.short(), "failover; no_session; next; 2/3");
}

#[test]
fn windows_carry_their_age_and_source() {
    let mut bench = Bench::auto(Rules { policy: Policy::MostLeft, ..Rules::default() }, LABELS);
    bench.left("alpha", 40.0);
    bench.pass(90);
    let decision = serde_json::to_value(bench.pool.plan(bench.now)).unwrap();
    assert_eq!(decision["candidates"][0]["key_label"], "alpha");
    let window = &decision["candidates"][0]["windows"][0];
    assert_eq!((window["percent_left"].as_f64(), window["age_seconds"].as_u64()), (Some(40.0), Some(90)));
    assert_eq!((window["source"].as_str(), decision["placement"].as_str()), (Some("poll"), Some("new")));
}

#[test]
fn a_plan_changes_nothing_and_comes_true() {
    for mut bench in [
        Bench::auto(Rules::default(), LABELS),
        Bench::new(failover(), LABELS),
        Bench::new(Rules::default(), LABELS),
    ] {
        for _ in 0..5 {
            let before = bench.pool.snapshot(bench.now);
            let plans = [bench.pool.plan(bench.now), bench.pool.plan(bench.now)];
            assert_eq!(words(&plans[0]), words(&plans[1]));
            assert_eq!(bench.pool.snapshot(bench.now), before);
            let lease = bench.lease();
            assert_eq!(plans[0].chosen().map(|chosen| &chosen.label), Some(&lease.key.label));
        }
    }
}

#[test]
fn of_many_keys_the_best_are_listed() {
    let mut bench = Bench::auto(Rules::default(), LABELS);
    let labels: Vec<String> = (0..40).map(|n| format!("k{n:02}")).collect();
    bench.pool.set_keys(labels.iter().map(|label| key(label)).collect(), bench.now);
    let decision = bench.lease().decision;
    assert_eq!((decision.candidates.len(), decision.left_off), (16, 24));
    assert!(decision.candidates[0].chosen);
}
