//! One key in the pool: what it is, how it stands, what it remembers.

use std::sync::Arc;
use std::time::Duration;

use super::decision::ShownFigures;
use super::slots::{AccountSlots, Slots};
use super::snapshot::{BlockRecord, CooldownRecord, KeyRecord, QuotaRecord};
use super::view::{ErrorCounts, KeyState, KeyView};
use crate::account::AccountId;
use crate::cooldown;
use crate::key::Key;
use crate::kimi::quota::Quota;
use crate::kimi::usage::Tokens;
use crate::ledger::Ledger;
use crate::outcome::BlockReason;
use crate::rate::RateWindow;
use crate::said::Said;
use crate::time::Time;

/// A key whose worst window has less than this left is in state *warn*.
const WARN_BELOW_PERCENT: f64 = 20.0;

/// A quota refusal is put to the test by one request after this, when a reading made since then shows room. Each
/// further refusal doubles it. Not sooner, because such a reading and a quota 403 have been seen side by side
/// [kimi-code#3014, 2026-11].
const TEST_AFTER: Duration = Duration::from_secs(15 * 60);
const TEST_AFTER_MOST: Duration = Duration::from_secs(6 * 3600);
/// How much room, in percent of the worst window.
const ROOM: f64 = 5.0;

/// Why a key is blocked whose next request decides.
pub const HALF_OPEN: &str = "half_open";
/// No setting allows a longer block; a state file that says so is damaged.
const LONGEST_RESTORED: Duration = Duration::from_secs(366 * 24 * 3600);

/// A pause with an end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cooldown {
    /// When it was made; `None` where an older state file does not say.
    pub(super) since: Option<Time>,
    pub(super) until: Time,
    pub(super) reason: &'static str,
}

impl Cooldown {
    /// One that was made in the future, or a time beyond any window, was set by a clock that was wrong, or stands in a
    /// damaged file: it cools nobody, or a key would rest for a day because the clock was set back by one. It is not
    /// changed, because it may be this moment's clock that is wrong.
    pub(super) fn is_on(&self, now: Time) -> bool {
        let from_the_future = self.since.is_some_and(|since| since > now + cooldown::CLOCK_SLACK);
        !from_the_future && self.until > now && self.until <= now + cooldown::LONGEST
    }
}

/// A stop that ends by its time, a good recheck or a person; then one request decides (*half-open*).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Block {
    pub(super) until: Option<Time>,
    pub(super) reason: BlockReason,
    pub(super) length: Option<Duration>,
    pub(super) half_open: bool,
    /// The last lease before it: what that or an older one says was known when the block began.
    pub(super) after: u64,
}

impl Block {
    /// Whether its time is over; a time further off than it is long comes from a wrong clock, see [`Cooldown::is_on`].
    fn is_over(&self, now: Time) -> bool {
        let longest =
            self.length.map_or(cooldown::LONGEST, |length| length.saturating_add(cooldown::CLOCK_SLACK));
        self.until.is_some_and(|until| until <= now || until > now + longest)
    }
}

/// Refusals of one kind in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Strikes {
    pub(super) count: u32,
    /// When the last one struck.
    pub(super) at: Option<Time>,
    /// The last lease before it: what that or an older one met is the same strike.
    pub(super) after: u64,
}

impl Strikes {
    /// A refusal of the lease `number`; `latest` is the last lease so far.
    pub(super) fn strike(&mut self, number: u64, latest: u64, now: Time) {
        if self.are_before(number) {
            *self = Self { count: self.count.saturating_add(1), at: Some(now), after: latest };
        }
    }

    /// Whether all of them were known when this lease was granted.
    pub(super) fn are_before(&self, number: u64) -> bool {
        number > self.after
    }

    /// This lease was served.
    pub(super) fn served(&mut self, number: u64) {
        if self.are_before(number) {
            self.count = 0;
        }
    }

    /// Takes back what came between the two, except what came since.
    pub(super) fn take_back(&mut self, before: Self, after: Self) {
        self.count = self.count.saturating_sub(after.count.saturating_sub(before.count));
        if self.after == after.after {
            (self.at, self.after) = (before.at, before.after);
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Arc<Key>,
    /// Whose it is, as the last reading says.
    pub(super) account_id: AccountId,
    pub(super) last_used: Option<Time>,
    pub(super) requests: u64,
    pub(super) errors: ErrorCounts,
    pub(super) tokens: Tokens,
    /// Made by a response: ends by its time only.
    pub(super) cooldown: Option<Cooldown>,
    /// Made by a reading: the next reading replaces it.
    pub(super) reading_cooldown: Option<Cooldown>,
    pub(super) block: Option<Block>,
    /// Refusals in a row for throughput.
    pub(super) rate_strikes: Strikes,
    /// Refusals in a row for quota.
    pub(super) quota_strikes: Strikes,
    pub(super) reading: Option<(Quota, Time)>,
    pub(super) refresh_error: Option<Said>,
    pub(super) in_flight: u32,
    pub(super) slots: Slots,
    pub(super) rate: RateWindow,
    /// The lease of the request that decides whether the half-open key is good.
    pub(super) probe: Option<u64>,
    /// For the records of choices.
    pub(super) shown: ShownFigures,
}

impl Entry {
    pub(super) fn new(key: Arc<Key>) -> Self {
        Self {
            account_id: AccountId::of_key(key.fingerprint),
            key,
            last_used: None,
            requests: 0,
            errors: ErrorCounts::default(),
            tokens: Tokens::default(),
            cooldown: None,
            reading_cooldown: None,
            block: None,
            rate_strikes: Strikes::default(),
            quota_strikes: Strikes::default(),
            reading: None,
            refresh_error: None,
            in_flight: 0,
            slots: Slots::default(),
            rate: RateWindow::default(),
            probe: None,
            shown: ShownFigures::default(),
        }
    }

    /// What its account has left, by the ledger, tells ready from warn: the same figures that people see.
    pub(super) fn state(&self, ledger: &Ledger, now: Time) -> KeyState {
        if self.key.disabled {
            KeyState::Disabled
        } else if self.block.is_some() {
            KeyState::Blocked
        } else if self.cooling_until(now).is_some() {
            KeyState::Cooling
        } else if ledger.worst_percent(self.account_id, now).is_some_and(|left| left < WARN_BELOW_PERCENT) {
            KeyState::Warn
        } else {
            KeyState::Ready
        }
    }

    /// Whether it is ready or in warn, which spares the look at its windows.
    pub(super) fn serves(&self, now: Time) -> bool {
        !self.key.disabled && self.block.is_none() && self.cooling_until(now).is_none()
    }

    /// A block whose time is over or that a recheck lifted, or a quota refusal that a later reading contradicts: the
    /// next request decides.
    pub(super) fn is_half_open(&self, now: Time) -> bool {
        match &self.block {
            Some(block) => block.half_open || block.is_over(now),
            None => self.quota_may_be_back(now),
        }
    }

    /// Whether a reading that is clearly later than the quota refusal shows room: in every window, or outside of them,
    /// where somebody may have paid for more meanwhile.
    pub(super) fn quota_may_be_back(&self, now: Time) -> bool {
        let on = |cooldown: &Option<Cooldown>| cooldown.as_ref().is_some_and(|cooldown| cooldown.is_on(now));
        let refused = self.refused_for_quota().is_some_and(|cooldown| cooldown.is_on(now));
        let Strikes { count, at, .. } = self.quota_strikes;
        let (Some(struck_at), Some((quota, read_at))) = (at, &self.reading) else { return false };
        let doubled = 2u32.saturating_pow(count.saturating_sub(1).min(16));
        let wait = TEST_AFTER.saturating_mul(doubled).min(TEST_AFTER_MOST);
        let room = quota.extra_left || cooldown::worst_percent(quota, now).is_some_and(|left| left >= ROOM);
        refused
            && self.block.is_none()
            && !on(&self.reading_cooldown)
            && *read_at >= struck_at + wait
            && *read_at <= now
            && room
    }

    /// The cooldown that a quota refusal made; it may be over.
    pub(super) fn refused_for_quota(&self) -> Option<&Cooldown> {
        self.cooldown.as_ref().filter(|cooldown| cooldown.reason == "quota")
    }

    /// Ends a cooldown that a quota refusal made. Whether there was one.
    pub(super) fn quota_is_back(&mut self) -> bool {
        let ended = self.cooldown.take_if(|cooldown| cooldown.reason == "quota").is_some();
        if ended {
            self.quota_strikes.count = 0;
        }
        ended
    }

    /// Whether the state allows a lease; of a half-open key one at a time.
    pub(super) fn can_serve(&self, now: Time) -> bool {
        let waits = self.cooling_until(now).is_some() && !self.quota_may_be_back(now);
        let half_open = !self.key.disabled && self.is_half_open(now) && !waits;
        self.serves(now) || half_open
    }

    /// Ends the block; a request that was to decide about it decides nothing any more.
    pub(super) fn unblock(&mut self) -> Option<Block> {
        self.probe = None;
        self.block.take()
    }

    /// Whether it is blocked for something that all keys of its account share, and was when this lease was granted.
    pub(super) fn is_blocked_with_its_account(&self, number: u64) -> bool {
        let of_account = |block: &Block| block.reason != BlockReason::InvalidKey && number > block.after;
        self.block.as_ref().is_some_and(of_account)
    }

    /// A 401 ends when the key's file changes: whoever edits it wants it tried again. What blocks the account does
    /// not depend on the file.
    pub(super) fn file_changed(&mut self) {
        if self.block.as_ref().is_some_and(|block| block.reason == BlockReason::InvalidKey) {
            self.unblock();
        }
    }

    /// The key is sent to another host now, which has accounts of its own [kimi-upstream.md, Hosts, 2026-11]: nothing
    /// learned at the old one holds there.
    pub(super) fn moved(&mut self) {
        self.unblock();
        self.cooldown = None;
        self.reading_cooldown = None;
        self.reading = None;
        self.account_id = AccountId::of_key(self.key.fingerprint);
        self.refresh_error = None;
        self.slots = Slots::default();
        self.rate_strikes.count = 0;
        self.quota_strikes.count = 0;
    }

    pub(super) fn cooling_until(&self, now: Time) -> Option<&Cooldown> {
        [&self.cooldown, &self.reading_cooldown]
            .into_iter()
            .flatten()
            .filter(|cooldown| cooldown.is_on(now))
            .max_by_key(|cooldown| cooldown.until)
    }

    pub(super) fn account(&self) -> Option<&str> {
        self.reading.as_ref()?.0.account.as_deref()
    }

    /// The account of that user, where this key is sent.
    pub(super) fn account_of(&self, user: &str) -> AccountId {
        AccountId::of_user(user, self.key.base_url.host())
    }

    pub(super) fn parallel_limit(&self) -> Option<u32> {
        self.reading.as_ref()?.0.parallel_limit
    }

    /// The limit of the longest window, where it counts requests: 2048 in 2025, 100 (percent) today
    /// [kimi-upstream.md, "GET /usages", trap 4, 2026-11].
    pub(super) fn limit_in_requests(&self) -> Option<f64> {
        let (quota, _) = self.reading.as_ref()?;
        let longest = quota.windows.iter().max_by_key(|window| window.length)?;
        longest.limit.filter(|limit| *limit > 100.0)
    }

    /// Whether a completed request moves the cap.
    pub(super) fn learns_from_success(&self, in_flight: u32) -> bool {
        self.slots.learns_from_success(self.parallel_limit(), in_flight)
    }

    /// A request of the account completed; `in_flight` are the account's, that one included.
    pub(super) fn succeeded(&mut self, in_flight: u32) {
        self.slots.succeeded(self.parallel_limit(), in_flight);
    }

    /// Failed attempts among all, 0 to 1.
    pub(super) fn error_rate(&self) -> f64 {
        let errors = self.errors.e401 + self.errors.e403 + self.errors.e429 + self.errors.e5xx;
        if self.requests == 0 { 0.0 } else { errors as f64 / self.requests as f64 }
    }

    pub(super) fn reason(&self, ledger: &Ledger, now: Time) -> (Option<&'static str>, Option<Time>) {
        match (self.state(ledger, now), &self.block) {
            (KeyState::Blocked, Some(_)) if self.is_half_open(now) => {
                // A refusal that said nothing about the block has only put the deciding request off.
                (Some(HALF_OPEN), self.cooling_until(now).map(|cooldown| cooldown.until))
            }
            (KeyState::Blocked, Some(block)) => (Some(block.reason.name()), block.until),
            (KeyState::Cooling, _) => {
                let half_open = self.quota_may_be_back(now).then_some(HALF_OPEN);
                self.cooling_until(now)
                    .map_or((None, None), |c| (half_open.or(Some(c.reason)), Some(c.until)))
            }
            (KeyState::Warn, _) => (Some("low_quota"), None),
            _ => (None, None),
        }
    }

    pub(super) fn view(&self, ledger: &Ledger, slots: AccountSlots, now: Time) -> KeyView {
        let (reason, until) = self.reason(ledger, now);
        KeyView {
            label: self.key.label.clone(),
            fingerprint: self.key.fingerprint,
            masked: self.key.secret.masked(),
            state: self.state(ledger, now),
            reason,
            until,
            email: self.key.email.clone().or_else(|| self.reading.as_ref()?.0.email.clone()),
            source: self.key.source.clone(),
            base_url: self.key.base_url.to_string(),
            priority: self.key.priority,
            last_used: self.last_used,
            requests: self.requests,
            in_flight: self.in_flight,
            cap: slots.cap,
            account_in_flight: slots.in_flight,
            ramp: slots.ramp.map(|(most, _)| most),
            errors: self.errors,
            account_id: self.account_id,
            figures: Vec::new(),
            tokens: self.tokens,
            sessions: 0,
            reading: self.reading.clone(),
            refresh_error: self.refresh_error.clone(),
        }
    }

    pub(super) fn record(&self, now: Time) -> KeyRecord {
        let keep = |cooldown: &Option<Cooldown>| {
            cooldown.as_ref().filter(|c| c.until > now).map(|c| CooldownRecord {
                since: c.since,
                until: c.until,
                reason: c.reason.into(),
            })
        };
        KeyRecord {
            label: self.key.label.to_string(),
            last_used: self.last_used,
            last_seen: Some(now),
            requests: self.requests,
            errors: self.errors,
            tokens: self.tokens,
            cooldown: keep(&self.cooldown),
            reading_cooldown: keep(&self.reading_cooldown),
            block: self.block.as_ref().map(|block| BlockRecord {
                until: block.until,
                reason: block.reason,
                seconds: block.length.map(|length| length.as_secs()),
                half_open: block.half_open,
            }),
            strikes: self.rate_strikes.count,
            quota_strikes: self.quota_strikes.count,
            struck_at: self.quota_strikes.at,
            base_url: Some(self.key.base_url.to_string()),
            revision: Some(self.key.revision),
            quota: self.reading.clone().map(|(quota, read_at)| QuotaRecord { read_at, quota }),
        }
    }

    pub(super) fn restore(&mut self, record: &KeyRecord) {
        let cool = |record: &Option<CooldownRecord>| {
            record.as_ref().map(|c| Cooldown {
                since: c.since,
                until: c.until,
                reason: crate::outcome::reason_word(&c.reason),
            })
        };
        self.last_used = record.last_used;
        self.requests = record.requests;
        self.errors = record.errors;
        self.tokens = record.tokens;
        self.cooldown = cool(&record.cooldown);
        self.reading_cooldown = cool(&record.reading_cooldown);
        self.block = record.block.as_ref().map(|block| Block {
            until: block.until,
            reason: block.reason,
            length: block.seconds.map(Duration::from_secs).map(|length| length.min(LONGEST_RESTORED)),
            half_open: block.half_open,
            after: 0,
        });
        self.rate_strikes.count = record.strikes;
        self.quota_strikes = Strikes { count: record.quota_strikes, at: record.struck_at, after: 0 };
        if self.block.is_some() || self.cooldown.is_some() || self.reading_cooldown.is_some() {
            self.slots.arm();
        }
        self.reading = record.quota.clone().map(|q| (q.quota, q.read_at));
        if let Some(user) = self.account() {
            self.account_id = self.account_of(user);
        }
        if record.base_url.as_ref().is_some_and(|url| *url != self.key.base_url.to_string()) {
            self.moved();
        }
        if record.revision.is_some_and(|revision| revision != self.key.revision) {
            self.file_changed();
        }
    }
}
