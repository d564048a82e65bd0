//! What the simulator is told to play: how fast it answers and what each account has left.

use std::collections::BTreeMap;
use std::time::Duration;

use kmid_core::key::{Fingerprint, Secret};

/// A role for the simulator. The same script and the same requests give the same answers, times aside.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// How fast answers come.
    pub pace: Pace,
    /// Where the made-up ids start.
    pub seed: u64,
    /// What a key that no preset names has.
    pub usual: Preset,
    /// What the keys of these fingerprints have.
    pub presets: BTreeMap<Fingerprint, Preset>,
}

impl Script {
    /// Gives the account behind `key` its own preset.
    #[must_use]
    pub fn with(mut self, key: &Secret, preset: Preset) -> Self {
        self.presets.insert(Fingerprint::of(key), preset);
        self
    }

    /// The same script without any waiting, for tests.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.pace = Pace { first_byte: Duration::ZERO, between: Duration::ZERO };
        self
    }

    pub(super) fn preset(&self, fingerprint: Fingerprint) -> &Preset {
        self.presets.get(&fingerprint).unwrap_or(&self.usual)
    }
}

/// How fast answers to chat requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From the request's end to the response's head.
    pub first_byte: Duration,
    /// Between two events of a stream.
    pub between: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first_byte: Duration::from_millis(200), between: Duration::from_millis(20) }
    }
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The 5-hour window.
    pub five_hours: Level,
    /// The 7-day window.
    pub week: Level,
    /// Chat requests in flight at most.
    pub parallel: u32,
    /// From this chat request on (the first is 1) the account is refused as out of quota, whatever its windows
    /// show: a quota answer that shows room and a quota refusal have been seen together [kimi-code#3014, 2026-11].
    pub refuse_from: Option<u64>,
}

impl Default for Preset {
    fn default() -> Self {
        // A coding client's first request is 50 to 85 KB, about 20 000 tokens: one such request is 1 % of five
        // hours, so that a person who tries kmid sees the quota move.
        Self {
            five_hours: Level::of(2_000_000),
            week: Level::of(12_000_000),
            parallel: 30,
            refuse_from: None,
        }
    }
}

/// How a quota window stands when its account is first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Tokens that the window allows.
    pub budget: u64,
    /// Tokens spent before the first request.
    pub used: u64,
    /// When the window starts anew, counted from the first request; by default the wall clock and the key decide,
    /// so that a restart changes nothing.
    pub resets_in: Option<Duration>,
}

impl Level {
    /// An unused window.
    #[must_use]
    pub fn of(budget: u64) -> Self {
        Self { budget, used: 0, resets_in: None }
    }
}
