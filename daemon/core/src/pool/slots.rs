//! How many attempts an account may have in flight: a cap that is learned, and a ramp after a switch or a pause.
//!
//! Every key carries the slots of its account. What happens to the account is told to all of its keys, and the
//! smallest number counts, so that a key that turns out to be the account's brings what it has learned along.

use std::time::Duration;

use super::{Demand, Mode, Placement, Pool};
use crate::account::AccountId;
use crate::time::Time;

/// The cap of an account whose plan is not known: the smaller of the two values of `parallel.limit` that have been
/// seen, 20 and 30 [kimi-upstream.md, The quota answer, 2026-11]. A concurrency refusal costs a client its turn, a
/// short wait costs nothing.
const ASSUMED: u32 = 20;
/// Completed requests after which the cap rises by one.
const RISES_AFTER: u32 = 20;
/// An account that is taken up gets one attempt more each time this has passed.
const RAMP_STEP: Duration = Duration::from_millis(250);

/// Most of what is remembered of who took over from whom; the oldest goes.
const MOST_TAKEN_OVER: usize = 1024;

/// An account was taken up in the place of another one, which has not been used since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TakenOver {
    by: AccountId,
    from: AccountId,
}

/// What one key knows of its account's slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slots {
    /// The cap, while the API has said that there were too many.
    lowered: Option<u32>,
    /// How far an unknown plan has proved larger than assumed.
    grown: u32,
    /// Completed requests since the cap last moved.
    successes: u32,
    /// The last lease before the cap was lowered: what that or an older one says was known then.
    lowered_after: u64,
    ramp: Ramp,
}

#[derive(Debug, Clone, Copy, Default)]
enum Ramp {
    /// None, or over.
    #[default]
    Done,
    /// The next attempt begins it.
    Armed,
    Since {
        at: Time,
        /// Attempts that were in flight when it began.
        base: u32,
    },
}

impl Slots {
    /// Most attempts in flight; `limit` is the plan's, where known.
    pub(super) fn cap(&self, limit: Option<u32>) -> u32 {
        let most = self.unlowered(limit);
        self.lowered.map_or(most, |lowered| lowered.min(most))
    }

    fn unlowered(&self, limit: Option<u32>) -> u32 {
        limit.unwrap_or(ASSUMED.saturating_add(self.grown)).max(1)
    }

    /// The API said that there were too many. `in_flight` counts the refused attempt, `number` is its lease and
    /// `latest` the last lease so far. Refusals of attempts that were under way when the cap was lowered are one
    /// piece of news, not many.
    pub(super) fn lower(&mut self, limit: Option<u32>, in_flight: u32, number: u64, latest: u64) {
        if number <= self.lowered_after {
            return;
        }
        let below = in_flight.saturating_sub(1).max(1);
        self.lowered = Some(below.min(self.cap(limit)));
        self.lowered_after = latest;
        self.successes = 0;
    }

    /// Whether a completed request moves the cap.
    pub(super) fn learns_from_success(&self, limit: Option<u32>, in_flight: u32) -> bool {
        let proves = limit.is_none() && in_flight >= self.unlowered(limit);
        self.lowered.is_some() || proves
    }

    /// A request of the account completed; `in_flight` counts it. Beyond an assumed cap only requests count that
    /// ended while every slot was in use: the others say nothing about a larger one.
    pub(super) fn succeeded(&mut self, limit: Option<u32>, in_flight: u32) {
        if !self.learns_from_success(limit, in_flight) {
            return;
        }
        self.successes += 1;
        if self.successes < RISES_AFTER {
            return;
        }
        self.successes = 0;
        let most = self.unlowered(limit);
        match &mut self.lowered {
            Some(lowered) => {
                *lowered += 1;
                self.lowered = self.lowered.filter(|lowered| *lowered < most);
            }
            None => self.grown = self.grown.saturating_add(1),
        }
    }

    /// The account's next attempt begins a ramp.
    pub(super) fn arm(&mut self) {
        self.ramp = Ramp::Armed;
    }

    fn is_armed(&self) -> bool {
        matches!(self.ramp, Ramp::Armed)
    }

    /// An attempt begins, `in_flight` others are under way.
    fn began(&mut self, in_flight: u32, now: Time) {
        if self.is_armed() {
            self.ramp = Ramp::Since { at: now, base: in_flight };
        }
    }

    /// Most attempts in flight by the ramp, and when it is one more; `None` when it holds nothing back.
    fn ramp(&self, now: Time) -> Option<(u32, Time)> {
        match self.ramp {
            // A clock that was set back would hold it for ever.
            Ramp::Since { at, base } if now >= at => {
                let steps = now.since(at).as_millis() / RAMP_STEP.as_millis();
                let steps = u32::try_from(steps).unwrap_or(u32::MAX - 1);
                let next = at + RAMP_STEP.saturating_mul(steps + 1);
                Some((base.saturating_add(steps).saturating_add(1), next))
            }
            Ramp::Done | Ramp::Armed | Ramp::Since { .. } => None,
        }
    }
}

/// An account's slots at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccountSlots {
    /// Attempts in flight over all its keys.
    pub(super) in_flight: u32,
    /// Most attempts in flight.
    pub(super) cap: u32,
    /// While it is taken up step by step: most attempts for now, less than the cap, and when it is one more.
    pub(super) ramp: Option<(u32, Time)>,
}

impl AccountSlots {
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= self.cap
    }

    pub(super) fn is_ramping(&self) -> bool {
        self.ramp.is_some_and(|(most, _)| self.in_flight >= most)
    }
}

impl Pool {
    /// The slots of the account that this key belongs to.
    pub(super) fn slots_of(&self, index: usize, now: Time) -> AccountSlots {
        let own = &self.entries[index];
        let mut all = AccountSlots { in_flight: 0, cap: own.slots.cap(own.parallel_limit()), ramp: None };
        for entry in self.sharers(own.key.fingerprint) {
            all.in_flight += entry.in_flight;
            all.cap = all.cap.min(entry.slots.cap(entry.parallel_limit()));
            let ramp = entry.slots.ramp(now);
            all.ramp = all.ramp.into_iter().chain(ramp).min_by_key(|(most, _)| *most);
        }
        all.ramp = all.ramp.filter(|(most, _)| *most < all.cap);
        all
    }

    /// An attempt with this key is about to be counted: a ramp that waits for it begins. Whoever took over from its
    /// account does so anew next time.
    pub(super) fn begin_ramp(&mut self, index: usize, now: Time) {
        let (fingerprint, account) = (self.entries[index].key.fingerprint, self.entries[index].account_id);
        // A request that decides whether it is back proves nothing yet.
        if !self.taken_over.is_empty() && !self.is_out(account, now) {
            self.taken_over.retain(|taken| taken.from != account);
        }
        if self.sharers(fingerprint).any(|entry| entry.slots.is_armed()) {
            let in_flight = self.sharers(fingerprint).map(|entry| entry.in_flight).sum();
            self.sharers_mut(fingerprint).for_each(|entry| entry.slots.began(in_flight, now));
        }
    }

    /// Makes this key the active one. Another account's is taken up step by step, so that not all sessions fall upon
    /// it at once.
    pub(super) fn activate(&mut self, index: usize) {
        let fingerprint = self.entries[index].key.fingerprint;
        let before = self.active.replace(fingerprint);
        self.displaced = None;
        let shared = before
            .is_none_or(|before| self.sharers(fingerprint).any(|entry| entry.key.fingerprint == before));
        if !shared {
            self.sharers_mut(fingerprint).for_each(|entry| entry.slots.arm());
        }
    }

    /// In auto mode: the account in whose place a choice was made, where it is out for longer. `before` is the one that
    /// was in use until then.
    pub(super) fn relieved(
        &self,
        before: Option<AccountId>,
        placement: Placement,
        demand: &Demand<'_>,
        now: Time,
    ) -> Option<AccountId> {
        if self.mode() != Mode::Auto {
            return None;
        }
        match placement {
            Placement::Stayed => None,
            Placement::Moved => {
                let session = self.sessions.get(demand.session?, now)?;
                self.entry(session.home).map(|home| home.account_id)
            }
            Placement::New | Placement::LentOut | Placement::NoSession => {
                before.filter(|account| self.is_out(*account, now))
            }
        }
    }

    /// This key's account serves in the place of another one, and is taken up step by step: all the other's sessions
    /// may be about to fall upon it. They come over one by one: once is enough.
    pub(super) fn take_over(&mut self, index: usize, from: AccountId) {
        let fingerprint = self.entries[index].key.fingerprint;
        let taken = TakenOver { by: self.entries[index].account_id, from };
        if taken.by == from || self.taken_over.contains(&taken) {
            return;
        }
        if self.taken_over.len() >= MOST_TAKEN_OVER {
            self.taken_over.remove(0);
        }
        self.taken_over.push(taken);
        self.sharers_mut(fingerprint).for_each(|entry| entry.slots.arm());
    }
}
