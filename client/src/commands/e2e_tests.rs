use super::*;
use crate::fixtures;

fn counts(pairs: &[(&str, u32)]) -> BTreeMap<String, u32> {
    pairs.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
}

#[test]
fn confidence_is_the_largest_relative_deviation_from_the_mean() {
    let of = |pairs: &[(&str, u32)]| (confidence(&counts(pairs)) * 10.0).round() / 10.0;
    assert_eq!(of(&[("a", 10), ("b", 10)]), 100.0);
    // Mean 50/3, largest deviation 2/3 of it: 100 - 100 * 0.04.
    assert_eq!(of(&[("a", 17), ("b", 17), ("c", 16)]), 96.0);
    assert_eq!(of(&[("a", 60), ("b", 40)]), 80.0);
    assert_eq!(of(&[("a", 50), ("b", 0), ("c", 0)]), 0.0);
    assert_eq!(of(&[("a", 5)]), 100.0);
    assert_eq!(of(&[("a", 0)]), 0.0);
    assert_eq!(of(&[]), 0.0);
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
    assert_eq!((good.exit(), bad.exit()), (Exit::Ok, Exit::Failed));
    insta::assert_snapshot!(fixtures::looks(|view| format!(
        "{}\n{}",
        render(view, &good),
        render(view, &bad)
    )));
}

#[test]
fn the_progress_fills_up() {
    assert_eq!(progress_line(0, 50, "0 of 50"), "[........................] 0 of 50");
    assert_eq!(progress_line(25, 50, "x"), "[############............] x");
    assert_eq!(progress_line(50, 50, "x"), "[########################] x");
    assert_eq!(progress_line(0, 0, "x"), "[........................] x");
}
