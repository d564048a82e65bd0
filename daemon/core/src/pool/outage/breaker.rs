//! A breaker: closed lets requests through, open stops them, half-open lets one decide.

use std::time::Duration;

use crate::cooldown::backoff;
use crate::time::Time;

/// The first pause, and the least time between two probes: an upstream that is down is asked once a second at most.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Pauses grow no further; a probe that has no answer after this does not hold up the next one.
pub const LONGEST: Duration = Duration::from_secs(30);

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// They do not.
    Open,
    /// The next one decides, or one is deciding.
    HalfOpen,
}

impl BreakerState {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// A breaker for one upstream host.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    stop: Option<Stop>,
    /// Failed probes since it opened.
    failed: u32,
}

#[derive(Debug, Clone, Copy)]
enum Stop {
    Until(Time),
    /// A request decides.
    Probe {
        number: u64,
        since: Time,
    },
}

impl Stop {
    /// When the next request may go. A time further off than any pause was set by a clock that was wrong.
    fn ends(self, now: Time) -> Option<Time> {
        let until = match self {
            Self::Until(until) => until,
            Self::Probe { since, .. } => since + LONGEST,
        };
        (until > now && until <= now + LONGEST).then_some(until)
    }
}

impl Breaker {
    pub(super) fn is_closed(&self) -> bool {
        self.stop.is_none()
    }

    /// Until when no request may pass; `None` when the next one may.
    pub(super) fn bars(&self, now: Time) -> Option<Time> {
        self.stop?.ends(now)
    }

    /// Whether the next request would decide.
    pub(super) fn is_open_to_one(&self, now: Time) -> bool {
        !self.is_closed() && self.bars(now).is_none()
    }

    pub(super) fn state(&self, now: Time) -> BreakerState {
        match self.stop {
            None => BreakerState::Closed,
            Some(stop @ Stop::Until(_)) if stop.ends(now).is_some() => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// Opens a closed breaker. `random` is any number.
    pub(super) fn open(&mut self, now: Time, random: u64) -> Time {
        self.failed = 0;
        self.pause(now, random)
    }

    /// This request decides.
    pub(super) fn begin_probe(&mut self, number: u64, now: Time) {
        self.stop = Some(Stop::Probe { number, since: now });
    }

    pub(super) fn is_probe(&self, number: u64) -> bool {
        matches!(self.stop, Some(Stop::Probe { number: probe, .. }) if probe == number)
    }

    /// The probe failed: open again, for longer.
    pub(super) fn probe_failed(&mut self, now: Time, random: u64) -> Time {
        self.failed = self.failed.saturating_add(1);
        self.pause(now, random)
    }

    /// The probe ended without saying anything: the next request decides, a second after this one began.
    pub(super) fn probe_undecided(&mut self) {
        if let Some(Stop::Probe { since, .. }) = self.stop {
            self.stop = Some(Stop::Until(since + SHORTEST));
        }
    }

    pub(super) fn close(&mut self) {
        *self = Self::default();
    }

    fn pause(&mut self, now: Time, random: u64) -> Time {
        let until = now + backoff(SHORTEST, self.failed, LONGEST, random);
        self.stop = Some(Stop::Until(until));
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    #[test]
    fn one_request_decides() {
        let mut breaker = Breaker::default();
        assert_eq!((breaker.bars(at(0)), breaker.state(at(0))), (None, BreakerState::Closed));
        assert_eq!(breaker.open(at(0), 0), at(1000));
        assert_eq!((breaker.bars(at(999)), breaker.state(at(999))), (Some(at(1000)), BreakerState::Open));
        assert_eq!((breaker.bars(at(1000)), breaker.state(at(1000))), (None, BreakerState::HalfOpen));
        breaker.begin_probe(7, at(1000));
        assert!(breaker.is_probe(7) && !breaker.is_probe(8));
        assert!(breaker.bars(at(1000)).is_some(), "one at a time");
        breaker.close();
        assert!(breaker.is_closed() && breaker.bars(at(1000)).is_none());
    }

    #[test]
    fn pauses_grow_to_their_bound() {
        for random in [0, 511, 1023] {
            let (mut breaker, mut now) = (Breaker::default(), at(0));
            let mut pauses = vec![breaker.open(now, random).since(now)];
            for number in 0..20 {
                now = breaker.bars(now).unwrap_or(now);
                breaker.begin_probe(number, now);
                pauses.push(breaker.probe_failed(now, random).since(now));
            }
            assert!(pauses.iter().all(|pause| (SHORTEST..=LONGEST).contains(pause)), "{pauses:?}");
            assert!(pauses.is_sorted() && pauses[20] >= LONGEST / 2, "{pauses:?}");
        }
    }

    #[test]
    fn a_probe_without_an_answer_does_not_hold_up_the_next_for_ever() {
        let mut breaker = Breaker::default();
        breaker.open(at(0), 0);
        breaker.begin_probe(1, at(1000));
        assert_eq!(breaker.bars(at(30_999)), Some(at(31_000)));
        assert_eq!(breaker.bars(at(31_000)), None);
    }

    #[test]
    fn a_probe_that_says_nothing_is_followed_by_another_a_second_later() {
        let mut breaker = Breaker::default();
        breaker.open(at(0), 0);
        breaker.begin_probe(1, at(1000));
        breaker.probe_undecided();
        assert_eq!(breaker.bars(at(1200)), Some(at(2000)));
    }

    #[test]
    fn a_clock_that_was_wrong_stops_nothing() {
        let mut breaker = Breaker::default();
        breaker.open(at(3_600_000), 0);
        assert_eq!(breaker.bars(at(0)), None);
        breaker.begin_probe(1, at(3_600_000));
        assert_eq!(breaker.bars(at(0)), None);
    }
}
