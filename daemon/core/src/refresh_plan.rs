//! When each key's quota is read: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::key::Fingerprint;
use crate::time::Time;

/// First pause after a failed reading; it doubles up to the usual one.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// When each key's quota is to be read next.
#[derive(Debug, Default)]
pub struct RefreshPlan {
    keys: BTreeMap<Fingerprint, Planned>,
}

#[derive(Debug, Clone, Copy)]
struct Planned {
    due: Time,
    failures: u32,
    under_way: bool,
}

impl RefreshPlan {
    /// Takes in the keys that are to be read now and then; a new one is due at once.
    pub fn set_keys(&mut self, keys: &[Fingerprint], now: Time) {
        self.keys.retain(|fingerprint, _| keys.contains(fingerprint));
        for fingerprint in keys {
            self.keys.entry(*fingerprint).or_insert(Planned { due: now, failures: 0, under_way: false });
        }
    }

    /// A key's quota is wanted soon.
    pub fn hurry(&mut self, fingerprint: Fingerprint, now: Time) {
        if let Some(planned) = self.keys.get_mut(&fingerprint) {
            planned.due = planned.due.min(now);
        }
    }

    /// The keys to read now; each counts as under way until [`RefreshPlan::done`].
    pub fn take_due(&mut self, now: Time) -> Vec<Fingerprint> {
        let due = self.keys.iter_mut().filter(|(_, planned)| !planned.under_way && planned.due <= now);
        due.map(|(fingerprint, planned)| {
            planned.under_way = true;
            *fingerprint
        })
        .collect()
    }

    /// A reading has ended. The next one follows after `every`, spread by a fifth so that keys do not fall into step;
    /// sooner after a failure. `random` is any number.
    pub fn done(&mut self, fingerprint: Fingerprint, good: bool, every: Duration, now: Time, random: u64) {
        if let Some(planned) = self.keys.get_mut(&fingerprint) {
            planned.under_way = false;
            planned.failures = if good { 0 } else { planned.failures.saturating_add(1) };
            let pause = if good {
                every
            } else {
                AFTER_FAILURE.saturating_mul(2u32.saturating_pow(planned.failures.min(16) - 1)).min(every)
            };
            let spread = u32::try_from(random % 1024).unwrap_or(0);
            planned.due = now + pause.mul_f64(0.9) + pause / 5 * spread / 1024;
        }
    }

    /// When the next key is due; `None` when all are under way or there are none.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.keys.values().filter(|planned| !planned.under_way).map(|planned| planned.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Secret;

    const EVERY: Duration = Duration::from_secs(600);

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_000_000_000 + seconds * 1000)
    }

    #[test]
    fn a_new_key_is_read_at_once_and_then_in_its_turn() {
        let key = Fingerprint::of(&Secret::new("a"));
        let mut plan = RefreshPlan::default();
        plan.set_keys(&[key], at(0));
        assert_eq!(plan.take_due(at(0)), [key]);
        assert!(plan.take_due(at(0)).is_empty() && plan.next_due().is_none());
        plan.done(key, true, EVERY, at(1), 1023);
        let due = plan.next_due().unwrap();
        assert!(due >= at(541) && due <= at(661), "{due}");
        plan.hurry(key, at(5));
        assert_eq!(plan.take_due(at(5)), [key]);
    }

    #[test]
    fn failures_are_tried_again_sooner_but_ever_more_rarely() {
        let key = Fingerprint::of(&Secret::new("a"));
        let mut plan = RefreshPlan::default();
        plan.set_keys(&[key], at(0));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            plan.take_due(at(0));
            plan.done(key, false, EVERY, at(0), 512);
            pauses.push(plan.next_due().unwrap().since(at(0)));
            plan.hurry(key, at(0));
        }
        assert!(
            pauses.is_sorted() && pauses[0] <= Duration::from_secs(33) && pauses[7] <= EVERY.mul_f64(1.1)
        );
    }
}
