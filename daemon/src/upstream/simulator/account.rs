//! Quota bookkeeping of one simulated account; pure.

use std::collections::VecDeque;
use std::time::Duration;

use kmid_core::kimi::usage::Tokens;
use kmid_core::time::Time;

use super::script::{Level, Preset};

/// Length of the short window.
pub(super) const FIVE_HOURS: Duration = Duration::from_secs(5 * 3600);
/// Length of the long window.
pub(super) const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Conversations whose context an account still has in its cache.
const SESSIONS: usize = 64;
/// A cached token costs a tenth of a fresh one.
const CACHED_DISCOUNT: u64 = 10;

/// One quota window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    budget: u64,
    used: u64,
    length: Duration,
    resets_at: Time,
}

impl Window {
    fn new(level: Level, length: Duration, phase: u64, now: Time) -> Self {
        let resets_at = level.resets_in.map_or_else(|| next_reset(length, phase, now), |wait| now + wait);
        Self { budget: level.budget.max(1), used: level.used, length, resets_at }
    }

    fn roll(&mut self, now: Time) {
        if now < self.resets_at {
            return;
        }
        self.used = 0;
        let phase = u64::try_from(self.resets_at.as_millis()).unwrap_or(0);
        self.resets_at = next_reset(self.length, phase, now);
    }

    fn spend(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    /// Whether nothing is left.
    pub(super) fn is_full(&self) -> bool {
        self.used >= self.budget
    }

    /// 0 to 1.
    pub(super) fn used_ratio(&self) -> f64 {
        if self.is_full() { 1.0 } else { self.used as f64 / self.budget as f64 }
    }

    /// 0 to 100; 100 only when nothing is left.
    pub(super) fn used_percent(&self) -> u32 {
        if self.is_full() { 100 } else { ((self.used_ratio() * 100.0) as u32).min(99) }
    }

    /// When it starts anew.
    pub(super) fn resets_at(&self) -> Time {
        self.resets_at
    }
}

/// The first moment after `now` that lies `phase` behind a whole number of lengths.
fn next_reset(length: Duration, phase: u64, now: Time) -> Time {
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(0);
    let into = (now_ms % length_ms + length_ms - phase % length_ms) % length_ms;
    now + Duration::from_millis(length_ms - into)
}

/// Why the account refuses a chat request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dry {
    /// The 5-hour window is full, or the script says so.
    Cycle,
    /// The 7-day window is full.
    Week,
    /// Too many requests in flight.
    Parallel,
}

/// What one account has left and what it remembers.
#[derive(Debug, Clone)]
pub(super) struct Account {
    five_hours: Window,
    week: Window,
    parallel: u32,
    in_flight: u32,
    refuse_from: Option<u64>,
    chats: u64,
    /// Hash of the session and the tokens of its last prompt, the latest at the back.
    sessions: VecDeque<(u64, u64)>,
}

impl Account {
    /// An account as its preset says; `phase` spreads the reset times of different accounts.
    pub(super) fn new(preset: &Preset, phase: u64, now: Time) -> Self {
        Self {
            five_hours: Window::new(preset.five_hours, FIVE_HOURS, phase, now),
            week: Window::new(preset.week, WEEK, phase, now),
            parallel: preset.parallel,
            in_flight: 0,
            refuse_from: preset.refuse_from,
            chats: 0,
            sessions: VecDeque::new(),
        }
    }

    /// Starts windows anew whose time has come.
    pub(super) fn roll(&mut self, now: Time) {
        self.five_hours.roll(now);
        self.week.roll(now);
    }

    /// Admits a chat request and charges it. An admitted request occupies a place until [`Account::release`].
    pub(super) fn admit(
        &mut self,
        now: Time,
        input: u64,
        output: u64,
        session: Option<u64>,
    ) -> Result<Tokens, Dry> {
        self.roll(now);
        self.chats = self.chats.saturating_add(1);
        if self.refuse_from.is_some_and(|first| self.chats >= first) || self.five_hours.is_full() {
            return Err(Dry::Cycle);
        }
        if self.week.is_full() {
            return Err(Dry::Week);
        }
        if self.in_flight >= self.parallel {
            return Err(Dry::Parallel);
        }
        let cached = session.map_or(0, |session| self.remember(session, input));
        let cost = (input - cached).saturating_add(cached / CACHED_DISCOUNT).saturating_add(output);
        self.five_hours.spend(cost);
        self.week.spend(cost);
        self.in_flight += 1;
        Ok(Tokens { input, cached, output })
    }

    /// The answer to an admitted request has ended.
    pub(super) fn release(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// How much of the prompt is in the session's cache; the prompt becomes the cache of the next one.
    fn remember(&mut self, session: u64, input: u64) -> u64 {
        let known = self.sessions.iter().position(|(id, _)| *id == session);
        let cached =
            known.and_then(|place| self.sessions.remove(place)).map_or(0, |(_, tokens)| tokens.min(input));
        if self.sessions.len() >= SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back((session, input));
        cached
    }

    pub(super) fn five_hours(&self) -> &Window {
        &self.five_hours
    }

    pub(super) fn week(&self) -> &Window {
        &self.week
    }

    pub(super) fn parallel(&self) -> u32 {
        self.parallel
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn account(five_hours: Level, week: Level) -> Account {
        let preset = Preset { five_hours, week, ..Preset::default() };
        Account::new(&preset, 7, Time::from_millis(NOW))
    }

    #[test]
    fn use_counts_until_the_window_is_full_and_the_reset_empties_it() {
        let soon = Level { budget: 100, used: 0, resets_in: Some(Duration::from_secs(60)) };
        let mut account = account(soon, Level::of(1000));
        let now = Time::from_millis(NOW);
        assert_eq!(account.admit(now, 40, 20, None), Ok(Tokens { input: 40, cached: 0, output: 20 }));
        assert_eq!((account.five_hours().used_percent(), account.week().used_percent()), (60, 6));
        assert!(
            account.admit(now, 40, 20, None).is_ok(),
            "the request that empties a window is still served"
        );
        assert_eq!(account.admit(now, 1, 1, None), Err(Dry::Cycle));
        assert_eq!(account.five_hours().used_percent(), 100);

        let later = now + Duration::from_secs(60);
        assert!(account.admit(later, 1, 1, None).is_ok());
        assert_eq!(account.five_hours().resets_at(), later + FIVE_HOURS);
        assert_eq!(account.week().used_percent(), 12, "the week goes on");
    }

    #[test]
    fn a_full_week_is_named() {
        let mut account = account(Level::of(1000), Level { budget: 100, used: 100, resets_in: None });
        assert_eq!(account.admit(Time::from_millis(NOW), 1, 1, None), Err(Dry::Week));
    }

    #[test]
    fn a_session_that_comes_back_finds_its_prompt_cached_and_pays_less() {
        let mut account = account(Level::of(10_000), Level::of(10_000));
        let now = Time::from_millis(NOW);
        assert_eq!(account.admit(now, 1000, 0, Some(1)).unwrap().cached, 0);
        assert_eq!(account.admit(now, 1500, 0, Some(1)).unwrap().cached, 1000);
        assert_eq!(account.admit(now, 200, 0, Some(1)).unwrap().cached, 200);
        assert_eq!(account.admit(now, 200, 0, Some(2)).unwrap().cached, 0);
        assert_eq!(account.five_hours().used_percent(), ((1000 + 500 + 100 + 20 + 200) / 100) as u32);
    }

    #[test]
    fn the_script_refuses_from_its_request_on() {
        let preset = Preset { refuse_from: Some(2), ..Preset::default() };
        let now = Time::from_millis(NOW);
        let mut account = Account::new(&preset, 0, now);
        assert!(account.admit(now, 1, 1, None).is_ok());
        assert_eq!(account.admit(now, 1, 1, None), Err(Dry::Cycle));
        assert_eq!(account.five_hours().used_percent(), 0);
    }

    #[test]
    fn places_are_given_back() {
        let preset = Preset { parallel: 1, ..Preset::default() };
        let now = Time::from_millis(NOW);
        let mut account = Account::new(&preset, 0, now);
        assert!(account.admit(now, 1, 1, None).is_ok());
        assert_eq!(account.admit(now, 1, 1, None), Err(Dry::Parallel));
        account.release();
        assert!(account.admit(now, 1, 1, None).is_ok());
    }

    proptest! {
        #[test]
        fn a_reset_lies_ahead_within_one_length_and_never_moves_by_looking(
            phase in any::<u64>(), start in 0..4_000_000_000_000_i64, wait in 0..4_000_000_000_u64,
        ) {
            let start = Time::from_millis(start);
            let mut account = Account::new(&Preset::default(), phase, start);
            let now = start + Duration::from_millis(wait);
            account.roll(now);
            for (window, length) in [(account.five_hours, FIVE_HOURS), (account.week, WEEK)] {
                prop_assert!(window.resets_at() > now);
                prop_assert!(window.resets_at().since(now) <= length);
            }
            let before = (account.five_hours, account.week);
            account.roll(now);
            prop_assert_eq!(before, (account.five_hours, account.week));
        }

        #[test]
        fn tokens_add_up_and_a_served_request_never_lowers_use(
            requests in proptest::collection::vec((any::<u64>(), 0..10_000_u64, proptest::option::of(0..80_u64)), 1..200),
        ) {
            let now = Time::from_millis(NOW);
            let mut account = account(Level::of(u64::MAX), Level::of(1_000_000));
            for (input, output, session) in requests {
                let before = account.week().used_ratio();
                if let Ok(tokens) = account.admit(now, input, output, session) {
                    prop_assert!(tokens.cached <= tokens.input);
                    prop_assert!(account.sessions.len() <= SESSIONS);
                    account.release();
                }
                prop_assert!(account.week().used_ratio() >= before);
                prop_assert!(account.week().used_percent() <= 100);
            }
        }
    }
}
