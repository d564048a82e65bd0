use super::*;
use crate::fixtures;

#[test]
fn the_next_one_and_the_rest() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &fixtures::decision())));
}

#[test]
fn without_keys_it_says_how_to_add_one() {
    let mut plan = fixtures::decision();
    plan.candidates.clear();
    let text = fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| render(view, &plan));
    assert_eq!(text, "there are no keys; `kmi keys add` puts one in\n");
}

#[test]
fn the_policy_is_named_only_where_it_decides() {
    for (mode, named) in [("auto", true), ("failover", false), ("manual", false)] {
        let mut plan = fixtures::decision();
        plan.mode = mode.into();
        let text =
            fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| render(view, &plan));
        let first = text.lines().next().unwrap_or_default();
        assert!(first.contains(mode) && first.contains("new session"), "{first}");
        assert_eq!(first.contains("most left first"), named, "{first}");
    }
}

#[test]
fn nobody_can_serve() {
    let mut plan = fixtures::decision();
    plan.candidates.retain(|candidate| candidate.obstacle.is_some());
    insta::assert_snapshot!(fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
        render(view, &plan)
    }));
}
