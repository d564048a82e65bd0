//! Virtual time: the true one, and the wall clock that the daemon reads, which may be wrong.

use kmid_core::time::Time;

use super::Millis;

/// The true moment at which every simulation begins: 2026-11-23T00:00:00Z, a Monday.
const START: i64 = 1_795_392_000_000;

/// The true time and how far the daemon's wall clock is off.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    now: Millis,
    skew: Millis,
}

impl Clock {
    /// True time since the beginning.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.now
    }

    /// What the daemon's wall clock says.
    #[must_use]
    pub fn wall(&self) -> Time {
        moment(self.now + self.skew)
    }

    /// Goes on to a true moment; never back.
    pub fn advance(&mut self, to: Millis) {
        self.now = self.now.max(to);
    }

    /// Puts the wall clock off by so much from now on.
    pub fn set_skew(&mut self, skew: Millis) {
        self.skew = skew;
    }

    /// The true moment at which the wall clock will say `wall`, if nobody moves it.
    #[must_use]
    pub fn when(&self, wall: Time) -> Millis {
        wall.as_millis() - START - self.skew
    }
}

/// A true moment as the API writes it.
#[must_use]
pub fn moment(at: Millis) -> Time {
    Time::from_millis(START + at)
}
