//! When each account's quota is read, and by which of its keys: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::account::AccountId;
use crate::key::Fingerprint;
use crate::ledger::Source;
use crate::pool::view::KeyView;
use crate::time::Time;

/// First pause after a failed reading; it doubles up to the usual one.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// An account that may run dry before its next reading is read this many times as often.
const NEARLY_DRY_TIMES: u32 = 5;
/// But no more often than this.
const SHORTEST: Duration = Duration::from_secs(30);
/// Little is left, in percent.
const LITTLE: f64 = 5.0;
/// An account that nobody uses is read this many times more rarely.
const IDLE_TIMES: u32 = 4;

/// What decides how often an account is read.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// KMI_USAGE_CACHE_SECONDS
    pub every: Duration,
    /// Accounts that nobody uses are read more rarely: not in strict mode, where only fresh readings serve.
    pub rest_when_idle: bool,
}

/// A key that is to be read now and then, and how its account stands.
#[derive(Debug, Clone, Copy)]
pub struct Readable {
    /// The key.
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub account: AccountId,
    /// The key's last attempt.
    pub last_used: Option<Time>,
    /// The least left over all windows, in percent.
    pub left_percent: Option<f64>,
    /// When the first window is empty at the present traffic.
    pub empty_at: Option<Time>,
    /// A window has reset since the last reading.
    pub has_reset: bool,
    /// A refusal says that a window is empty: nobody uses the account, and yet it is waited for.
    pub refused: bool,
}

impl Readable {
    /// A key as the pool shows it.
    #[must_use]
    pub fn of(key: &KeyView) -> Self {
        let figures = || key.figures.iter().map(|view| &view.figure);
        Self {
            fingerprint: key.fingerprint,
            account: key.account_id,
            last_used: key.last_used,
            left_percent: figures().map(|figure| figure.left_percent).min_by(f64::total_cmp),
            empty_at: figures().filter_map(|figure| figure.empty_at).min(),
            has_reset: figures().any(|figure| figure.source == Source::Reset),
            refused: figures().any(|figure| figure.source == Source::Error),
        }
    }
}

/// When each account's quota is to be read next: one key is asked, the others of the account take its answer over.
#[derive(Debug, Default)]
pub struct RefreshPlan {
    accounts: BTreeMap<AccountId, Planned>,
}

#[derive(Debug, Clone, Default)]
struct Planned {
    /// In pool order.
    keys: Vec<Fingerprint>,
    /// Counts failures: the next key is asked then.
    turn: usize,
    /// The end of the last reading; none yet = due at once.
    last: Option<Time>,
    /// After `last`.
    pause: Duration,
    /// Part of the pause, in 1024ths, by which accounts are kept out of step.
    spread: u32,
    failures: u32,
    /// Wanted at once.
    hurried: bool,
    under_way: Option<Fingerprint>,
}

impl RefreshPlan {
    /// Takes in the keys that are to be read now and then, with how they stand; a new account is due at once. Settings
    /// and standings that ask for a sooner reading pull planned ones in.
    pub fn set_keys(&mut self, keys: &[Readable], pace: Pace, now: Time) {
        let mut old = std::mem::take(&mut self.accounts);
        for key in keys {
            let planned = self.accounts.entry(key.account).or_default();
            planned.keys.push(key.fingerprint);
        }
        for (account, planned) in &mut self.accounts {
            let known = old.remove(account).or_else(|| {
                // Keys whose account was not known were accounts of their own: what has been asked need not be again.
                let had = old.values().filter(|one| one.keys.iter().any(|key| planned.keys.contains(key)));
                had.max_by_key(|one| (one.last, one.under_way)).cloned()
            });
            if let Some(known) = known {
                let mut asked = old.values().chain([&known]).filter_map(|one| one.under_way);
                let under_way = asked.find(|key| planned.keys.contains(key));
                // A clock that was set back would put the next reading off for as long.
                let last = known.last.map(|last| last.min(now));
                *planned = Planned { keys: std::mem::take(&mut planned.keys), under_way, last, ..known };
            }
            let members = keys.iter().filter(|key| key.account == *account);
            planned.pause = planned.pause_for(members, pace, now);
        }
    }

    /// A key's quota is wanted soon.
    pub fn hurry(&mut self, fingerprint: Fingerprint) {
        if let Some(planned) = self.of(fingerprint) {
            planned.hurried = true;
        }
    }

    /// The keys to read now, one an account; each counts as under way until [`RefreshPlan::done`].
    pub fn take_due(&mut self, now: Time) -> Vec<Fingerprint> {
        let due = self.accounts.values_mut().filter(|planned| planned.due().is_some_and(|due| due <= now));
        due.filter_map(|planned| {
            let key = *planned.keys.get(planned.turn % planned.keys.len().max(1))?;
            planned.under_way = Some(key);
            planned.hurried = false;
            Some(key)
        })
        .collect()
    }

    /// A reading has ended. After a failed one the account's next key is asked, sooner than usual. `random` is any
    /// number.
    pub fn done(&mut self, fingerprint: Fingerprint, good: bool, pace: Pace, now: Time, random: u64) {
        let Some(planned) = self.of(fingerprint) else { return };
        if planned.under_way == Some(fingerprint) {
            planned.under_way = None;
        }
        planned.last = Some(now);
        planned.spread = u32::try_from(random % 1024).unwrap_or(0);
        planned.failures = if good { 0 } else { planned.failures.saturating_add(1) };
        planned.turn = if good { planned.turn } else { planned.turn.wrapping_add(1) };
        planned.pause = if good { pace.every } else { planned.after_failure(pace.every) };
    }

    /// When the next account is due; `None` when all are under way or there are none.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        self.accounts.values().filter_map(Planned::due).min()
    }

    fn of(&mut self, fingerprint: Fingerprint) -> Option<&mut Planned> {
        self.accounts.values_mut().find(|planned| planned.keys.contains(&fingerprint))
    }
}

impl Planned {
    fn due(&self) -> Option<Time> {
        if self.under_way.is_some() {
            return None;
        }
        let Some(last) = self.last.filter(|_| !self.hurried) else { return Some(Time::default()) };
        Some(last + self.pause.mul_f64(0.9) + self.pause / 5 * self.spread / 1024)
    }

    fn after_failure(&self, every: Duration) -> Duration {
        AFTER_FAILURE.saturating_mul(2u32.saturating_pow(self.failures.min(16) - 1)).min(every)
    }

    fn pause_for<'a>(
        &self,
        keys: impl Iterator<Item = &'a Readable> + Clone,
        pace: Pace,
        now: Time,
    ) -> Duration {
        let every = pace.every;
        if self.failures > 0 {
            return self.after_failure(every);
        }
        let used = keys.clone().filter_map(|key| key.last_used).max();
        let unread_use = used.is_some_and(|used| self.last.is_none_or(|last| used > last));
        let nearly_dry = keys.clone().any(|key| {
            key.empty_at.is_some_and(|empty| empty <= now + every)
                || key.left_percent.is_some_and(|left| left > 0.0 && left < LITTLE)
        });
        if keys.clone().any(|key| key.has_reset) || (nearly_dry && unread_use) {
            return (every / NEARLY_DRY_TIMES).max(SHORTEST).min(every);
        }
        let awaited = keys.clone().any(|key| key.refused);
        let idle = !awaited && used.is_none_or(|used| now.since(used) > every);
        if idle && pace.rest_when_idle { every.saturating_mul(IDLE_TIMES) } else { every }
    }
}

#[cfg(test)]
#[path = "refresh_plan_tests.rs"]
mod tests;
