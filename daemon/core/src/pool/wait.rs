//! What a request that waits for a key needs to know, and what happens when one leaves before its turn.

use super::{Lease, Obstacle, Pool, Refusal};
use crate::time::Time;

impl Refusal {
    /// Whether waiting until then may help: some key that the request has not tried is only full for a moment, being
    /// tried by another request, or paused by itself for no longer.
    #[must_use]
    pub fn may_end_by(&self, deadline: Time) -> bool {
        self.keys.iter().filter(|key| !key.tried && !key.needs_a_person()).any(|key| match key.obstacle {
            Obstacle::AtCap | Obstacle::Ramping | Obstacle::Probing => true,
            // Requests get the upstream's answer at once instead of waiting for it.
            Obstacle::UpstreamDown => false,
            Obstacle::State | Obstacle::RateLimited => key.until.is_some_and(|until| until <= deadline),
            Obstacle::NoReading | Obstacle::Tried => false,
        })
    }
}

impl Pool {
    /// Takes a lease back that was never used: the key has served nothing and is not judged. Only its rate limit
    /// keeps the place, so that it is never exceeded.
    pub fn give_back(&mut self, lease: Lease, now: Time) {
        let Lease { key, number, granted_at, used_before, .. } = lease;
        // Nothing went upstream: it was no probe of its breaker either.
        self.outages.undecided(&key.base_url, number);
        let Some(entry) = self.entry_mut(key.fingerprint) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        entry.requests = entry.requests.saturating_sub(1);
        if entry.last_used == Some(granted_at) {
            entry.last_used = used_before;
        }
        if entry.probe == Some(number) {
            entry.probe = None;
        }
        self.part(now);
    }

    /// The next time at which a key may serve more than now without anything else happening: a ramp's step, the end
    /// of a pause or of a rate limit, a breaker's next probe.
    pub fn next_change(&mut self, now: Time) -> Option<Time> {
        let limit = self.rules.limit_per_key;
        let steps = (0..self.entries.len()).filter_map(|index| Some(self.slots_of(index, now).ramp?.1));
        let step = steps.min();
        let hosts = &self.outages;
        let answers = self.entries.iter().filter_map(|entry| hosts.bars(&entry.key.base_url, now)).min();
        let ends = self.entries.iter_mut().flat_map(|entry| {
            let pause = entry.reason(now).1;
            [pause, entry.rate.blocked_until(limit, now)]
        });
        ends.flatten().chain(step).chain(answers).filter(|time| *time > now).min()
    }
}
