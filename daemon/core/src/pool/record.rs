//! What an attempt's outcome and a quota reading do to the keys.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Block, Cooldown, Entry};
use super::hear::{Blame, Ended};
use super::outage::Trouble;
use super::{Lease, Pool};
use crate::account::AccountId;
use crate::cooldown;
use crate::key::Fingerprint;
use crate::kimi::quota::Quota;
use crate::outcome::{Action, BlockReason, FullWindow, Outcome, Party, Verdict};
use crate::said::Said;
use crate::time::Time;

/// The longest that a block grows to by doubling, unless KMI_PAYMENT_BLOCK_SECONDS is longer.
const LONGEST_BLOCK: Duration = Duration::from_secs(24 * 3600);

/// What the shell has to tell or do after an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A key began to cool, or now cools longer for another reason.
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
    /// What a refusal did to a key was taken back: another account met the same.
    Restored {
        /// Its label.
        label: Arc<str>,
    },
    /// The breaker of an upstream opened.
    UpstreamDown {
        /// `host` or `host:port`.
        host: String,
        /// When one request may pass.
        until: Time,
        /// What showed it.
        trouble: Trouble,
    },
    /// The breaker of an upstream closed.
    UpstreamUp {
        /// `host` or `host:port`.
        host: String,
    },
}

/// What is known of one refusal.
struct Facts<'a> {
    fingerprint: Fingerprint,
    /// The refused lease.
    number: u64,
    /// The last lease so far.
    latest: u64,
    verdict: &'a Verdict,
    retry_after: Option<Duration>,
    /// Of the whole account, the refused attempt included.
    in_flight: u32,
    now: Time,
    random: u64,
}

impl Pool {
    /// Ends a lease with what its attempt meant. `random` is any number, for jitter.
    pub fn record(&mut self, lease: Lease, outcome: &Outcome, now: Time, random: u64) -> Vec<Effect> {
        let Lease { key, client, number, session, tokens, told, settles, .. } = lease;
        let (fingerprint, latest) = (key.fingerprint, self.leases);
        let mut effects = Vec::new();
        // Also when the key is gone: what it met is true of its host.
        let blame = self.hear(&Ended { key: &key, client, number, told, outcome, now, random }, &mut effects);
        let in_flight = self.sharers(fingerprint).map(|entry| entry.in_flight).sum();
        let Some(entry) = self.entry_mut(fingerprint) else { return effects };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        entry.tokens = entry.tokens.plus(tokens);
        self.record_tokens(fingerprint, tokens, now);
        let Some(entry) = self.entry_mut(fingerprint) else { return effects };
        let decides = entry.probe == Some(number);
        if decides {
            entry.probe = None;
        }
        // What another host says of the key says nothing about this one.
        let elsewhere = entry.key.base_url != key.base_url;
        entry.errors.count(outcome);
        match outcome {
            Outcome::Completed if elsewhere => {}
            Outcome::Completed => {
                let account = entry.quota_strikes.are_before(number).then_some(entry.account_id);
                if decides {
                    effects.extend(self.frees(fingerprint, number, true));
                }
                // A refusal of the account is a strike of all its keys, and so is what ends it.
                for entry in self.sharers_mut(fingerprint) {
                    entry.rate_strikes.served(number);
                    entry.quota_strikes.served(number);
                }
                // Asked first: nearly always there is nothing to raise.
                if self.sharers(fingerprint).any(|entry| entry.learns_from_success(in_flight)) {
                    self.sharers_mut(fingerprint).for_each(|entry| entry.succeeded(in_flight));
                }
                if let Some(account) = account {
                    self.ledger.forgive(account);
                }
                if let Some(session) = session {
                    self.session_was_served(session, fingerprint, settles, now);
                }
            }
            Outcome::Refused { verdict, retry_after, .. } => {
                if decides && shows_key_good(verdict) {
                    effects.extend(self.frees(fingerprint, number, false));
                }
                let retry_after = *retry_after;
                if !elsewhere && !matches!(blame, Blame::Upstreams) {
                    let facts =
                        Facts { fingerprint, number, latest, verdict, retry_after, in_flight, now, random };
                    let before = matches!(blame, Blame::SoFar(..)).then(|| self.before(fingerprint));
                    self.punish(&facts, &mut effects);
                    if let (Blame::SoFar(trouble, account), Some(before)) = (&blame, before) {
                        self.may_undo(&key, *trouble, account, before);
                    }
                }
                if let Some(session) = session {
                    self.session_was_refused(session, fingerprint, verdict);
                }
            }
            // What any key may ask shows neither that the key is good nor that there is room for more.
            Outcome::Answered | Outcome::Broke(_) | Outcome::ClientLeft | Outcome::CutOff => {}
        }
        self.part(now);
        effects
    }

    fn punish(&mut self, facts: &Facts<'_>, effects: &mut Vec<Effect>) {
        let &Facts { fingerprint, verdict, in_flight, number, latest, .. } = facts;
        let whole_account = match verdict.whose {
            Party::Account => true,
            Party::Key => false,
            Party::Request | Party::Client | Party::Upstream | Party::Nobody => return,
        };
        let (payment_block, until) = (self.rules.payment_block, self.cool_until(facts));
        let pauses = matches!(verdict.action, Action::Block(_) | Action::Backoff | Action::CoolUntilReset(_));
        if whole_account && pauses {
            self.sharers_mut(fingerprint).for_each(|entry| entry.slots.arm());
        }
        let affected = self
            .sharers_mut(fingerprint)
            .filter(|entry| whole_account || entry.key.fingerprint == fingerprint);
        match verdict.action {
            Action::Nothing => {}
            Action::LowerCap => affected.for_each(|entry| {
                entry.slots.lower(entry.parallel_limit(), in_flight, number, latest);
            }),
            Action::Block(reason) => {
                let length = match reason {
                    BlockReason::Payment => payment_block,
                    BlockReason::InvalidKey | BlockReason::Banned | BlockReason::Balance => None,
                };
                effects.extend(affected.filter_map(|entry| entry.block_for(reason, length, facts)));
            }
            Action::Backoff => {
                effects.extend(affected.filter_map(|entry| entry.cool(until, "rate_limited", facts)));
            }
            Action::CoolUntilReset(full) => {
                effects.extend(affected.filter_map(|entry| entry.cool(until, "quota", facts)));
                if let Some(account) = self.entry(fingerprint).map(|entry| entry.account_id) {
                    self.ledger.refused(account, full, until, facts.now);
                }
                effects.push(Effect::ReadQuota(fingerprint));
            }
        }
    }

    /// `Retry-After`, else the reset of the full window, else a backoff that grows with strikes.
    fn cool_until(&self, facts: &Facts<'_>) -> Time {
        let &Facts { verdict, retry_after, now, random, .. } = facts;
        let entry = self.entry(facts.fingerprint);
        let full = match verdict.action {
            Action::CoolUntilReset(full) => Some(full),
            _ => None,
        };
        let reading = entry.and_then(|entry| entry.reading.as_ref());
        let known_reset = full.and_then(|full| cooldown::reset_of(full, &reading?.0, now));
        let strikes = entry.map_or(0, |entry| {
            if full.is_some() { entry.quota_strikes.count } else { entry.rate_strikes.count }
        });
        let floor = if full.is_some() { cooldown::QUOTA_FLOOR } else { cooldown::RATE_FLOOR };
        let window_is_known = known_reset.is_some() || full.is_some_and(|full| full != FullWindow::Unknown);
        let until = if let Some(pause) = retry_after {
            now + pause.max(if window_is_known { cooldown::RATE_FLOOR } else { floor })
        } else if let Some(reset) = known_reset {
            reset.max(now + cooldown::RATE_FLOOR)
        } else if full == Some(FullWindow::Month) {
            now + cooldown::MONTH
        } else {
            now + cooldown::backoff(floor, strikes, self.rules.longest_backoff, random)
        };
        until.min(now + cooldown::LONGEST)
    }

    /// Takes in a fresh answer of `/usages`. It lifts only cooldowns that readings made. Keys of the same account
    /// take the reading over.
    pub fn record_quota(&mut self, fingerprint: Fingerprint, quota: &Quota, now: Time) -> Vec<Effect> {
        let Some(index) = self.index_of(fingerprint) else { return Vec::new() };
        self.last_refresh = Some(now);
        let entry = &mut self.entries[index];
        // Older shapes leave the user out; the key is still that account's.
        let account = quota.account.as_deref().or(entry.account()).map(str::to_owned);
        let quota = &Quota { account, ..quota.clone() };
        let was = entry.account_id;
        let account_id = quota.account.as_deref().map_or(entry.account_id, |user| entry.account_of(user));
        entry.account_id = account_id;
        let key_id = AccountId::of_key(fingerprint);
        entry.reading = Some((quota.clone(), now));
        entry.refresh_error = None;
        let longest = self.rules.longest_backoff;
        let mut effects = Vec::new();
        if account_id != key_id {
            self.ledger.join(key_id, account_id);
        }
        self.ledger.poll(account_id, quota, now);
        for entry in self.sharers_mut(fingerprint) {
            entry.account_id = account_id;
            entry.reading = Some((quota.clone(), now));
            let was_cooling = entry.reading_cooldown.take().is_some_and(|c| c.is_on(now));
            if cooldown::is_dry(quota, now) {
                let until =
                    cooldown::full_until(quota, now).unwrap_or(now + longest).min(now + cooldown::LONGEST);
                entry.reading_cooldown = Some(Cooldown { since: Some(now), until, reason: "exhausted" });
                entry.slots.arm();
                if !was_cooling {
                    effects.push(Effect::Cooled {
                        label: entry.key.label.clone(),
                        until,
                        reason: "exhausted",
                    });
                }
            }
        }
        if account_id != was {
            self.keep_ledger();
        }
        effects
    }

    /// A refresh failed: the last reading stays, with its age; the error is shown beside it.
    pub fn record_quota_error(&mut self, fingerprint: Fingerprint, error: &Said) {
        if let Some(index) = self.index_of(fingerprint) {
            self.entries[index].refresh_error = Some(error.clone());
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
            entry.unblock();
            entry.cooldown = None;
            entry.reading_cooldown = None;
            entry.rate_strikes.count = 0;
            entry.quota_strikes.count = 0;
            self.ledger.forgive(entry.account_id);
        }
        cleared
    }
}

/// Whether a refusal shows that what blocked the key is over: the API has taken the key and found the request
/// wanting, the model out of its tier, or a window full, which it says of members only. A throughput or concurrency
/// limit may stand before the key is looked at; what matches no row says nothing.
fn shows_key_good(verdict: &Verdict) -> bool {
    let past_the_key = match (verdict.whose, verdict.action) {
        (Party::Request, _) | (Party::Key, Action::Nothing) | (_, Action::CoolUntilReset(_)) => true,
        (Party::Key | Party::Account | Party::Client | Party::Upstream | Party::Nobody, _) => false,
    };
    past_the_key && verdict.row.is_known()
}

impl Entry {
    /// Cools until a time, never shortening. A throughput limit says nothing about the quota: each counts its own
    /// strikes.
    fn cool(&mut self, until: Time, reason: &'static str, facts: &Facts<'_>) -> Option<Effect> {
        let cooling = self.cooldown.as_ref().filter(|c| c.is_on(facts.now));
        let strikes = match facts.verdict.action {
            Action::CoolUntilReset(_) => &mut self.quota_strikes,
            _ => &mut self.rate_strikes,
        };
        strikes.strike(facts.number, facts.latest, facts.now);
        if cooling.is_some_and(|old| old.until >= until) {
            return None;
        }
        let news = cooling.is_none_or(|old| old.reason != reason);
        self.cooldown = Some(Cooldown { since: Some(facts.now), until, reason });
        news.then(|| Effect::Cooled { label: self.key.label.clone(), until, reason })
    }

    /// Blocks; a half-open key that is refused again is blocked for twice as long. Refusals of requests that were
    /// under way when the block began change nothing: they say what was known then.
    fn block_for(
        &mut self,
        reason: BlockReason,
        length: Option<Duration>,
        facts: &Facts<'_>,
    ) -> Option<Effect> {
        let length = match &self.block {
            Some(block) if !self.is_half_open(facts.now) || facts.number <= block.after => return None,
            Some(failed) => match (failed.length, length) {
                (Some(old), Some(length)) => {
                    Some(old.saturating_mul(2).clamp(length, LONGEST_BLOCK.max(length)))
                }
                (_, length) => length,
            },
            None => length,
        };
        let until = length.map(|length| facts.now + length);
        self.unblock();
        self.block = Some(Block { until, reason, length, half_open: false, after: facts.latest });
        Some(Effect::Blocked { label: self.key.label.clone(), until, reason })
    }
}
