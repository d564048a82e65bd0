//! What an attempt's outcome and a quota reading do to the keys.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Block, Cooldown, Entry};
use super::{Lease, Pool};
use crate::cooldown;
use crate::key::Fingerprint;
use crate::kimi::quota::Quota;
use crate::outcome::{Action, BlockReason, FullWindow, Outcome, Party, Verdict};
use crate::time::Time;

/// The longest that a block grows to by doubling.
const LONGEST_BLOCK: Duration = Duration::from_secs(24 * 3600);

/// What the shell has to tell or do after an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A key began to cool.
    Cooled {
        /// Its label.
        label: Arc<str>,
        /// Until when.
        until: Time,
        /// A stable word.
        reason: &'static str,
    },
    /// A key was blocked.
    Blocked {
        /// Its label.
        label: Arc<str>,
        /// Until when, if it ends by itself.
        until: Option<Time>,
        /// Why.
        reason: BlockReason,
    },
    /// A half-open key proved itself.
    Unblocked {
        /// Its label.
        label: Arc<str>,
    },
    /// The key's quota should be read soon.
    ReadQuota(Fingerprint),
}

impl Pool {
    /// Ends a lease with what its attempt meant. `random` is any number, for jitter.
    pub fn record(&mut self, lease: Lease, outcome: &Outcome, now: Time, random: u64) -> Vec<Effect> {
        let Some(index) = self.index_of(lease.key.fingerprint) else { return Vec::new() };
        let in_flight: u32 = self.same_account(index).into_iter().map(|i| self.entries[i].in_flight).sum();
        let limit = self.entries[index].parallel_limit();
        let entry = &mut self.entries[index];
        entry.in_flight = entry.in_flight.saturating_sub(1);
        if lease.probe {
            entry.probing = false;
        }
        let mut effects = Vec::new();
        match outcome {
            Outcome::Completed => {
                entry.strikes = 0;
                entry.cap.succeeded(limit);
                if lease.probe && entry.block.take().is_some() {
                    effects.push(Effect::Unblocked { label: entry.key.label.clone() });
                }
            }
            Outcome::Refused { status, verdict, retry_after } => {
                entry.count_error(*status);
                // The API has looked at the key and found the request wanting: the key is good.
                if lease.probe && verdict.whose == Party::Request && verdict.row.is_known() {
                    entry.block = None;
                    effects.push(Effect::Unblocked { label: entry.key.label.clone() });
                }
                self.punish(index, verdict, *retry_after, in_flight, now, random, &mut effects);
            }
            Outcome::Broke(_) => entry.errors.e5xx += 1,
            Outcome::ClientLeft => {}
        }
        effects
    }

    #[allow(clippy::too_many_arguments, reason = "the facts of one refusal")]
    fn punish(
        &mut self,
        index: usize,
        verdict: &Verdict,
        retry_after: Option<Duration>,
        in_flight: u32,
        now: Time,
        random: u64,
        effects: &mut Vec<Effect>,
    ) {
        let affected = match verdict.whose {
            Party::Account => self.same_account(index),
            Party::Key => vec![index],
            Party::Request | Party::Client | Party::Upstream | Party::Nobody => return,
        };
        match verdict.action {
            Action::Nothing => {}
            Action::LowerCap => {
                for i in affected {
                    self.entries[i].cap.lower(in_flight);
                }
            }
            Action::Block(reason) => {
                let length = match reason {
                    BlockReason::Payment => self.rules.payment_block,
                    BlockReason::InvalidKey | BlockReason::Banned | BlockReason::Balance => None,
                };
                for i in affected {
                    effects.extend(self.entries[i].block_for(reason, length, now));
                }
            }
            Action::Backoff | Action::CoolUntilReset(_) => {
                let full = match verdict.action {
                    Action::CoolUntilReset(full) => Some(full),
                    _ => None,
                };
                let until = self.cool_until(index, full, retry_after, now, random);
                let reason = if full.is_some() { "quota" } else { "rate_limited" };
                for i in affected {
                    effects.extend(self.entries[i].cool(until, reason, now));
                }
                if full.is_some() {
                    effects.push(Effect::ReadQuota(self.entries[index].key.fingerprint));
                }
            }
        }
    }

    /// `Retry-After`, else the reset of the full window, else a backoff that grows with strikes.
    fn cool_until(
        &self,
        index: usize,
        full: Option<FullWindow>,
        retry_after: Option<Duration>,
        now: Time,
        random: u64,
    ) -> Time {
        let entry = &self.entries[index];
        let floor = if full.is_some() { cooldown::QUOTA_FLOOR } else { cooldown::RATE_FLOOR };
        let known_reset = full.and_then(|full| {
            entry.reading.as_ref().and_then(|(quota, _)| cooldown::reset_of(full, quota, now))
        });
        let until = if let Some(pause) = retry_after {
            now + pause.max(floor)
        } else if let Some(reset) = known_reset {
            reset.max(now + cooldown::RATE_FLOOR)
        } else if full == Some(FullWindow::Month) {
            now + cooldown::MONTH
        } else {
            now + cooldown::backoff(floor, entry.strikes, self.rules.longest_backoff, random)
        };
        until.min(now + cooldown::LONGEST)
    }

    /// Takes in a fresh answer of `/usages`. It lifts only cooldowns that readings made. Keys of the same account
    /// take the reading over, unless theirs is newer.
    pub fn record_quota(&mut self, fingerprint: Fingerprint, quota: &Quota, now: Time) -> Vec<Effect> {
        let Some(index) = self.index_of(fingerprint) else { return Vec::new() };
        self.last_refresh = Some(now);
        let entry = &mut self.entries[index];
        entry.reading = Some((quota.clone(), now));
        entry.refresh_error = None;
        let longest = self.rules.longest_backoff;
        let mut effects = Vec::new();
        for i in self.same_account(index) {
            let entry = &mut self.entries[i];
            entry.reading = Some((quota.clone(), now));
            let was_cooling = entry.reading_cooldown.take().is_some_and(|c| c.until > now);
            if cooldown::is_dry(quota, now) {
                let until =
                    cooldown::full_until(quota, now).unwrap_or(now + longest).min(now + cooldown::LONGEST);
                entry.reading_cooldown = Some(Cooldown { until, reason: "exhausted" });
                if !was_cooling {
                    effects.push(Effect::Cooled {
                        label: entry.key.label.clone(),
                        until,
                        reason: "exhausted",
                    });
                }
            }
        }
        effects
    }

    /// A refresh failed: the last reading stays, with its age; the error is shown beside it.
    pub fn record_quota_error(&mut self, fingerprint: Fingerprint, error: &str) {
        if let Some(index) = self.index_of(fingerprint) {
            self.entries[index].refresh_error = Some(error.chars().take(200).collect());
        }
    }

    /// A good live `/usages` of a blocked key: the next request decides. Whether there was a block.
    pub fn half_open(&mut self, fingerprint: Fingerprint) -> bool {
        let block = self.index_of(fingerprint).and_then(|index| self.entries[index].block.as_mut());
        block.map(|block| block.half_open = true).is_some()
    }

    /// Clears blocks and cooldowns of one key or all; returns the labels that had one.
    pub fn unblock(&mut self, label: Option<&str>, now: Time) -> Vec<Arc<str>> {
        let mut cleared = Vec::new();
        for entry in self.entries.iter_mut().filter(|e| label.is_none_or(|label| &*e.key.label == label)) {
            if entry.block.is_some() || entry.cooling_until(now).is_some() {
                cleared.push(entry.key.label.clone());
            }
            entry.block = None;
            entry.cooldown = None;
            entry.reading_cooldown = None;
            entry.strikes = 0;
        }
        cleared
    }
}

impl Entry {
    fn count_error(&mut self, status: u16) {
        match status {
            401 => self.errors.e401 += 1,
            402 | 403 => self.errors.e403 += 1,
            429 => self.errors.e429 += 1,
            500.. => self.errors.e5xx += 1,
            _ => {}
        }
    }

    /// Cools until a time, never shortening. Refusals of requests that were under way when the cooldown began are
    /// one strike, not many.
    fn cool(&mut self, until: Time, reason: &'static str, now: Time) -> Option<Effect> {
        let cooling = self.cooldown.as_ref().filter(|c| c.until > now).map(|c| c.until);
        if cooling.is_none() {
            self.strikes = self.strikes.saturating_add(1);
        }
        if cooling.is_some_and(|old| old >= until) {
            return None;
        }
        self.cooldown = Some(Cooldown { until, reason });
        cooling.is_none().then(|| Effect::Cooled { label: self.key.label.clone(), until, reason })
    }

    /// Blocks; a half-open key that fails again is blocked for twice as long. Further refusals of requests that
    /// were under way change nothing.
    fn block_for(&mut self, reason: BlockReason, length: Option<Duration>, now: Time) -> Option<Effect> {
        let length = match &self.block {
            Some(_) if !self.is_half_open(now) => return None,
            Some(failed) => match (failed.length, length) {
                (Some(old), Some(_)) => Some((old * 2).min(LONGEST_BLOCK)),
                (_, length) => length,
            },
            None => length,
        };
        let until = length.map(|length| now + length);
        self.block = Some(Block { until, reason, length, half_open: false });
        Some(Effect::Blocked { label: self.key.label.clone(), until, reason })
    }
}
