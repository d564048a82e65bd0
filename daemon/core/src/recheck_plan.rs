//! When blocked keys are asked for again: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::key::Fingerprint;
use crate::time::Time;

/// A pass comes soon after the start: a kmid that is started anew more often than KMI_BLOCKLIST_RECHECK_SECONDS would
/// never come to one. Not at once, because one that fails and is started again and again would ask each time. And soon
/// after a key was blocked without an end: where an outage made it look dead, the outage is over by then, or at the
/// next pass.
const SOONEST: Duration = Duration::from_secs(15);
/// Machines that start together do not ask together.
const SPREAD: Duration = Duration::from_secs(45);

/// When the next pass over the blocked keys begins, and which it takes.
#[derive(Debug)]
pub struct RecheckPlan {
    /// The start of kmid, then of the last pass.
    last: Time,
    /// A pass that does not wait for its turn.
    soon: Option<Time>,
    blocked: BTreeMap<Fingerprint, Blocked>,
}

/// How a block stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// It ends by itself.
    Ends,
    /// It does not.
    Endless,
    /// The key's next request decides: nobody asks for it.
    HalfOpen,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    block: Block,
    asked: Option<Time>,
}

impl Blocked {
    fn waits(&self) -> bool {
        self.block != Block::HalfOpen
    }
}

impl RecheckPlan {
    /// That of a kmid which starts now. `random` is any number.
    #[must_use]
    pub fn at_start(now: Time, random: u64) -> Self {
        Self { last: now, soon: Some(now + soon(random)), blocked: BTreeMap::new() }
    }

    /// The keys that are blocked now. One that is blocked again by the request which was to decide is no new one: no
    /// outage made it look dead, and its account shall not be asked with each pass.
    pub fn set_blocked(
        &mut self,
        blocked: impl IntoIterator<Item = (Fingerprint, Block)>,
        now: Time,
        random: u64,
    ) {
        let known = std::mem::take(&mut self.blocked);
        for (key, block) in blocked {
            let asked = known.get(&key).and_then(|known| known.asked);
            self.blocked.insert(key, Blocked { block, asked });
            if block == Block::Endless && !known.contains_key(&key) {
                self.hurry(now, random);
            }
        }
    }

    fn hurry(&mut self, now: Time, random: u64) {
        let soon = now + soon(random);
        self.soon = Some(self.soon.map_or(soon, |earlier| earlier.min(soon)));
    }

    /// When the next pass is due, where they come `every` so long (KMI_BLOCKLIST_RECHECK_SECONDS).
    #[must_use]
    pub fn due(&self, every: Duration) -> Time {
        let next = self.last + every;
        self.soon.map_or(next, |soon| soon.min(next))
    }

    /// The keys that are asked for now, `most` of them, those that waited longest; without `every` none. `random` is
    /// any number.
    pub fn take_due(
        &mut self,
        every: Option<Duration>,
        most: usize,
        now: Time,
        random: u64,
    ) -> Vec<Fingerprint> {
        // A clock that was set back would put the pass off for as long.
        self.last = self.last.min(now);
        self.soon = self.soon.map(|soon| soon.min(now + SOONEST + SPREAD));
        if every.is_none_or(|every| now < self.due(every)) {
            return Vec::new();
        }
        (self.last, self.soon) = (now, None);
        let waiting = self.blocked.iter().filter(|(_, blocked)| blocked.waits());
        let mut keys: Vec<Fingerprint> = waiting.map(|(key, _)| *key).collect();
        keys.sort_by_key(|key| self.blocked[key].asked);
        keys.truncate(most);
        for key in &keys {
            if let Some(blocked) = self.blocked.get_mut(key) {
                blocked.asked = Some(now);
            }
        }
        let is_new = |blocked: &Blocked| blocked.block == Block::Endless && blocked.asked.is_none();
        if most > 0 && self.blocked.values().any(is_new) {
            self.hurry(now, random);
        }
        keys
    }
}

fn soon(random: u64) -> Duration {
    let part = u32::try_from(random % 1024).unwrap_or(0);
    SOONEST + SPREAD / 1024 * part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Secret;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_795_435_200_000) + Duration::from_secs(seconds)
    }

    fn key(number: u8) -> Fingerprint {
        Fingerprint::of(&Secret::new(&format!("sk-kimi-{number}")))
    }

    fn passes(plan: &mut RecheckPlan, now: Time) -> usize {
        plan.take_due(Some(HOUR), 3, now, 0).len()
    }

    proptest! {
        #[test]
        fn a_kmid_that_is_started_every_few_minutes_comes_to_a_pass_each_time(random: u64) {
            let mut plan = RecheckPlan::at_start(at(0), random);
            plan.set_blocked([(key(1), Block::Ends)], at(0), random);
            let due = plan.due(HOUR);
            prop_assert!(due >= at(15) && due <= at(60), "{due}");
            prop_assert_eq!(passes(&mut plan, at(14)), 0);
            prop_assert_eq!(passes(&mut plan, due), 1);
            prop_assert_eq!(plan.due(HOUR), due + HOUR, "then by the setting");
            prop_assert_eq!(passes(&mut plan, due + Duration::from_secs(3599)), 0);
            prop_assert_eq!(passes(&mut plan, due + HOUR), 1);
        }
    }

    #[test]
    fn keys_that_were_blocked_without_an_end_are_asked_for_soon_and_once() {
        let mut plan = RecheckPlan::at_start(at(0), 0);
        assert_eq!(passes(&mut plan, at(60)), 0);
        let mut blocked = vec![(key(1), Block::Ends)];
        plan.set_blocked(blocked.clone(), at(100), 0);
        assert_eq!(plan.due(HOUR), at(60) + HOUR, "that one ends by itself");
        blocked.extend([2, 3, 4, 5].map(|number| (key(number), Block::Endless)));
        plan.set_blocked(blocked.clone(), at(200), 0);
        assert_eq!(plan.due(HOUR), at(215));
        assert_eq!(passes(&mut plan, at(214)), 0);
        assert_eq!(passes(&mut plan, at(215)), 3);
        plan.set_blocked(blocked.clone(), at(216), 0);
        assert_eq!(plan.due(HOUR), at(230), "the pass took three, the others do not wait for an hour");
        assert_eq!(passes(&mut plan, at(230)), 3);
        plan.set_blocked(blocked, at(231), 0);
        assert_eq!(plan.due(HOUR), at(230) + HOUR, "each has been asked for");
    }

    #[test]
    fn a_key_that_is_blocked_again_is_asked_for_soon_again() {
        let mut plan = RecheckPlan::at_start(at(0), 0);
        plan.set_blocked([(key(1), Block::Endless)], at(0), 0);
        assert_eq!(passes(&mut plan, at(15)), 1);
        plan.set_blocked([], at(20), 0);
        plan.set_blocked([(key(1), Block::Endless)], at(100), 0);
        assert_eq!(plan.due(HOUR), at(115));
    }

    #[test]
    fn a_key_that_its_deciding_request_blocks_again_waits_its_turn() {
        let mut plan = RecheckPlan::at_start(at(0), 0);
        plan.set_blocked([(key(1), Block::Endless)], at(0), 0);
        assert_eq!(passes(&mut plan, at(15)), 1);
        plan.set_blocked([(key(1), Block::HalfOpen)], at(16), 0);
        assert_eq!(passes(&mut plan, at(15) + HOUR), 0, "a request decides, however late it comes");
        plan.set_blocked([(key(1), Block::Endless)], at(20) + HOUR, 0);
        assert_eq!(plan.due(HOUR), at(15) + HOUR + HOUR);
    }

    #[test]
    fn a_short_setting_counts_from_the_start_and_none_means_none() {
        let mut plan = RecheckPlan::at_start(at(0), 1023);
        plan.set_blocked([(key(1), Block::Ends)], at(0), 0);
        assert_eq!(plan.due(Duration::from_secs(5)), at(5));
        assert!(plan.take_due(None, 3, at(1_000_000), 0).is_empty());
        assert_eq!(passes(&mut plan, at(1_000_000)), 1, "it was turned on");
    }

    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        let mut plan = RecheckPlan::at_start(at(1_000_000), 0);
        plan.set_blocked([(key(1), Block::Endless)], at(1_000_000), 0);
        assert_eq!(passes(&mut plan, at(0)), 0);
        assert_eq!(passes(&mut plan, at(60)), 1);
        assert_eq!(passes(&mut plan, at(3659)), 0);
        assert_eq!(passes(&mut plan, at(3660)), 1);
    }
}
