use super::*;
use crate::fixtures;

fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
}

#[test]
fn confidence_is_the_largest_deviation_beyond_what_whole_requests_force() {
    let of = |pairs: &[(&str, u32)]| (confidence(&counts(pairs)) * 10.0).round() / 10.0;
    assert_eq!(of(&[("a", 10), ("b", 10)]), 100.0);
    assert_eq!(of(&[("a", 17), ("b", 17), ("c", 16)]), 100.0);
    // Mean 50/3, one more than 17: 100 - 100 * 3/50.
    assert_eq!(of(&[("a", 18), ("b", 16), ("c", 16)]), 94.0);
    assert_eq!(of(&[("a", 60), ("b", 40)]), 80.0);
    assert_eq!(of(&[("a", 50), ("b", 0), ("c", 0)]), 0.0);
    assert_eq!(of(&[("a", 1), ("b", 1), ("c", 0)]), 100.0);
    assert_eq!(of(&[("a", 2), ("b", 0), ("c", 0)]), 0.0);
    assert_eq!(of(&[("a", 5)]), 100.0);
    assert_eq!(of(&[("a", 0)]), 0.0);
    assert_eq!(of(&[]), 0.0);
}

/// The window of a rotation that goes on and on, and the same with one request moved.
#[test]
fn a_perfect_rotation_passes_with_any_number_of_keys() {
    for keys in 2..=20_u32 {
        for requests in 1..=100 {
            let perfect: BTreeMap<String, u32> =
                (0..keys).map(|key| (format!("k{key}"), (requests + keys - 1 - key) / keys)).collect();
            assert_eq!(perfect.values().sum::<u32>(), requests);
            assert_eq!(confidence(&perfect), 100.0, "{requests} requests over {keys} keys: {perfect:?}");
            let mut moved = perfect;
            let taken = moved["k1"];
            if taken == 0 {
                continue;
            }
            // A key gets two of its turns in a row, the next none: an error while there are few turns.
            moved.insert("k1".into(), taken - 1);
            *moved.entry("k0".into()).or_default() += 1;
            let worth = confidence(&moved);
            assert!(worth < 100.0, "{moved:?}");
            assert_eq!(worth < 95.0, f64::from(requests) / f64::from(keys) < 20.0, "{worth}: {moved:?}");
        }
    }
}

#[test]
fn a_ready_key_that_served_nothing_counts() {
    let keys = fixtures::keys().keys;
    let window: VecDeque<String> = ["beta", "beta"].map(str::to_owned).into();
    assert_eq!(count(&keys, &window), counts(&[("alpha", 0), ("beta", 2)]));
    let mut warned = keys;
    warned[0].state = "warn".into();
    assert_eq!(count(&warned, &VecDeque::new()), counts(&[("alpha", 0)]));
}

#[test]
fn keys_below_the_first_tier_that_serves_do_not_count() {
    let mut keys = fixtures::keys().keys;
    keys.iter_mut().for_each(|key| key.state = "ready".into());
    let nobody = VecDeque::new();
    keys[1].priority = 10;
    assert_eq!(count(&keys, &nobody), counts(&[("月之暗面", 0)]));
    keys[2].priority = 10;
    assert_eq!(count(&keys, &nobody), counts(&[("月之暗面", 0), ("gamma", 0)]));
    // A key of the first tier serves in state warn before a ready one of the next.
    keys[1].state = "warn".into();
    assert_eq!(count(&keys, &nobody), counts(&[("gamma", 0)]));
    keys[2].state = "blocked".into();
    assert_eq!(count(&keys, &nobody), counts(&[("月之暗面", 0)]));
    keys[1].state = "cooling".into();
    assert_eq!(count(&keys, &nobody), counts(&[("alpha", 0)]));
    // What served counts in any case.
    assert_eq!(count(&keys, &["gamma".to_owned()].into()), counts(&[("alpha", 0), ("gamma", 1)]));
}

#[test]
fn one_failure_is_enough_to_fail() {
    let keys = &fixtures::keys().keys[..1];
    let args = E2eArgs::default();
    let report = |answered: u32, failed: &[(&str, u32)]| {
        let window = (0..answered).map(|_| "alpha".to_owned()).collect();
        judged(&args, "auto", keys, Seen { answered, failed: counts(failed), window })
    };
    assert!(report(50, &[]).passed);
    for (answered, failed) in [(49, ("http_500", 1)), (1, ("timeout", 49)), (0, ("token", 1))] {
        let report = report(answered, &[failed]);
        assert_eq!(report.sent, answered + failed.1);
        assert!(!report.passed && report.exit() == Exit::Failed, "{report:?}");
    }
}

#[test]
fn verdicts() {
    let good = Report {
        sent: 50,
        answered: 50,
        failed: BTreeMap::new(),
        window: 50,
        keys: counts(&[("alpha", 25), ("月之暗面", 25)]),
        confidence: 100.0,
        min_confidence: 95.0,
        passed: true,
        rotation: "auto".into(),
    };
    let bad = Report {
        answered: 40,
        failed: counts(&[("timeout", 9), ("http_503", 1)]),
        window: 40,
        keys: counts(&[("alpha", 40), ("月之暗面", 0)]),
        confidence: 0.0,
        passed: false,
        rotation: "manual".into(),
        ..good.clone()
    };
    let some_failed = Report { sent: 51, failed: counts(&[("no_key", 1)]), passed: false, ..good.clone() };
    let none = Report {
        answered: 0,
        failed: counts(&[("http_404", 50)]),
        window: 0,
        keys: counts(&[("alpha", 0), ("月之暗面", 0)]),
        ..bad.clone()
    };
    let refused = Report { sent: 1, failed: counts(&[("token", 1)]), ..none.clone() };
    assert_eq!((good.exit(), bad.exit()), (Exit::Ok, Exit::Failed));
    insta::assert_snapshot!(fixtures::looks(|view| {
        [&good, &bad, &some_failed, &none, &refused].map(|report| render(view, report)).join("\n")
    }));
}

#[test]
fn the_progress_fills_up() {
    assert_eq!(progress_line(0, 50, "0 of 50"), "[........................] 0 of 50");
    assert_eq!(progress_line(25, 50, "x"), "[############............] x");
    assert_eq!(progress_line(50, 50, "x"), "[########################] x");
    assert_eq!(progress_line(0, 0, "x"), "[........................] x");
}
