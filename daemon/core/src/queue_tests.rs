#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn session(number: u8) -> Option<SessionId> {
    (number > 0).then_some(SessionId([number; 8]))
}

/// Whoever is first in order.
fn next<W>(queue: &mut Queue<W>) -> Option<W> {
    queue.serve(|_| Turn::Done(())).map(|(waiter, ())| waiter)
}

#[test]
fn a_thousand_of_one_session_delay_anothers_single_one_by_a_turn() {
    for crowd in [0, 1] {
        let mut queue = Queue::default();
        for number in 0..1000 {
            queue.push(session(crowd), 2000, ("crowd", number)).unwrap();
        }
        queue.push(session(2), 2000, ("single", 0)).unwrap();
        assert_eq!(next(&mut queue), Some(("crowd", 0)));
        assert_eq!(next(&mut queue), Some(("single", 0)));
        for number in 1..1000 {
            assert_eq!(next(&mut queue), Some(("crowd", number)));
        }
        assert_eq!(next(&mut queue), None);
    }
}

#[test]
fn one_who_cannot_be_served_holds_nobody_up_and_keeps_its_place() {
    let mut queue = Queue::default();
    for (line, name) in [(1, "a1"), (1, "a2"), (2, "b1")] {
        queue.push(session(line), 9, name).unwrap();
    }
    let serve = |queue: &mut Queue<&'static str>, can: fn(&str) -> bool| {
        let ask = |name: &&str| if can(name) { Turn::Done(()) } else { Turn::Waits };
        queue.serve(ask).map(|(name, ())| name)
    };
    assert_eq!(serve(&mut queue, |name| name != "a1"), Some("a2"));
    assert_eq!(serve(&mut queue, |name| name == "z"), None);
    assert_eq!(serve(&mut queue, |_| true), Some("b1"));
    assert_eq!(serve(&mut queue, |_| true), Some("a1"));
}

#[test]
fn a_full_queue_takes_nobody_until_one_leaves() {
    let mut queue = Queue::default();
    let tickets: Vec<Ticket> = (0..3).map(|n| queue.push(session(n), 3, n).unwrap()).collect();
    assert_eq!(queue.push(session(0), 3, 9), None);
    assert_eq!(queue.remove(tickets[1]), Some(1));
    assert_eq!(queue.remove(tickets[1]), None, "only once");
    assert!(queue.push(session(0), 3, 9).is_some());
    assert_eq!(queue.take_all(), [0, 2, 9]);
    assert!(queue.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Push(u8),
    Remove(usize),
    /// The next one whose number leaves a remainder of 0 by this.
    Serve(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..5u8).prop_map(Step::Push),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (1..4u64).prop_map(Step::Serve),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn nothing_is_lost_or_doubled_the_bound_holds_and_turns_are_fair(steps in steps(), most in 0..40usize) {
        let mut queue = Queue::default();
        // What must be in it: number, session, ticket.
        let mut waiting: BTreeMap<u64, (u8, Ticket)> = BTreeMap::new();
        // Turns of each other session that a session has seen pass since its own, while it could be served itself.
        let mut passed: BTreeMap<u8, BTreeMap<u8, u32>> = BTreeMap::new();
        let mut arrivals = 0u64;
        for step in steps {
            match step {
                Step::Push(line) => {
                    arrivals += 1;
                    let ticket = queue.push(session(line), most, (arrivals, line));
                    prop_assert_eq!(ticket.is_some(), waiting.len() < most);
                    if let Some(ticket) = ticket {
                        waiting.insert(arrivals, (line, ticket));
                    }
                }
                Step::Remove(which) => {
                    let chosen = waiting.keys().nth(which % waiting.len().max(1)).copied();
                    if let Some(number) = chosen {
                        let (line, ticket) = waiting.remove(&number).unwrap();
                        prop_assert_eq!(queue.remove(ticket), Some((number, line)));
                        prop_assert_eq!(queue.remove(ticket), None);
                        if !waiting.values().any(|(l, _)| *l == line) {
                            passed.remove(&line);
                        }
                    }
                }
                Step::Serve(divisor) => {
                    let can = |number: u64| number.is_multiple_of(divisor);
                    let ask = |w: &(u64, u8)| if can(w.0) { Turn::Done(()) } else { Turn::Waits };
                    let served = queue.serve(ask).map(|(waiter, ())| waiter);
                    prop_assert_eq!(served.is_some(), waiting.keys().any(|number| can(*number)));
                    if let Some((number, line)) = served {
                        let (of, ticket) = waiting.remove(&number).unwrap();
                        prop_assert_eq!(of, line);
                        prop_assert_eq!(queue.remove(ticket), None);
                        let earlier = waiting.iter().find(|(n, (l, _))| *l == line && **n < number && can(**n));
                        prop_assert!(earlier.is_none(), "first come within the session");
                        passed.remove(&line);
                        let could = waiting.iter().filter(|(n, (l, _))| *l != line && can(**n));
                        let could: BTreeSet<u8> = could.map(|(_, (l, _))| *l).collect();
                        for waits in could {
                            let turns = passed.entry(waits).or_default().entry(line).or_insert(0);
                            *turns += 1;
                            prop_assert!(*turns <= 1, "session {waits} was passed twice by {line}");
                        }
                    }
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
            prop_assert!(queue.len() <= most);
        }
        let mut left: Vec<u64> = queue.take_all().into_iter().map(|(number, _)| number).collect();
        left.sort_unstable();
        prop_assert_eq!(left, waiting.keys().copied().collect::<Vec<_>>());
    }
}
