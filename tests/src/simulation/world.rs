//! Accounts as the API keeps them: plans, windows, caches, requests in flight.
//!
//! What the windows do is a reading of `/usages` (ARCHITECTURE.md, "The quota answer"): every window names its reset
//! even when nothing is used, so both windows stand on a fixed grid of the account's own, 5 hours and 7 days long.
//! The end of one is the beginning of the next, with nothing used. What was left of it is gone.

use std::collections::BTreeMap;

use super::{DAY, HOUR, Millis, Units};

/// How long a cached context lives after its last use.
pub const CACHE_LIVES: Millis = HOUR;
/// Length of the shorter window.
pub const FIVE_HOURS: Millis = 5 * HOUR;
/// Length of the longer window.
pub const WEEK: Millis = 7 * DAY;

/// What one request's tokens cost: new input one token's worth, cached input a tenth, output four times. That cached
/// input is cheaper quota is known (ARCHITECTURE.md, "What the clients do", 2026-11); the figures are assumed.
#[must_use]
pub fn cost(input: i64, cached: i64, output: i64) -> Units {
    10 * (input - cached) + cached + 40 * output
}

/// What an account may use.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `user.membership.level`
    pub level: &'static str,
    /// Of a 5-hour window.
    pub five_hours: Units,
    /// Of a 7-day window.
    pub week: Units,
    /// `parallel.limit`
    pub parallel: u32,
}

/// One window of one account.
#[derive(Debug, Clone)]
pub struct Window {
    /// When the current one began; before the simulation for the first.
    pub began: Millis,
    /// How long it is.
    pub length: Millis,
    /// What may be used of it.
    pub capacity: Units,
    /// What has been used.
    pub used: Units,
}

impl Window {
    /// When the current one ends.
    #[must_use]
    pub fn resets_at(&self) -> Millis {
        self.began + self.length
    }

    /// Whether nothing more is admitted. A request that was admitted is served to its end, whatever it costs.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= self.capacity
    }

    /// Begins new windows up to `now`; what was left of those that ended.
    fn roll(&mut self, now: Millis) -> Units {
        let mut expired = 0;
        while self.resets_at() <= now {
            expired += (self.capacity - self.used).max(0);
            self.began = self.resets_at();
            self.used = 0;
        }
        expired
    }

    /// Percent used, in whole numbers as the API says it, a full window always 100.
    #[must_use]
    pub fn percent_used(&self) -> i64 {
        if self.is_full() { 100 } else { self.used * 100 / self.capacity.max(1) }
    }
}

#[derive(Debug, Clone, Copy)]
struct Cached {
    tokens: i64,
    last_use: Millis,
}

/// One account.
#[derive(Debug, Clone)]
pub struct Account {
    /// `user.userId`
    pub id: String,
    /// Its plan.
    pub plan: Plan,
    /// The 5-hour window.
    pub five_hours: Window,
    /// The 7-day window.
    pub week: Window,
    /// Requests under way.
    pub in_flight: u32,
    /// Requests under way that the API really allows, where that differs from what it says.
    pub real_parallel: u32,
    /// Left of 7-day windows that ended, so far.
    pub expired: Units,
    caches: BTreeMap<u32, Cached>,
}

impl Account {
    /// An account whose windows began so long before the simulation, its 7-day window used to that share.
    #[must_use]
    pub fn new(id: String, plan: Plan, five_hours_ago: Millis, week_ago: Millis, used: f64) -> Self {
        let window = |ago: Millis, length: Millis, capacity| Window {
            began: -(ago % length),
            length,
            capacity,
            used: 0,
        };
        let mut week = window(week_ago, WEEK, plan.week);
        week.used = (plan.week as f64 * used) as Units;
        Self {
            id,
            five_hours: window(five_hours_ago, FIVE_HOURS, plan.five_hours),
            week,
            in_flight: 0,
            real_parallel: plan.parallel,
            expired: 0,
            caches: BTreeMap::new(),
            plan,
        }
    }

    /// Lets time pass: windows begin anew, caches are forgotten.
    pub fn pass(&mut self, now: Millis) {
        self.five_hours.roll(now);
        let expired = self.week.roll(now);
        self.expired += expired;
        self.caches.retain(|_, cached| now - cached.last_use <= CACHE_LIVES);
    }

    /// Tokens of a session's context that this account has cached, of `shared` that could be.
    #[must_use]
    pub fn cached(&self, session: u32, shared: i64) -> i64 {
        self.caches.get(&session).map_or(0, |cached| cached.tokens.min(shared))
    }

    /// Admits a request at its cost.
    pub fn admit(&mut self, cost: Units) {
        self.five_hours.used += cost;
        self.week.used += cost;
        self.in_flight += 1;
    }

    /// Ends a request that was admitted; when it was served, its context is cached.
    pub fn end(&mut self, served: Option<(u32, i64)>, now: Millis) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some((session, tokens)) = served {
            let cached = self.caches.entry(session).or_insert(Cached { tokens: 0, last_use: now });
            cached.tokens = cached.tokens.max(tokens);
            cached.last_use = now;
        }
    }
}

/// One key of one account.
#[derive(Debug, Clone)]
pub struct WorldKey {
    /// Its label.
    pub label: String,
    /// Whose it is.
    pub account: usize,
    /// Switched off in its file.
    pub disabled: bool,
}

/// All accounts and their keys.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// The keys in pool order.
    pub keys: Vec<WorldKey>,
}

impl World {
    /// Adds an account with one key.
    pub fn add(&mut self, account: Account) {
        let number = self.accounts.len();
        self.keys.push(WorldKey { label: account.id.clone(), account: number, disabled: false });
        self.accounts.push(account);
    }

    /// Adds another key of an account.
    pub fn add_key(&mut self, label: &str, account: usize, disabled: bool) {
        self.keys.push(WorldKey { label: label.to_owned(), account, disabled });
    }
}
