#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;
use crate::key::Secret;

const EVERY: Duration = Duration::from_secs(600);
const PACE: Pace = Pace { every: EVERY, rest_when_idle: true };

fn at(seconds: i64) -> Time {
    Time::from_millis(1_000_000_000 + seconds * 1000)
}

fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint::of(&Secret::new(name))
}

/// A key in use, whose account is known by `account`.
fn key(name: &str, account: &str) -> Readable {
    Readable {
        fingerprint: fingerprint(name),
        account: AccountId::of_user(account, "h"),
        last_used: Some(at(100_000)),
        left_percent: Some(80.0),
        empty_at: None,
        has_reset: false,
        refused: false,
    }
}

fn read(plan: &mut RefreshPlan, key: Fingerprint, good: bool, now: Time) {
    plan.done(key, good, PACE, now, 512);
}

#[test]
fn a_new_account_is_read_at_once_and_then_in_its_turn() {
    let a = key("a", "one");
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[a], PACE, at(0));
    assert_eq!(plan.take_due(at(0)), [a.fingerprint]);
    assert!(plan.take_due(at(0)).is_empty() && plan.next_due().is_none());
    plan.done(a.fingerprint, true, PACE, at(1), 1023);
    let due = plan.next_due().unwrap();
    assert!(due >= at(541) && due <= at(661), "{due}");
    plan.hurry(a.fingerprint);
    assert_eq!(plan.take_due(at(5)), [a.fingerprint]);
}

#[test]
fn one_key_of_an_account_is_read_and_the_next_when_it_fails() {
    let (a, b) = (key("a", "one"), key("b", "one"));
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[a, b], PACE, at(0));
    assert_eq!(plan.take_due(at(0)), [a.fingerprint]);
    read(&mut plan, a.fingerprint, false, at(0));
    plan.set_keys(&[a, b], PACE, at(1));
    assert_eq!(plan.take_due(at(40)), [b.fingerprint]);
    read(&mut plan, b.fingerprint, true, at(40));
    plan.set_keys(&[a, b], PACE, at(41));
    assert!(plan.take_due(at(500)).is_empty());
    assert_eq!(plan.take_due(at(700)), [b.fingerprint], "which answered");
}

#[test]
fn keys_that_turn_out_to_be_one_account_are_not_read_again() {
    let unknown = |name: &str| Readable { account: AccountId::of_key(fingerprint(name)), ..key(name, "") };
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[unknown("a"), unknown("b")], PACE, at(0));
    assert_eq!(plan.take_due(at(0)).len(), 2, "nobody knows yet");
    let (a, b) = (key("a", "one"), key("b", "one"));
    read(&mut plan, a.fingerprint, true, at(1));
    plan.set_keys(&[a, unknown("b")], PACE, at(1));
    assert!(plan.take_due(at(1)).is_empty());
    read(&mut plan, b.fingerprint, true, at(2));
    plan.set_keys(&[a, b], PACE, at(2));
    assert!(plan.take_due(at(500)).is_empty());
    assert_eq!(plan.take_due(at(700)).len(), 1);
}

#[test]
fn failures_are_tried_again_sooner_but_ever_more_rarely() {
    let a = key("a", "one");
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[a], PACE, at(0));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        plan.take_due(at(0));
        read(&mut plan, a.fingerprint, false, at(0));
        pauses.push(plan.next_due().unwrap().since(at(0)));
        plan.hurry(a.fingerprint);
    }
    assert!(pauses.is_sorted() && pauses[0] <= Duration::from_secs(33) && pauses[7] <= EVERY.mul_f64(1.1));
}

/// How long after a good reading at 0 the next one is due, as things stand at `now`.
fn pause(key: Readable, pace: Pace, now: Time) -> Duration {
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[key], pace, at(0));
    plan.take_due(at(0));
    plan.done(key.fingerprint, true, pace, at(0), 512);
    plan.set_keys(&[key], pace, now);
    plan.next_due().unwrap().since(at(0))
}

#[test]
fn the_pace_follows_the_use() {
    let in_use = key("a", "one");
    let within = |pause: Duration, seconds: u64| {
        let middle = Duration::from_secs(seconds);
        assert!(
            pause >= middle.mul_f64(0.9) && pause <= middle.mul_f64(1.1),
            "{pause:?} is not about {seconds}"
        );
    };
    within(pause(in_use, PACE, at(100_000)), 600);
    within(pause(Readable { last_used: None, ..in_use }, PACE, at(100_000)), 2400);
    within(pause(Readable { last_used: Some(at(90_000)), ..in_use }, PACE, at(100_000)), 2400);
    within(pause(Readable { refused: true, last_used: None, ..in_use }, PACE, at(100_000)), 600);
    let strict = Pace { rest_when_idle: false, ..PACE };
    within(pause(Readable { last_used: None, ..in_use }, strict, at(100_000)), 600);
    let soon_dry = Readable { empty_at: Some(at(100_300)), ..in_use };
    within(pause(soon_dry, PACE, at(100_000)), 120);
    within(pause(Readable { left_percent: Some(2.0), ..in_use }, PACE, at(100_000)), 120);
    within(pause(Readable { has_reset: true, last_used: None, ..in_use }, PACE, at(100_000)), 120);
    let dry_and_unused = Readable { left_percent: Some(2.0), last_used: None, ..in_use };
    within(pause(dry_and_unused, PACE, at(100_000)), 2400);
}

#[test]
fn a_lowered_interval_pulls_planned_readings_in() {
    let a = key("a", "one");
    let mut plan = RefreshPlan::default();
    plan.set_keys(&[a], Pace { every: Duration::from_secs(86_400), ..PACE }, at(0));
    plan.take_due(at(0));
    plan.done(a.fingerprint, true, Pace { every: Duration::from_secs(86_400), ..PACE }, at(0), 0);
    assert!(plan.next_due().unwrap() > at(70_000));
    plan.set_keys(&[a], Pace { every: Duration::from_secs(60), ..PACE }, at(100));
    assert_eq!(plan.take_due(at(100)), [a.fingerprint]);
}

#[derive(Debug, Clone)]
enum Event {
    Keys(Vec<(usize, u8)>),
    Due,
    Done(usize, bool),
    Hurry(usize),
    Pass(i64),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        proptest::collection::vec((0usize..6, 0u8..4), 0..6).prop_map(Event::Keys),
        Just(Event::Due),
        (0usize..6, any::<bool>()).prop_map(|(key, good)| Event::Done(key, good)),
        (0usize..6).prop_map(Event::Hurry),
        (0i64..5000).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn two_keys_of_one_account_are_never_read_for_the_same_answer(
        events in proptest::collection::vec(any_event(), 1..60),
    ) {
        let mut plan = RefreshPlan::default();
        let mut accounts: BTreeMap<usize, u8> = BTreeMap::new();
        let mut now = at(0);
        let name = |index: usize| index.to_string();
        for event in events {
            match event {
                Event::Keys(wanted) => {
                    // a key that left while it was read is nobody's
                    accounts = wanted.into_iter().collect();
                    let keys: Vec<Readable> =
                        accounts.iter().map(|(index, account)| key(&name(*index), &account.to_string())).collect();
                    plan.set_keys(&keys, PACE, now);
                }
                Event::Due => {
                    let mut asked: Vec<u8> = Vec::new();
                    for due in plan.take_due(now) {
                        let (index, account) = accounts.iter().find(|(index, _)| fingerprint(&name(**index)) == due).unwrap();
                        prop_assert!(!asked.contains(account), "{index} of {account}");
                        asked.push(*account);
                    }
                    prop_assert!(plan.take_due(now).is_empty(), "what is under way is not asked again");
                }
                Event::Done(index, good) => plan.done(fingerprint(&name(index)), good, PACE, now, 7),
                Event::Hurry(index) => plan.hurry(fingerprint(&name(index))),
                Event::Pass(seconds) => now = now + Duration::from_secs(seconds as u64),
            }
        }
    }
}
