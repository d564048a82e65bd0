//! One window of one account.

use std::time::Duration;

use super::burn::{Burn, runs_out};
use super::learnt::Learnt;
use super::{Figure, Source};
use crate::cooldown;
use crate::kimi::quota;
use crate::time::Time;

#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) length: Option<Duration>,
    polled: f64,
    polled_at: Time,
    pub(super) resets_at: Option<Time>,
    /// Weighed tokens since the last poll, or since the reset that came after it.
    spent: f64,
    spent_from: Time,
    refused: Option<Refused>,
    learnt: Learnt,
    /// Percent, for a window of which nothing is learnt.
    burn: Burn,
}

/// A reading that is later than the reset it names knows better than that reset.
fn still_to_come(polled: &quota::Window, read_at: Time) -> Option<Time> {
    polled.resets_at.filter(|reset| *reset > read_at)
}

/// A refusal that said the window is empty.
#[derive(Debug, Clone, Copy)]
struct Refused {
    since: Time,
    until: Time,
}

/// What is left, who says so, and as of when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    pub(super) percent: f64,
    pub(super) source: Source,
    pub(super) as_of: Time,
}

impl Window {
    pub(super) fn new(polled: &quota::Window, read_at: Time) -> Self {
        Self {
            name: polled.name.clone(),
            length: polled.length,
            polled: polled.percent_left,
            polled_at: read_at,
            resets_at: still_to_come(polled, read_at),
            spent: 0.0,
            spent_from: read_at,
            refused: None,
            learnt: Learnt::default(),
            burn: Burn::default(),
        }
    }

    /// The next poll; a refusal in force stays.
    pub(super) fn poll(&mut self, polled: &quota::Window, read_at: Time) {
        let used = self.polled - polled.percent_left;
        if !self.has_reset(read_at) && used >= 0.0 {
            self.learnt.add(used, self.spent);
            self.burn.add(used, read_at);
        }
        self.length = polled.length.or(self.length);
        self.polled = polled.percent_left;
        self.polled_at = read_at;
        self.resets_at = still_to_come(polled, read_at);
        (self.spent, self.spent_from) = (0.0, read_at);
    }

    pub(super) fn spend(&mut self, tokens: f64, now: Time) {
        if self.has_reset(now) && self.resets_at.is_some_and(|reset| self.spent_from < reset) {
            (self.spent, self.spent_from) = (0.0, now);
        }
        self.spent += tokens;
    }

    pub(super) fn refuse(&mut self, until: Time, now: Time) {
        let until = self.refused.filter(|old| old.is_on(now)).map_or(until, |old| old.until.max(until));
        self.refused = Some(Refused { since: now, until });
    }

    pub(super) fn forgive(&mut self) {
        self.refused = None;
    }

    fn has_reset(&self, now: Time) -> bool {
        self.resets_at.is_some_and(|reset| reset <= now)
    }

    /// Percent a weighed token.
    pub(super) fn rate(&self) -> Option<f64> {
        self.learnt.rate()
    }

    /// What the last poll says, less what was used since.
    pub(super) fn by_polls(&self, now: Time) -> Known {
        let (percent, source, as_of) = match self.resets_at {
            Some(reset) if reset <= now => (100.0, Source::Reset, reset.max(self.polled_at)),
            _ => (self.polled, Source::Poll, self.polled_at),
        };
        // What was counted before the reset went with it.
        let counts = source == Source::Poll || self.resets_at.is_some_and(|reset| self.spent_from >= reset);
        match self.rate() {
            Some(rate) if counts && self.spent > 0.0 => {
                Known { percent: (percent - self.spent * rate).max(0.0), source: Source::Ledger, as_of }
            }
            _ => Known { percent, source, as_of },
        }
    }

    /// The worst of all sources.
    pub(super) fn known(&self, now: Time) -> Known {
        match self.refused {
            Some(refused) if refused.is_on(now) => {
                Known { percent: 0.0, source: Source::Error, as_of: refused.since }
            }
            _ => self.by_polls(now),
        }
    }

    /// Percent an hour, at the account's weighed tokens an hour.
    fn burn(&self, tokens: f64, now: Time) -> Option<f64> {
        let polled = || Some(self.burn.per_hour(now)).filter(|percent| *percent > 0.0);
        self.rate().map(|rate| rate * tokens).or_else(polled)
    }

    pub(super) fn figure(&self, tokens_per_hour: f64, now: Time) -> Figure {
        let Known { percent, source, as_of } = self.known(now);
        let resets_at = self.resets_at.filter(|reset| *reset > now).or_else(|| {
            let refused = self.refused.filter(|refused| refused.is_on(now));
            refused.map(|refused| refused.until)
        });
        let burn = self.burn(tokens_per_hour, now);
        let empty_at = burn.and_then(|burn| runs_out(percent, burn, now));
        Figure {
            name: self.name.clone(),
            left_percent: percent,
            source,
            as_of,
            resets_at,
            burn,
            empty_at: empty_at.filter(|empty| resets_at.is_none_or(|reset| *empty < reset)),
        }
    }
}

impl Refused {
    /// One that was heard in the future, or a time beyond any window, was set by a clock that was wrong.
    fn is_on(&self, now: Time) -> bool {
        let from_the_future = self.since > now + cooldown::CLOCK_SLACK;
        !from_the_future && self.until > now && self.until <= now + cooldown::LONGEST
    }
}
