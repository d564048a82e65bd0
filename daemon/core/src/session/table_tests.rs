#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

fn id(number: u32) -> SessionId {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    SessionId(bytes)
}

fn key(number: u8) -> Fingerprint {
    format!("{number:012x}").parse().unwrap()
}

fn at(seconds: u64) -> Time {
    Time::from_millis(1_700_000_000_000) + Duration::from_secs(seconds)
}

#[test]
fn of_too_many_the_one_used_least_recently_goes() {
    let mut table = Table::default();
    for number in 0..100_000 {
        table.settle(id(number), key(1), at(0));
    }
    assert_eq!(table.residents(at(1))[&key(1)], 100_000);
    table.used(id(0), None, at(1));
    table.settle(id(100_000), key(2), at(1));
    assert_eq!(table.sessions.len(), 100_000);
    assert_eq!(table.residents(at(1)), BTreeMap::from([(key(1), 99_999), (key(2), 1)]));
    assert!(table.get(id(0), at(1)).is_some());
    assert!(table.get(id(1), at(1)).is_none());
    assert!(table.get(id(2), at(1)).is_some());
    assert!(table.get(id(100_000), at(1)).is_some());
    table.clear();
    assert!(table.residents(at(1)).is_empty());
}

#[test]
fn an_idle_session_is_forgotten_and_its_memory_freed() {
    let mut table = Table::default();
    table.settle(id(1), key(1), at(0));
    table.settle(id(2), key(1), at(1800));
    assert!(table.get(id(1), at(3599)).is_some());
    assert!(table.get(id(1), at(3600)).is_none());
    assert_eq!(table.residents(at(3600)), BTreeMap::from([(key(1), 1)]));
    table.used(id(2), None, at(3600));
    assert_eq!(table.sessions.len(), 1);
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 32, "{}", size_of::<Session>());
}

#[test]
fn only_the_home_can_be_left() {
    let mut table = Table::default();
    table.settle(id(1), key(1), at(0));
    table.leave(id(1), key(2));
    table.leave(id(7), key(1));
    assert!(!table.get(id(1), at(0)).unwrap().leaving);
    table.leave(id(1), key(1));
    assert!(table.get(id(1), at(0)).unwrap().leaving);
    table.stay(id(1), key(2));
    assert!(table.get(id(1), at(0)).unwrap().leaving, "what was served elsewhere says nothing");
    table.stay(id(1), key(1));
    assert!(!table.get(id(1), at(0)).unwrap().leaving);
    table.leave(id(1), key(1));
    table.settle(id(1), key(2), at(0));
    assert!(!table.get(id(1), at(0)).unwrap().leaving);
}

/// What another process tells of a session.
fn told(number: u32, home: u8, leaving: bool, seconds: u64) -> Home {
    Home { session: id(number), key: key(home), lent_to: None, leaving, last_used: at(seconds) }
}

#[test]
fn of_two_homes_the_later_one_counts() {
    let mut table = Table::default();
    table.settle(id(1), key(1), at(100));
    table.learn(told(1, 2, true, 99), at(200));
    assert_eq!(table.homes(at(200)), [told(1, 1, false, 100)]);
    table.learn(told(1, 2, false, 101), at(200));
    assert_eq!(table.homes(at(200)), [told(1, 2, false, 101)]);
    assert_eq!(table.residents(at(200)), BTreeMap::from([(key(2), 1)]));
    // That its home refuses it is no less true for having been heard late.
    table.learn(told(1, 2, true, 50), at(200));
    assert_eq!(table.homes(at(200)), [told(1, 2, true, 101)]);
    table.learn(told(1, 2, false, 150), at(200));
    assert_eq!(table.homes(at(200)), [told(1, 2, true, 150)]);
    // What is idle is not worth knowing.
    table.learn(told(2, 1, false, 0), at(3600));
    assert_eq!(table.homes(at(3600)), [told(1, 2, true, 150)]);
}

#[test]
fn not_more_is_learnt_than_there_is_room_for() {
    let mut table = Table::default();
    for number in 0..100_001 {
        table.learn(told(number, 1, false, 0), at(1));
    }
    assert_eq!(table.sessions.len(), 100_000);
    assert!(table.get(id(0), at(1)).is_none() && table.get(id(100_000), at(1)).is_some());
}

#[derive(Debug, Clone)]
enum Step {
    Settle(u32, u8),
    Used(u32, Option<u8>),
    Leave(u32, u8),
    ComeBack(u32, u8),
    Pass(u64),
}

fn a_step() -> impl Strategy<Value = Step> {
    let (session, home) = (0..12u32, 0..3u8);
    prop_oneof![
        (session.clone(), home.clone()).prop_map(|(session, home)| Step::Settle(session, home)),
        (session.clone(), prop::option::of(home.clone())).prop_map(|(session, to)| Step::Used(session, to)),
        (session.clone(), home.clone()).prop_map(|(session, home)| Step::Leave(session, home)),
        (session, home).prop_map(|(session, home)| Step::ComeBack(session, home)),
        (0..2000u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Against a plain list in the order of use.
    #[test]
    fn the_table_is_a_list_that_forgets(steps in prop::collection::vec(a_step(), 1..200)) {
        let mut table = Table::default();
        let mut list: Vec<(SessionId, Session)> = Vec::new();
        let mut seconds = 0;
        for step in steps {
            let now = at(seconds);
            match step {
                Step::Settle(number, home) => {
                    table.settle(id(number), key(home), now);
                    list.retain(|(known, _)| *known != id(number));
                    let session = Session { home: key(home), lent_to: None, leaving: false, last_used: now };
                    list.push((id(number), session));
                }
                Step::Used(number, to) => {
                    let to = to.map(key);
                    // What is forgotten is not used: the pool settles it anew.
                    if table.get(id(number), now).is_some() {
                        table.used(id(number), to, now);
                    }
                    if let Some(place) = list.iter().position(|(known, _)| *known == id(number)) {
                        let (known, mut session) = list.remove(place);
                        session.last_used = now;
                        session.lent_to = to.or(session.lent_to);
                        list.push((known, session));
                    }
                }
                Step::Leave(number, home) => {
                    table.leave(id(number), key(home));
                    for (known, session) in &mut list {
                        session.leaving |= *known == id(number) && session.home == key(home);
                    }
                }
                Step::ComeBack(number, home) => {
                    table.come_back(id(number), key(home));
                    for (_, session) in list.iter_mut().filter(|(known, _)| *known == id(number)) {
                        let left = std::mem::replace(&mut session.home, key(home));
                        (session.lent_to, session.leaving) = (Some(left), false);
                    }
                }
                Step::Pass(more) => seconds += more,
            }
            let now = at(seconds);
            list.retain(|(_, session)| now.since(session.last_used) < IDLE);
            let mut residents = BTreeMap::new();
            for (_, session) in &list {
                *residents.entry(session.home).or_insert(0) += 1;
            }
            prop_assert_eq!(table.residents(now), residents);
            // Handed over to another process all is as it was.
            let mut successor = Table::default();
            table.homes(now).into_iter().for_each(|home| successor.learn(home, now));
            prop_assert_eq!(successor.homes(now), table.homes(now));
            prop_assert_eq!(successor.residents(now), table.residents(now));
            for number in 0..12 {
                let known = list.iter().find(|(known, _)| *known == id(number)).map(|(_, session)| *session);
                prop_assert_eq!(table.get(id(number), now), known);
            }
            prop_assert!(table.sessions.len() == table.residents.values().sum::<usize>());
        }
    }
}
