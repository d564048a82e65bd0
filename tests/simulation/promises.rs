//! What the pool promises, looked at after every step.

use std::collections::BTreeMap;
use std::time::Duration;

use kmi_tests::simulation::driver::{Seen, Step, Watch};
use kmid_core::cooldown;
use kmid_core::key::Fingerprint;
use kmid_core::pool::view::{ErrorCounts, KeyState, KeyView};
use kmid_core::pool::{Lease, Pool};
use kmid_core::time::Time;

/// The snapshot is large; it is looked at each so many steps.
const SNAPSHOT_EVERY: u64 = 500;

/// Counts along and compares.
#[derive(Debug, Default)]
pub(super) struct Promises {
    before: Vec<KeyView>,
    leases: Vec<u64>,
    errors: Vec<ErrorCounts>,
    cooling: BTreeMap<Fingerprint, Time>,
    /// Steps looked at.
    pub(super) steps: u64,
}

impl Watch for Promises {
    fn before_lease(&mut self, pool: &Pool, now: Time) {
        self.before = pool.view(now).keys;
    }

    fn after(&mut self, step: &Step<'_>, seen: &Seen<'_>) {
        self.steps += 1;
        self.leases.resize(seen.held.len(), 0);
        self.errors.resize(seen.held.len(), ErrorCounts::default());
        match step {
            Step::Leased { lease, tried } => self.leased(lease, tried, seen),
            Step::Ended { key, outcome } => self.errors[*key].count(outcome),
            Step::NoKey | Step::Other => {}
        }
        let views = seen.pool.view(seen.now).keys;
        for (number, view) in views.iter().enumerate() {
            self.check(number, view, seen);
        }
        if self.steps.is_multiple_of(SNAPSHOT_EVERY) {
            let snapshot = seen.pool.snapshot(seen.now);
            assert!(snapshot.keys.len() <= views.len() && snapshot.by_label.is_empty(), "memory grows");
        }
    }
}

impl Promises {
    fn leased(&mut self, lease: &Lease, tried: &[Fingerprint], seen: &Seen<'_>) {
        let number = self.before.iter().position(|view| view.fingerprint == lease.key.fingerprint).unwrap();
        let view = &self.before[number];
        // of a block, or of a quota refusal that a reading contradicts
        let half_open = view.reason == Some("half_open");
        assert!(view.state.serves() || half_open, "leased while {} ({:?})", view.state.name(), view.reason);
        assert_eq!(lease.probe, half_open, "{}", view.label);
        assert!(!lease.key.disabled, "a disabled key was leased");
        assert!(!tried.contains(&lease.key.fingerprint), "one request had the same key twice");
        let sharers: Vec<usize> = (0..self.before.len())
            .filter(|&other| other == number || same_account(&self.before[other], view))
            .collect();
        let in_flight: u32 = sharers.iter().map(|&sharer| self.before[sharer].in_flight).sum();
        let cap = sharers.iter().map(|&sharer| self.before[sharer].cap).min().unwrap();
        assert!(in_flight < cap, "{}: one more than {in_flight} in flight passes {cap}", view.label);
        self.leases[number] += 1;
        assert_eq!(seen.held[number], view.in_flight + 1, "{}", view.label);
    }

    fn check(&mut self, number: usize, view: &KeyView, seen: &Seen<'_>) {
        assert_eq!(view.in_flight, seen.held[number], "{}: in flight is not what is leased", view.label);
        assert_eq!(view.requests, self.leases[number], "{}: leases", view.label);
        assert_eq!(view.errors, self.errors[number], "{}: errors", view.label);
        if view.state == KeyState::Blocked {
            assert!(seen.scenario.may_be_blocked(number, seen.at), "a healthy key is blocked: {view:?}");
        }
        if view.state == KeyState::Cooling {
            let until = view.until.expect("a cooldown has an end");
            assert!(until > seen.now && until <= seen.now + cooldown::LONGEST, "{view:?}");
            // each new one once: it ends by its time, and so does what may stand behind it
            if self.cooling.insert(view.fingerprint, until) != Some(until) {
                // A key holds two at most, one of a response and one of a reading; one that a clock far ahead made
                // counts only when its time comes near.
                let mut ends = until;
                for step in 0.. {
                    let later = ends + cooldown::LONGEST + Duration::from_secs(1);
                    let then = &seen.pool.view(later).keys[number];
                    let Some(until) = then.until.filter(|_| then.state == KeyState::Cooling) else { break };
                    assert!(step < 2, "cooling for ever: {then:?}");
                    ends = until;
                }
            }
        }
    }
}

fn same_account(one: &KeyView, other: &KeyView) -> bool {
    let account = |view: &KeyView| view.reading.as_ref().and_then(|(quota, _)| quota.account.clone());
    account(one).is_some() && account(one) == account(other)
}
