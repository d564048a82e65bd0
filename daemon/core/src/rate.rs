//! Rate limits as sliding windows.
//!
//! Own code because the pool takes `now` as wall-clock time from outside and can be simulated; libraries read a
//! monotonic clock of their own.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Time;

/// Most requests a second and a minute; `None` = no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// In any second.
    pub per_second: Option<u32>,
    /// In any minute.
    pub per_minute: Option<u32>,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// Requests closer together than this share of a window are remembered as one moment, the later one: memory stays
/// bounded, and the limit is never exceeded.
const MOMENTS: u32 = 500;

/// Remembers when requests were let through.
#[derive(Debug, Clone, Default)]
pub(crate) struct RateWindow {
    second: Passed,
    minute: Passed,
}

/// Requests that passed within one window, the oldest first.
#[derive(Debug, Clone, Default)]
struct Passed {
    moments: VecDeque<Moment>,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Moment {
    first: Time,
    last: Time,
    count: u32,
}

impl RateWindow {
    /// When the next request may pass; `None` = now.
    pub(crate) fn blocked_until(&mut self, limit: Limit, now: Time) -> Option<Time> {
        let second = self.second.blocked_until(limit.per_second, SECOND, now);
        let minute = self.minute.blocked_until(limit.per_minute, MINUTE, now);
        second.max(minute)
    }

    /// Counts a request that passed.
    pub(crate) fn pass(&mut self, limit: Limit, now: Time) {
        self.second.pass(limit.per_second, SECOND, now);
        self.minute.pass(limit.per_minute, MINUTE, now);
    }
}

impl Passed {
    fn blocked_until(&mut self, most: Option<u32>, window: Duration, now: Time) -> Option<Time> {
        let Some(most) = most else {
            *self = Self::default();
            return None;
        };
        self.forget(window, now);
        if self.count < most {
            return None;
        }
        let mut left = self.count;
        self.moments.iter().find_map(|moment| {
            left -= moment.count;
            (left < most).then_some(moment.last + window)
        })
    }

    fn pass(&mut self, most: Option<u32>, window: Duration, now: Time) {
        if most.is_none() {
            return;
        }
        self.count += 1;
        match self.moments.back_mut() {
            Some(moment) if now >= moment.last && now.since(moment.first) < window / MOMENTS => {
                moment.last = now;
                moment.count += 1;
            }
            _ => self.moments.push_back(Moment { first: now, last: now, count: 1 }),
        }
    }

    fn forget(&mut self, window: Duration, now: Time) {
        // A clock that jumped back leaves times in the future: they would block for ever.
        while self.moments.back().is_some_and(|moment| moment.last > now) {
            self.count -= self.moments.pop_back().map_or(0, |moment| moment.count);
        }
        while self.moments.front().is_some_and(|moment| now.since(moment.last) >= window) {
            self.count -= self.moments.pop_front().map_or(0, |moment| moment.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_stays_bounded_and_no_window_holds_more_than_the_limit() {
        let limit = Limit { per_second: None, per_minute: Some(5_000) };
        let mut window = RateWindow::default();
        let mut passed = Vec::new();
        for millis in (0..150_000).step_by(3) {
            if window.blocked_until(limit, at(millis)).is_none() {
                window.pass(limit, at(millis));
                passed.push(millis);
            }
        }
        assert!(window.minute.moments.len() <= 502, "{}", window.minute.moments.len());
        assert!(passed.windows(5_001).all(|run| run[5_000] - run[0] >= 60_000));
        assert!(passed.len() > 10_000, "{}", passed.len());
    }

    fn at(millis: i64) -> Time {
        Time::from_millis(1_000_000 + millis)
    }

    #[test]
    fn never_more_than_the_limit_in_any_window() {
        let limit = Limit { per_second: Some(2), per_minute: Some(3) };
        let mut window = RateWindow::default();
        for millis in [0, 100] {
            assert_eq!(window.blocked_until(limit, at(millis)), None);
            window.pass(limit, at(millis));
        }
        assert_eq!(window.blocked_until(limit, at(200)), Some(at(1000)));
        assert_eq!(window.blocked_until(limit, at(1000)), None);
        window.pass(limit, at(1000));
        assert_eq!(window.blocked_until(limit, at(3000)), Some(at(60_100)));
        assert_eq!(window.blocked_until(limit, at(60_100)), None);
    }

    #[test]
    fn a_clock_that_jumps_back_frees() {
        let limit = Limit { per_second: None, per_minute: Some(1) };
        let mut window = RateWindow::default();
        window.pass(limit, at(10_000_000));
        assert_eq!(window.blocked_until(limit, at(0)), None);
    }

    proptest! {
        /// No window ever holds more than its limit, nothing is refused that would fit but for a moment's length, and
        /// waiting as told helps.
        #[test]
        fn holds_in_every_window(
            per_second in proptest::option::of(1..4u32),
            per_minute in proptest::option::of(1..9u32),
            steps in proptest::collection::vec(0..9_000i64, 1..200),
        ) {
            let limit = Limit { per_second, per_minute };
            let mut window = RateWindow::default();
            let (mut passed, mut clock) = (Vec::<i64>::new(), 0);
            for step in steps {
                clock += step / if step % 2 == 0 { 40 } else { 1 };
                let within = |length: i64| passed.iter().filter(|&&time| time > clock - length).count();
                let full = |most: Option<u32>, length| most.is_some_and(|most| within(length) >= most as usize);
                // Requests within one moment count as its last: a window may look longer by that much, never shorter.
                let longer = |length: i64| length + length / i64::from(MOMENTS);
                match window.blocked_until(limit, at(clock)) {
                    None => {
                        prop_assert!(!full(per_second, 1_000) && !full(per_minute, 60_000));
                        window.pass(limit, at(clock));
                        passed.push(clock);
                    }
                    Some(until) => {
                        prop_assert!(full(per_second, longer(1_000)) || full(per_minute, longer(60_000)));
                        prop_assert!(until > at(clock));
                        prop_assert_eq!(window.clone().blocked_until(limit, until), None);
                    }
                }
            }
        }
    }
}
