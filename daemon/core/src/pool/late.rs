//! Attempts that another process makes: it was this daemon before a restart, and finishes what it has begun.

use super::{Decision, Lease, Pool};
use crate::key::Fingerprint;
use crate::kimi::usage::Tokens;
use crate::time::Time;

impl Pool {
    /// How many attempts each key has in flight; keys without one are left out.
    #[must_use]
    pub fn in_flight(&self) -> Vec<(Fingerprint, u32)> {
        let busy = self.known().filter(|entry| entry.in_flight > 0);
        busy.map(|entry| (entry.key.fingerprint, entry.in_flight)).collect()
    }

    /// A lease for an attempt that another process makes with this key; it takes a slot like any other and ends like
    /// any other. `begun` says that the snapshot this pool started from does not count the attempt yet. `None` when
    /// the key is not known here.
    pub fn adopt(&mut self, fingerprint: Fingerprint, begun: bool, now: Time) -> Option<Lease> {
        let (number, rotation_index) = (self.leases + 1, self.rotation_index);
        let entry = self.entry_mut(fingerprint)?;
        entry.in_flight += 1;
        let used_before = entry.last_used;
        if begun {
            entry.requests += 1;
            entry.last_used = Some(now);
        }
        let key = entry.key.clone();
        self.leases = number;
        Some(Lease {
            key,
            probe: false,
            told: false,
            settles: false,
            rotation_index,
            decision: Decision::default(),
            tokens: Tokens::default(),
            session: None,
            client: None,
            number,
            granted_at: now,
            used_before,
        })
    }
}
