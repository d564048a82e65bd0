//! What every policy has to keep, whatever the candidates, and what each is for.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn now() -> Time {
    Time::parse("2026-11-23T12:00:00Z").unwrap()
}

fn window(hours_long: u64, percent: f64, resets_in: Option<u64>) -> Left {
    Left {
        percent,
        resets_at: resets_in.map(|seconds| now() + Duration::from_secs(seconds)),
        length: Some(Duration::from_secs(hours_long * HOUR)),
        burn: None,
        pace: None,
    }
}

fn short(percent: f64, resets_in: u64) -> Left {
    window(5, percent, Some(resets_in))
}

fn week(percent: f64, resets_in: u64) -> Left {
    window(7 * 24, percent, Some(resets_in))
}

fn candidate(index: usize, windows: &[Left]) -> Candidate {
    Candidate {
        index,
        priority: 0,
        account: AccountId::of_user(&index.to_string(), "h"),
        windows: windows.iter().copied().collect(),
        size: 20.0,
        in_flight: 0,
        warn: false,
    }
}

fn ranking(policy: Policy, candidates: &[Candidate], standing: &Standing) -> Vec<Ranked> {
    let mut ranked = Vec::new();
    rank(policy, candidates, standing, now(), &mut ranked);
    ranked
}

fn places(policy: Policy, candidates: &[Candidate]) -> Vec<usize> {
    ranking(policy, candidates, &Standing::default()).iter().map(|ranked| ranked.index).collect()
}

fn using(index: usize) -> Standing {
    Standing { current: Some(AccountId::of_user(&index.to_string(), "h")), ..Standing::default() }
}

#[test]
fn round_robin_goes_on_from_its_turn() {
    let candidates: Vec<Candidate> = [0, 1, 3].map(|index| candidate(index, &[])).into();
    for (turn, expected) in [(0, [0, 1, 3]), (1, [1, 3, 0]), (2, [3, 0, 1]), (4, [0, 1, 3])] {
        let standing = Standing { turn, ..Standing::default() };
        let order = ranking(Policy::RoundRobin, &candidates, &standing);
        assert_eq!(order.iter().map(|ranked| ranked.index).collect::<Vec<_>>(), expected, "{turn}");
    }
}

#[test]
fn priority_comes_before_any_policy() {
    let mut low = candidate(0, &[short(100.0, HOUR), week(100.0, HOUR)]);
    let high = Candidate { priority: 5, warn: true, ..candidate(1, &[short(1.0, HOUR), week(1.0, 6 * DAY)]) };
    low.size = 1000.0;
    for policy in Policy::ALL {
        assert_eq!(places(policy, &[low.clone(), high.clone()]), [1, 0], "{}", policy.name());
    }
}

#[test]
fn most_left_looks_at_the_worst_window_and_the_plan() {
    let full_week = candidate(0, &[short(10.0, HOUR), week(90.0, DAY)]);
    let half = candidate(1, &[short(50.0, HOUR), week(50.0, DAY)]);
    let big = Candidate { size: 60.0, ..candidate(2, &[short(30.0, HOUR), week(90.0, DAY)]) };
    let unknown = candidate(3, &[]);
    assert_eq!(
        places(Policy::MostLeft, &[unknown.clone(), full_week.clone(), half.clone(), big.clone()]),
        [2, 1, 0, 3]
    );
}

#[test]
fn of_equals_the_less_busy_one_is_taken() {
    let busy = Candidate { in_flight: 3, ..candidate(0, &[week(50.4, DAY)]) };
    let idle = candidate(1, &[week(50.0, DAY)]);
    for policy in [Policy::MostLeft, Policy::Drain] {
        assert_eq!(places(policy, &[busy.clone(), idle.clone()]), [1, 0], "{}", policy.name());
    }
}

#[test]
fn drain_takes_what_expires_first() {
    let soon = candidate(0, &[short(80.0, HOUR), week(30.0, 10 * HOUR)]);
    let later = candidate(1, &[short(90.0, HOUR), week(90.0, 6 * DAY)]);
    let full = candidate(2, &[short(0.0, HOUR), week(90.0, HOUR)]);
    assert_eq!(places(Policy::Drain, &[full.clone(), later.clone(), soon.clone()]), [0, 1, 2]);
}

#[test]
fn drain_leaves_the_rest_of_a_short_window_to_its_sessions() {
    let low = candidate(0, &[short(8.0, 3 * HOUR), week(60.0, DAY)]);
    let other = candidate(1, &[short(90.0, HOUR), week(90.0, 6 * DAY)]);
    assert_eq!(places(Policy::Drain, &[low.clone(), other.clone()]), [1, 0]);
    assert_eq!(
        ranking(Policy::Drain, &[low.clone(), other.clone()], &using(0))[0].index,
        0,
        "not yet for the one in use"
    );
    let about_to_reset = candidate(0, &[short(8.0, 600), week(60.0, DAY)]);
    assert_eq!(
        places(Policy::Drain, &[about_to_reset.clone(), other.clone()]),
        [0, 1],
        "what resets anyway is not spared"
    );
    let last_of_the_week = candidate(0, &[short(8.0, 3 * HOUR), week(8.0, DAY)]);
    assert_eq!(
        places(Policy::Drain, &[last_of_the_week.clone(), other.clone()]),
        [0, 1],
        "there is no plenty to wait for"
    );
}

#[test]
fn drain_stays_unless_another_is_clearly_ahead() {
    let candidates = [candidate(0, &[week(50.0, 40 * HOUR)]), candidate(1, &[week(50.0, 38 * HOUR)])];
    assert_eq!(places(Policy::Drain, &candidates), [1, 0]);
    let kept = ranking(Policy::Drain, &candidates, &using(0));
    assert_eq!((kept[0].index, kept[0].reason), (0, "stays"));
    let ahead = [candidates[0].clone(), candidate(1, &[week(50.0, 20 * HOUR)])];
    assert_eq!(ranking(Policy::Drain, &ahead, &using(0))[0].index, 1);
    let crumbs = [candidates[0].clone(), candidate(1, &[week(0.1, 20 * HOUR)])];
    assert_eq!(ranking(Policy::Drain, &crumbs, &using(0))[0].index, 0, "crumbs are not worth the cache");
}

#[test]
fn drain_begins_in_time_with_what_takes_long() {
    // With traffic for it, a full week that goes out at 4 % an hour has no hour to lose before its reset in 25.
    let slow = Left { burn: Some(10.0), pace: Some(4.0), ..week(100.0, 25 * HOUR) };
    let quick = Left { burn: Some(10.0), pace: Some(4.0), ..week(10.0, 20 * HOUR) };
    assert_eq!(places(Policy::Drain, &[candidate(0, &[quick]), candidate(1, &[slow])]), [1, 0]);
    // With little traffic it cannot be used up anyway, and the one that expires first goes first.
    let calm = |left: Left| Left { burn: Some(0.1), ..left };
    assert_eq!(places(Policy::Drain, &[candidate(0, &[calm(quick)]), candidate(1, &[calm(slow)])]), [0, 1]);
}

#[test]
fn more_windows_than_fit_keep_the_worst() {
    let windows: Windows = (0..40).rev().map(|percent| week(f64::from(percent), DAY)).collect();
    assert_eq!((windows.as_slice().len(), windows.worst_percent()), (MAX_WINDOWS, Some(0.0)));
}

prop_compose! {
    fn any_left()(
        percent in prop_oneof![Just(0.0), 0.0..100.0, Just(100.0)],
        resets_in in proptest::option::of(0..40 * DAY),
        length in proptest::option::of(prop_oneof![Just(5 * HOUR), Just(7 * DAY), 1..40 * DAY]),
        burn in proptest::option::of(0.0..200.0),
        pace in proptest::option::of(0.0..50.0),
    ) -> Left {
        Left {
            percent,
            resets_at: resets_in.map(|seconds| now() + Duration::from_secs(seconds)),
            length: length.map(Duration::from_secs),
            burn,
            pace,
        }
    }
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let one = (
        proptest::collection::vec(any_left(), 0..8),
        0.0..100.0,
        0u32..4,
        any::<bool>(),
        -1..2,
        0u8..4,
        any::<bool>(),
    );
    proptest::collection::vec(one, 0..8).prop_map(|all| {
        let kept = all.into_iter().enumerate().filter(|(_, one)| one.6);
        kept.map(|(index, (windows, size, in_flight, warn, priority, account, _))| Candidate {
            priority,
            account: AccountId::of_user(&account.to_string(), "h"),
            size,
            in_flight,
            warn,
            ..candidate(index, &windows)
        })
        .collect()
    })
}

fn any_standing() -> impl Strategy<Value = Standing> {
    (0usize..10, proptest::option::of(0u8..4), any::<bool>()).prop_map(|(turn, current, include_warn)| {
        Standing {
            turn,
            current: current.map(|user| AccountId::of_user(&user.to_string(), "h")),
            include_warn,
        }
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    proptest::sample::select(&Policy::ALL[..])
}

proptest! {
    #[test]
    fn a_ranking_holds_each_candidate_once_and_does_not_depend_on_their_order(
        policy in any_policy(), candidates in any_candidates(), standing in any_standing(), cut in any::<prop::sample::Index>(),
    ) {
        let ranked = ranking(policy, &candidates, &standing);
        let mut indices: Vec<usize> = ranked.iter().map(|one| one.index).collect();
        let mut turned = candidates.clone();
        turned.rotate_left(cut.index(candidates.len() + 1));
        turned.reverse();
        let again: Vec<usize> = ranking(policy, &turned, &standing).iter().map(|one| one.index).collect();
        prop_assert_eq!(&again, &indices);
        let first = best(policy, &candidates, &standing, now()).map(|one| one.index);
        prop_assert_eq!(first, indices.first().copied());
        indices.sort_unstable();
        prop_assert_eq!(indices, candidates.iter().map(|one| one.index).collect::<Vec<_>>());
        for pair in ranked.windows(2) {
            let tier = |one: &Ranked| candidates.iter().find(|c| c.index == one.index).unwrap().priority;
            prop_assert!(tier(&pair[0]) >= tier(&pair[1]));
        }
    }

    #[test]
    fn more_left_never_ranks_lower_under_most_left(
        mut candidates in any_candidates(), standing in any_standing(), which in any::<prop::sample::Index>(), more in 0.0..50.0,
    ) {
        prop_assume!(!candidates.is_empty());
        let at = which.index(candidates.len());
        let index = candidates[at].index;
        let place = |candidates: &[Candidate]| {
            ranking(Policy::MostLeft, candidates, &standing).iter().position(|one| one.index == index).unwrap()
        };
        let before = place(&candidates);
        let windows = &candidates[at].windows;
        candidates[at].windows = windows
            .as_slice()
            .iter()
            .map(|left| Left { percent: f64::min(left.percent + more, 100.0), ..*left })
            .collect();
        prop_assert!(place(&candidates) <= before);
    }

    #[test]
    fn drain_never_prefers_an_account_with_an_empty_window(
        candidates in any_candidates(), standing in any_standing(),
    ) {
        let ranked = ranking(Policy::Drain, &candidates, &standing);
        let of = |one: &Ranked| candidates.iter().find(|c| c.index == one.index).unwrap();
        let empty = |one: &Ranked| of(one).windows.worst_percent().is_some_and(|left| left <= 0.0);
        for pair in ranked.windows(2).filter(|pair| of(&pair[0]).priority == of(&pair[1]).priority) {
            prop_assert!(!empty(&pair[0]) || empty(&pair[1]), "{:?}", pair);
        }
    }
}
