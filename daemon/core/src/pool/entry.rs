//! One key in the pool: what it is, how it stands, what it remembers.

use std::sync::Arc;
use std::time::Duration;

use super::snapshot::{BlockRecord, CooldownRecord, KeyRecord, QuotaRecord};
use super::view::{ErrorCounts, KeyState, KeyView};
use crate::cooldown;
use crate::key::Key;
use crate::kimi::quota::Quota;
use crate::outcome::BlockReason;
use crate::rate::RateWindow;
use crate::time::Time;

/// A key whose worst window has less than this left is in state *warn*.
const WARN_BELOW_PERCENT: f64 = 20.0;
/// Completed requests after which a lowered cap rises by one.
const CAP_RISES_AFTER: u32 = 20;

/// A pause with an end.
#[derive(Debug, Clone)]
pub(super) struct Cooldown {
    pub(super) until: Time,
    pub(super) reason: &'static str,
}

/// A stop that ends by its time, a good recheck or a person; then one request decides (*half-open*).
#[derive(Debug, Clone)]
pub(super) struct Block {
    pub(super) until: Option<Time>,
    pub(super) reason: BlockReason,
    pub(super) length: Option<Duration>,
    pub(super) half_open: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    pub(super) last_used: Option<Time>,
    pub(super) requests: u64,
    pub(super) errors: ErrorCounts,
    /// Made by a response: ends by its time only.
    pub(super) cooldown: Option<Cooldown>,
    /// Made by a reading: the next reading replaces it.
    pub(super) reading_cooldown: Option<Cooldown>,
    pub(super) block: Option<Block>,
    pub(super) strikes: u32,
    pub(super) reading: Option<(Quota, Time)>,
    pub(super) refresh_error: Option<String>,
    pub(super) in_flight: u32,
    pub(super) cap: Cap,
    pub(super) rate: RateWindow,
    /// The half-open request is under way.
    pub(super) probing: bool,
}

/// Most attempts in flight: the plan's limit, lowered while the API says that there are too many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cap {
    lowered: Option<u32>,
    successes: u32,
}

impl Cap {
    pub(super) fn most(self, limit: Option<u32>) -> Option<u32> {
        match (self.lowered, limit) {
            (Some(lowered), Some(limit)) => Some(lowered.min(limit)),
            (one, other) => one.or(other),
        }
    }

    /// `in_flight` counts the refused attempt.
    pub(super) fn lower(&mut self, in_flight: u32) {
        let below = in_flight.saturating_sub(1).max(1);
        *self = Self { lowered: Some(self.lowered.map_or(below, |old| old.min(below))), successes: 0 };
    }

    pub(super) fn succeeded(&mut self, limit: Option<u32>) {
        let Some(lowered) = &mut self.lowered else { return };
        self.successes += 1;
        if self.successes >= CAP_RISES_AFTER {
            self.successes = 0;
            *lowered += 1;
            if limit.is_some_and(|limit| *lowered >= limit) {
                self.lowered = None;
            }
        }
    }
}

impl Entry {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self {
            key,
            last_used: None,
            requests: 0,
            errors: ErrorCounts::default(),
            cooldown: None,
            reading_cooldown: None,
            block: None,
            strikes: 0,
            reading: None,
            refresh_error: None,
            in_flight: 0,
            cap: Cap::default(),
            rate: RateWindow::default(),
            probing: false,
        }
    }

    pub(super) fn state(&self, now: Time) -> KeyState {
        if self.key.disabled {
            KeyState::Disabled
        } else if self.block.is_some() {
            KeyState::Blocked
        } else if self.cooling_until(now).is_some() {
            KeyState::Cooling
        } else if self.worst_percent(now).is_some_and(|left| left < WARN_BELOW_PERCENT) {
            KeyState::Warn
        } else {
            KeyState::Ready
        }
    }

    /// A block whose time is over, or that a recheck lifted: the next request decides.
    pub(super) fn is_half_open(&self, now: Time) -> bool {
        self.block
            .as_ref()
            .is_some_and(|block| block.half_open || block.until.is_some_and(|until| until <= now))
    }

    pub(super) fn cooling_until(&self, now: Time) -> Option<&Cooldown> {
        [&self.cooldown, &self.reading_cooldown]
            .into_iter()
            .flatten()
            .filter(|cooldown| cooldown.until > now)
            .max_by_key(|cooldown| cooldown.until)
    }

    pub(super) fn worst_percent(&self, now: Time) -> Option<f64> {
        self.reading.as_ref().and_then(|(quota, _)| cooldown::worst_percent(quota, now))
    }

    pub(super) fn account(&self) -> Option<&str> {
        self.reading.as_ref()?.0.account.as_deref()
    }

    pub(super) fn parallel_limit(&self) -> Option<u32> {
        self.reading.as_ref()?.0.parallel_limit
    }

    /// Failed attempts among all, 0 to 1.
    pub(super) fn error_rate(&self) -> f64 {
        let errors = self.errors.e401 + self.errors.e403 + self.errors.e429 + self.errors.e5xx;
        if self.requests == 0 { 0.0 } else { errors as f64 / self.requests as f64 }
    }

    pub(super) fn reason(&self, now: Time) -> (Option<&'static str>, Option<Time>) {
        match (self.state(now), &self.block) {
            (KeyState::Blocked, Some(_)) if self.is_half_open(now) => (Some("half_open"), None),
            (KeyState::Blocked, Some(block)) => (Some(block.reason.name()), block.until),
            (KeyState::Cooling, _) => {
                self.cooling_until(now).map_or((None, None), |c| (Some(c.reason), Some(c.until)))
            }
            (KeyState::Warn, _) => (Some("low_quota"), None),
            _ => (None, None),
        }
    }

    pub(super) fn view(&self, now: Time) -> KeyView {
        let (reason, until) = self.reason(now);
        KeyView {
            label: self.key.label.clone(),
            fingerprint: self.key.fingerprint,
            masked: self.key.secret.masked(),
            state: self.state(now),
            reason,
            until,
            email: self.key.email.clone().or_else(|| self.reading.as_ref()?.0.email.clone()),
            source: self.key.source.clone(),
            base_url: self.key.base_url.to_string(),
            priority: self.key.priority,
            last_used: self.last_used,
            requests: self.requests,
            in_flight: self.in_flight,
            cap: self.cap.most(self.parallel_limit()),
            errors: self.errors,
            reading: self.reading.clone(),
            refresh_error: self.refresh_error.clone(),
        }
    }

    pub(super) fn record(&self, now: Time) -> KeyRecord {
        let keep = |cooldown: &Option<Cooldown>| {
            cooldown
                .as_ref()
                .filter(|c| c.until > now)
                .map(|c| CooldownRecord { until: c.until, reason: c.reason.into() })
        };
        KeyRecord {
            label: self.key.label.to_string(),
            last_used: self.last_used,
            last_seen: Some(now),
            requests: self.requests,
            errors: self.errors,
            cooldown: keep(&self.cooldown),
            reading_cooldown: keep(&self.reading_cooldown),
            block: self.block.as_ref().map(|block| BlockRecord {
                until: block.until,
                reason: block.reason,
                seconds: block.length.map(|length| length.as_secs()),
                half_open: block.half_open,
            }),
            strikes: self.strikes,
            quota: self.reading.clone().map(|(quota, read_at)| QuotaRecord { read_at, quota }),
        }
    }

    pub(super) fn restore(&mut self, record: &KeyRecord, now: Time) {
        // A time beyond any window comes from a clock that was wrong, or a damaged file: it must not cool for ever.
        let sane = |until: Time| until.min(now + cooldown::LONGEST);
        let cool = |record: &Option<CooldownRecord>| {
            record
                .as_ref()
                .map(|c| Cooldown { until: sane(c.until), reason: crate::outcome::reason_word(&c.reason) })
        };
        self.last_used = record.last_used;
        self.requests = record.requests;
        self.errors = record.errors;
        self.cooldown = cool(&record.cooldown);
        self.reading_cooldown = cool(&record.reading_cooldown);
        self.block = record.block.as_ref().map(|block| Block {
            until: block.until.map(sane),
            reason: block.reason,
            length: block.seconds.map(Duration::from_secs),
            half_open: block.half_open,
        });
        self.strikes = record.strikes;
        self.reading = record.quota.clone().map(|q| (q.quota, q.read_at.min(now)));
    }
}
