//! Which key gets the next attempt, or why none does.

use std::sync::Arc;
use std::time::Duration;

use super::entry::HALF_OPEN;
use super::outage::Down;
use super::view::KeyState;
use super::{Decision, Demand, Lease, Mode, Placement, Pool};
use crate::client::ClientId;
use crate::key::Fingerprint;
use crate::kimi::usage::Tokens;
use crate::time::Time;

/// Slots and probes free up at any moment; a client asks again after this.
const SOON: Duration = Duration::from_secs(1);

/// What keeps a key from being leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Cooling, blocked or disabled.
    State,
    /// Strict mode, and no good reading.
    NoReading,
    /// Half-open, and the deciding request is under way.
    Probing,
    /// The breaker of its host is open.
    UpstreamDown,
    /// This request already tried it.
    Tried,
    /// As many attempts in flight as the account may have.
    AtCap,
    /// As many as it may have for now: it is taken up step by step.
    Ramping,
    /// KMI_PROXY_MAX_RPS_PER_KEY or _RPM_PER_KEY.
    RateLimited,
}

impl Obstacle {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::NoReading => "no_reading",
            Self::Probing => "probing",
            Self::UpstreamDown => "upstream_down",
            Self::Tried => "tried",
            Self::AtCap => "at_cap",
            Self::Ramping => "ramping",
            Self::RateLimited => "rate_limited",
        }
    }
}

/// Why no key can serve.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// How keys were to be chosen.
    pub mode: Mode,
    /// The keys that might have served: in manual mode the active one only.
    pub keys: Vec<RefusedKey>,
    /// Keys in the pool.
    pub total: usize,
    /// The upstream that is down, when a key might have served but for that; of several the one that is asked again
    /// first.
    pub down: Option<Down>,
}

/// A key that cannot serve, and why.
#[derive(Debug, Clone)]
pub struct RefusedKey {
    /// Its label.
    pub label: Arc<str>,
    /// How it stands.
    pub state: KeyState,
    /// What keeps it from serving.
    pub obstacle: Obstacle,
    /// A stable word for the state.
    pub reason: Option<&'static str>,
    /// When it may serve again, where known; a blocked key gets one request then, which decides.
    pub until: Option<Time>,
    /// This request has tried it: it gets no second attempt there.
    pub tried: bool,
    /// The breaker of its host is open for this request, whatever else keeps the key from serving.
    pub upstream_down: bool,
}

impl RefusedKey {
    /// Blocked or disabled: no request gets it ready by waiting.
    pub(super) fn needs_a_person(&self) -> bool {
        match self.state {
            KeyState::Disabled => true,
            KeyState::Blocked => self.obstacle == Obstacle::State && self.reason != Some(HALF_OPEN),
            KeyState::Ready | KeyState::Warn | KeyState::Cooling => false,
        }
    }
}

impl Refusal {
    /// The key that is ready first by itself, and when.
    #[must_use]
    pub fn soonest(&self) -> Option<(&RefusedKey, Time)> {
        let waiting = self.keys.iter().filter(|key| !key.needs_a_person());
        waiting.filter_map(|key| Some((key, key.until?))).min_by_key(|(_, until)| *until)
    }

    /// Whether waiting helps nobody: no keys, or all blocked or disabled.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        self.keys.iter().all(RefusedKey::needs_a_person)
    }

    /// Whether a person has switched off every key that might have served.
    #[must_use]
    pub fn all_are_disabled(&self) -> bool {
        self.keys.iter().all(|key| key.state == KeyState::Disabled)
    }

    /// Whether nothing is wrong with this key but that the request has tried it.
    #[must_use]
    pub fn has_tried(&self, label: &str) -> bool {
        self.keys.iter().any(|key| *key.label == *label && key.obstacle == Obstacle::Tried)
    }
}

impl Pool {
    /// Leases a key for one attempt.
    ///
    /// # Errors
    /// When no key can serve, with the state of each.
    pub fn lease(&mut self, demand: &Demand<'_>, now: Time) -> Result<Lease, Refusal> {
        let before = self.current;
        let (placement, chosen) = self.choose_for(demand, now);
        let Some(index) = chosen else { return Err(self.refusal(demand, now)) };
        let decision = self.explain(chosen, placement, demand, now);
        if let Some(account) = self.relieved(before, placement, demand, now) {
            self.take_over(index, account);
        }
        let settles = self.settles(demand, placement, now);
        let session = self.placed(demand, placement, self.entries[index].key.fingerprint, now);
        Ok(Lease { decision, session, settles, ..self.grant(index, demand.client, now) })
    }

    /// The session's own key, or what the mode says.
    fn choose_for(&mut self, demand: &Demand<'_>, now: Time) -> (Placement, Option<usize>) {
        self.gathered = false;
        let (placement, kept) = self.place(demand, now);
        let chosen = kept.or_else(|| match self.mode() {
            Mode::Manual => self.active_index().filter(|&i| self.obstacle(i, demand, now).is_none()),
            Mode::Failover => self.choose_failover(demand, now),
            Mode::Auto => self.choose_auto(demand, now),
        });
        (placement, chosen)
    }

    fn grant(&mut self, index: usize, client: Option<ClientId>, now: Time) -> Lease {
        let limit = self.rules.limit_per_key;
        self.leases += 1;
        self.begin_ramp(index, now);
        let entry = &mut self.entries[index];
        let probe = entry.is_half_open(now);
        if probe {
            entry.probe = Some(self.leases);
        }
        entry.in_flight += 1;
        entry.requests += 1;
        let used_before = entry.last_used.replace(now);
        entry.rate.pass(limit, now);
        let key = entry.key.clone();
        self.outages.leased(&key.base_url, client, self.leases, now);
        Lease {
            key,
            probe,
            rotation_index: self.rotation_index,
            granted_at: now,
            used_before,
            decision: Decision::default(),
            tokens: Tokens::default(),
            session: None,
            client,
            number: self.leases,
            told: false,
            settles: false,
        }
    }

    /// The active key while it can serve; then the next by the policy, which becomes the active one. A key that is
    /// merely full for a moment, or whose reading is late, stays active and lends this one request out.
    fn choose_failover(&mut self, demand: &Demand<'_>, now: Time) -> Option<usize> {
        let active = self.active_index()?;
        let obstacle = self.obstacle(active, demand, now);
        if obstacle.is_none() {
            return Some(active);
        }
        let next = self.next_after(active, demand, now)?;
        if matches!(obstacle, Some(Obstacle::State)) {
            self.activate(next);
        }
        Some(next)
    }

    /// What keeps a key from being leased now; the first that applies.
    pub(super) fn obstacle(&mut self, index: usize, demand: &Demand<'_>, now: Time) -> Option<Obstacle> {
        let own = self.own_obstacle(index, demand, now);
        if matches!(own, Some(Obstacle::State | Obstacle::NoReading)) || self.outages.is_quiet() {
            return own;
        }
        let at = &self.entries[index].key.base_url;
        let down = self.outages.bars(at, demand.client, now).is_some();
        if down || self.leaves_it_to_another(index, demand, now) { Some(Obstacle::UpstreamDown) } else { own }
    }

    /// Whether the request that decides about the upstream is another account's: this one has met what opened the
    /// breaker, so that it could not tell its own trouble from the upstream's, and one that has not can serve.
    fn leaves_it_to_another(&mut self, index: usize, demand: &Demand<'_>, now: Time) -> bool {
        // In manual mode there is no other.
        if self.mode() == Mode::Manual {
            return false;
        }
        let at = self.entries[index].key.base_url.clone();
        let met: Vec<Fingerprint> = self.outages.met(&at, demand.client, now).collect();
        let has_met = |pool: &Self, index: usize| {
            pool.sharers(pool.entries[index].key.fingerprint)
                .any(|entry| met.contains(&entry.key.fingerprint))
        };
        has_met(self, index)
            && (0..self.entries.len()).any(|other| {
                self.entries[other].key.base_url.shares_host(&at)
                    && !has_met(self, other)
                    && self.own_obstacle(other, demand, now).is_none()
            })
    }

    /// What keeps a key from being leased, whatever its upstream does.
    fn own_obstacle(&mut self, index: usize, demand: &Demand<'_>, now: Time) -> Option<Obstacle> {
        let no_reading = self.lacks_reading(index, now);
        let slots = self.slots_of(index, now);
        // What blocked a key may be its account's doing: one request decides for all its keys.
        let probing = self.sharers(self.entries[index].key.fingerprint).any(|entry| entry.probe.is_some());
        let limit = self.rules.limit_per_key;
        let entry = &mut self.entries[index];
        let half_open = entry.is_half_open(now);
        if !entry.can_serve(now) {
            Some(Obstacle::State)
        } else if no_reading {
            Some(Obstacle::NoReading)
        } else if demand.tried.contains(&entry.key.fingerprint) {
            Some(Obstacle::Tried)
        } else if half_open && probing {
            Some(Obstacle::Probing)
        } else if slots.is_full() {
            Some(Obstacle::AtCap)
        } else if slots.is_ramping() {
            Some(Obstacle::Ramping)
        } else if entry.rate.blocked_until(limit, now).is_some() {
            Some(Obstacle::RateLimited)
        } else {
            None
        }
    }

    /// Strict mode: a key serves with a good cached reading only; with fail-open, not before any key has one.
    fn lacks_reading(&self, index: usize, now: Time) -> bool {
        if !self.rules.require_reading {
            return false;
        }
        if self.rules.fail_open && self.entries.iter().all(|entry| entry.reading.is_none()) {
            return false;
        }
        match &self.entries[index].reading {
            None => true,
            // A time as far ahead comes from a clock that was wrong.
            Some((_, read_at)) => {
                let age = now.since(*read_at).max(read_at.since(now));
                self.rules.reading_max_age.is_some_and(|most| age > most)
            }
        }
    }

    /// Why a key is in its state, and when the obstacle ends, where that is known.
    pub(super) fn reason_and_end(
        &mut self,
        index: usize,
        obstacle: Obstacle,
        demand: &Demand<'_>,
        now: Time,
    ) -> (Option<&'static str>, Option<Time>) {
        let limit = self.rules.limit_per_key;
        let next_step = self.slots_of(index, now).ramp.map(|(_, next)| next);
        let answers_at = self.outages.bars(&self.entries[index].key.base_url, demand.client, now);
        let entry = &mut self.entries[index];
        let (reason, state_until) = entry.reason(&self.ledger, now);
        let until = match obstacle {
            Obstacle::State => state_until,
            Obstacle::AtCap | Obstacle::Probing => Some(now + SOON),
            Obstacle::Ramping => next_step,
            Obstacle::RateLimited => entry.rate.blocked_until(limit, now),
            Obstacle::UpstreamDown => answers_at,
            Obstacle::NoReading | Obstacle::Tried => None,
        };
        (reason, until)
    }

    fn refusal(&mut self, demand: &Demand<'_>, now: Time) -> Refusal {
        let mut down: Option<Down> = None;
        let keys = self.may_serve().map(|index| {
            let obstacle = self.obstacle(index, demand, now).unwrap_or(Obstacle::Tried);
            if obstacle == Obstacle::UpstreamDown {
                let this = self.outages.down(&self.entries[index].key.base_url, demand.client, now);
                down = down.take().into_iter().chain(this).min_by_key(|down| down.until);
            }
            self.refused_key(index, obstacle, demand, now)
        });
        let keys = keys.collect();
        Refusal { mode: self.mode(), keys, total: self.entries.len(), down }
    }

    /// The keys that might serve: in manual mode the active one only.
    pub(super) fn may_serve(&self) -> std::ops::Range<usize> {
        match (self.mode(), self.active_index()) {
            (Mode::Manual, Some(active)) => active..active + 1,
            _ => 0..self.entries.len(),
        }
    }

    pub(super) fn refused_key(
        &mut self,
        index: usize,
        obstacle: Obstacle,
        demand: &Demand<'_>,
        now: Time,
    ) -> RefusedKey {
        let (reason, until) = self.reason_and_end(index, obstacle, demand, now);
        let entry = &self.entries[index];
        RefusedKey {
            label: entry.key.label.clone(),
            state: entry.state(&self.ledger, now),
            obstacle,
            reason,
            until,
            tried: demand.tried.contains(&entry.key.fingerprint),
            upstream_down: self.outages.bars(&entry.key.base_url, demand.client, now).is_some(),
        }
    }
}
