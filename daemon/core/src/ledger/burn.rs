//! How fast something is used up at present.

use std::time::Duration;

use crate::time::Time;

/// What happened so long ago counts a third as much as what happens now.
const MEMORY_HOURS: f64 = 0.5;
/// What would last longer than this is as good as not used.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// Amount an hour, an exponentially weighted mean over the last half hour or so.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Burn {
    per_hour: f64,
    at: Option<Time>,
}

impl Burn {
    pub(super) fn add(&mut self, amount: f64, now: Time) {
        self.per_hour = self.per_hour(now) + amount / MEMORY_HOURS;
        self.at = Some(now);
    }

    pub(super) fn per_hour(&self, now: Time) -> f64 {
        let hours = self.at.map_or(0.0, |at| now.since(at).as_secs_f64() / 3600.0);
        self.per_hour * (-hours / MEMORY_HOURS).exp()
    }

    pub(super) fn absorb(&mut self, other: Self) {
        let at = self.at.max(other.at);
        let Some(now) = at else { return };
        *self = Self { per_hour: self.per_hour(now) + other.per_hour(now), at };
    }
}

/// When `left` is used up at `per_hour`; `None` when there is nothing to use up or it lasts longer than any window.
pub(super) fn runs_out(left: f64, per_hour: f64, now: Time) -> Option<Time> {
    let seconds = left / per_hour * 3600.0;
    (left > 0.0 && per_hour > 0.0 && seconds < LONGEST.as_secs_f64())
        .then(|| now + Duration::from_secs_f64(seconds))
}
