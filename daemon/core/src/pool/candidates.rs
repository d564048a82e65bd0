//! The keys that can serve, as policies see them, and what a policy makes of them.

use super::view::KeyState;
use super::{Demand, Mode, Pool};
use crate::policy::{self, Candidate, Standing, Windows};
use crate::time::Time;

/// `parallel.limit` of the small plan, for accounts that say nothing of themselves [kimi-upstream.md, 2026-11].
const SMALL_PLAN: f64 = 20.0;

impl Pool {
    /// By the policy, and the turn goes on.
    pub(super) fn choose_auto(&mut self, demand: &Demand<'_>, now: Time) -> Option<usize> {
        let chosen = self.choose(demand, &self.standing(), now)?;
        self.rotation_index = ((chosen + 1) % self.entries.len()) as u64;
        Some(chosen)
    }

    /// The key that follows the active one, which cannot serve. Round robin means the next in pool order here. A low
    /// window is no reason to pass a key over: the active one is not left for that either.
    pub(super) fn next_after(&mut self, active: usize, demand: &Demand<'_>, now: Time) -> Option<usize> {
        self.choose(demand, &self.standing_after(active), now)
    }

    /// What a choice by the policy would be made with now.
    pub(super) fn standing_now(&self) -> Standing {
        match (self.mode(), self.active_index()) {
            (Mode::Failover, Some(active)) => self.standing_after(active),
            _ => self.standing(),
        }
    }

    fn standing(&self) -> Standing {
        let turn = usize::try_from(self.rotation_index).unwrap_or(0) % self.entries.len().max(1);
        Standing { turn, current: self.current, include_warn: self.rules.include_warn }
    }

    fn standing_after(&self, active: usize) -> Standing {
        Standing { turn: active + 1, current: self.current, include_warn: true }
    }

    fn choose(&mut self, demand: &Demand<'_>, standing: &Standing, now: Time) -> Option<usize> {
        self.standing = *standing;
        let mut candidates = std::mem::take(&mut self.candidates);
        self.gather(demand, now, &mut candidates);
        let best = policy::best(self.rules.policy, &candidates, standing, now);
        self.candidates = candidates;
        self.gathered = true;
        let index = best?.index;
        let chosen = self.entries[index].account_id;
        if !self.is_held_up(now) {
            self.current = Some(chosen);
        }
        Some(index)
    }

    /// Whether the account in use only cannot serve for a moment or cannot serve this request, as it is full, at a
    /// limit or tried: what goes to another one meanwhile is lent, and makes no switch.
    fn is_held_up(&self, now: Time) -> bool {
        let Some(current) = self.current else { return false };
        let is_among = self.candidates.iter().any(|candidate| candidate.account == current);
        !is_among && !self.is_out(current, now)
    }

    /// The keys that nothing keeps from being leased.
    pub(super) fn gather(&mut self, demand: &Demand<'_>, now: Time, candidates: &mut Vec<Candidate>) {
        candidates.clear();
        let with_windows = self.rules.policy.needs_windows();
        let burn = if with_windows { self.ledger.burn(now) } else { 0.0 };
        for index in 0..self.entries.len() {
            if self.obstacle(index, demand, now).is_some() {
                continue;
            }
            let entry = &self.entries[index];
            let mut candidate = Candidate {
                index,
                priority: entry.key.priority,
                account: entry.account_id,
                windows: Windows::default(),
                size: 1.0,
                in_flight: entry.in_flight,
                warn: entry.state(&self.ledger, now) == KeyState::Warn,
            };
            if with_windows {
                let polls_only = entry.quota_may_be_back(now);
                candidate.windows = self.ledger.windows(entry.account_id, burn, polls_only, now);
                let of_account = self.known().filter(|other| other.account_id == candidate.account);
                candidate.in_flight = of_account.map(|other| other.in_flight).sum();
            }
            candidates.push(candidate);
        }
        if with_windows {
            self.weigh(candidates);
        }
    }

    /// Gives every candidate its size, all in one unit: tokens where they have been learnt of all, else requests where
    /// all limits count them, else by `parallel.limit`, which goes with the plan.
    fn weigh(&self, candidates: &mut [Candidate]) {
        let parallel = |candidate: &Candidate| {
            let limit = self.entries[candidate.index].parallel_limit();
            Some(limit.map_or(SMALL_PLAN, f64::from))
        };
        let tokens = |candidate: &Candidate| self.ledger.size(candidate.account);
        let requests = |candidate: &Candidate| self.entries[candidate.index].limit_in_requests();
        let knows = |size: &dyn Fn(&Candidate) -> Option<f64>| {
            candidates.iter().all(|candidate| size(candidate).is_some())
        };
        let size: &dyn Fn(&Candidate) -> Option<f64> = if knows(&tokens) {
            &tokens
        } else if knows(&requests) {
            &requests
        } else {
            &parallel
        };
        for candidate in candidates {
            candidate.size = size(candidate).unwrap_or(SMALL_PLAN);
        }
    }
}
