//! What requests that wait for a key need to know, and what happens when one leaves before its turn.

use super::{Demand, Lease, Obstacle, Pool, Refusal, RefusedKey};
use crate::client::ClientId;
use crate::key::Fingerprint;
use crate::time::Time;

/// When a key may serve a request that waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Prospect {
    Now,
    /// At any moment, when something else ends.
    AnyMoment,
    At(Time),
}

impl Prospect {
    fn is_by(self, deadline: Time) -> bool {
        match self {
            Self::Now | Self::AnyMoment => true,
            Self::At(time) => time <= deadline,
        }
    }
}

impl RefusedKey {
    /// `None` when it never will by waiting.
    fn prospect(&self) -> Option<Prospect> {
        // Requests get the answer of an upstream that is down at once instead of waiting for it, also where a key
        // would have to cool down before it could ask.
        if self.tried || self.upstream_down || self.needs_a_person() {
            return None;
        }
        match self.obstacle {
            Obstacle::AtCap | Obstacle::Ramping | Obstacle::Probing => Some(Prospect::AnyMoment),
            Obstacle::State | Obstacle::RateLimited => self.until.map(Prospect::At),
            Obstacle::UpstreamDown | Obstacle::NoReading | Obstacle::Tried => None,
        }
    }
}

impl Refusal {
    /// Whether waiting until then may help: some key that the request has not tried is only full for a moment, being
    /// tried by another request, or paused by itself for no longer.
    #[must_use]
    pub fn may_end_by(&self, deadline: Time) -> bool {
        self.keys.iter().filter_map(RefusedKey::prospect).any(|prospect| prospect.is_by(deadline))
    }
}

/// What the keys can do for requests that wait: one look at all keys serves for hundreds of requests, until something
/// changes.
#[derive(Debug)]
pub struct Outlook {
    /// Those that may serve, the first to do so first.
    keys: Vec<(Prospect, Fingerprint)>,
    /// What the gate refuses to single clients.
    gates: Vec<(ClientId, Fingerprint)>,
}

impl Outlook {
    /// Whether a request can do nothing but wait until then: no key serves it now, and some key may in time.
    #[must_use]
    pub fn waits(&self, demand: &Demand<'_>, deadline: Time) -> bool {
        let barred =
            |key: &Fingerprint| demand.client.is_some_and(|client| self.gates.contains(&(client, *key)));
        let first = self.keys.iter().find(|(_, key)| !demand.tried.contains(key) && !barred(key));
        first.is_some_and(|(prospect, _)| *prospect != Prospect::Now && prospect.is_by(deadline))
    }
}

impl Pool {
    /// How the keys stand for requests that wait.
    pub fn outlook(&mut self, now: Time) -> Outlook {
        let anybody = Demand::default();
        let mut keys = Vec::with_capacity(self.entries.len());
        for index in self.may_serve() {
            let prospect = match self.obstacle(index, &anybody, now) {
                None => Some(Prospect::Now),
                Some(obstacle) => self.refused_key(index, obstacle, &anybody, now).prospect(),
            };
            keys.extend(prospect.map(|prospect| (prospect, self.entries[index].key.fingerprint)));
        }
        keys.sort_unstable();
        let mut gates = Vec::new();
        for key in self.entries.iter().map(|entry| &entry.key) {
            let refused = self.outages.refused_clients(&key.base_url, now);
            gates.extend(refused.map(|client| (client, key.fingerprint)));
        }
        Outlook { keys, gates }
    }

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
        let answers =
            self.entries.iter().filter_map(|entry| hosts.bars(&entry.key.base_url, None, now)).min();
        let ledger = &self.ledger;
        let ends = self.entries.iter_mut().flat_map(|entry| {
            let pause = entry.reason(ledger, now).1;
            [pause, entry.rate.blocked_until(limit, now)]
        });
        ends.flatten().chain(step).chain(answers).filter(|time| *time > now).min()
    }
}
