//! Rate limits as exact sliding windows.
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

/// Remembers when requests were let through: at most as many times as the larger limit.
#[derive(Debug, Clone, Default)]
pub struct RateWindow {
    passed: VecDeque<Time>,
}

impl RateWindow {
    /// When the next request may pass; `None` = now.
    pub fn blocked_until(&mut self, limit: Limit, now: Time) -> Option<Time> {
        if limit == Limit::default() {
            self.passed.clear();
            return None;
        }
        self.forget(now);
        let wait = |most: Option<u32>, window: Duration| {
            let most = usize::try_from(most?).ok()?;
            let oldest_counted = self.passed.len().checked_sub(most)?;
            let free_at = *self.passed.get(oldest_counted)? + window;
            (free_at > now).then_some(free_at)
        };
        wait(limit.per_second, SECOND).max(wait(limit.per_minute, MINUTE))
    }

    /// Counts a request that passed.
    pub fn pass(&mut self, limit: Limit, now: Time) {
        if limit != Limit::default() {
            self.passed.push_back(now);
            let most = limit.per_minute.max(limit.per_second).map_or(0, |most| most as usize);
            while self.passed.len() > most {
                self.passed.pop_front();
            }
        }
    }

    fn forget(&mut self, now: Time) {
        // A clock that jumped back leaves times in the future: they would block for ever.
        self.passed.retain(|&at| at <= now);
        while self.passed.front().is_some_and(|&at| now.since(at) >= MINUTE) {
            self.passed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        assert_eq!(window.blocked_until(limit, at(3000)), Some(at(60_000)));
        assert_eq!(window.blocked_until(limit, at(60_000)), None);
    }

    #[test]
    fn a_clock_that_jumps_back_frees() {
        let limit = Limit { per_second: None, per_minute: Some(1) };
        let mut window = RateWindow::default();
        window.pass(limit, at(10_000_000));
        assert_eq!(window.blocked_until(limit, at(0)), None);
    }

    proptest! {
        /// No window ever holds more than its limit, none is refused that would fit, and waiting as told helps.
        #[test]
        fn exact_in_every_window(
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
                let refuse = full(per_second, 1_000) || full(per_minute, 60_000);
                match window.blocked_until(limit, at(clock)) {
                    None => {
                        prop_assert!(!refuse);
                        window.pass(limit, at(clock));
                        passed.push(clock);
                    }
                    Some(until) => {
                        prop_assert!(refuse && until > at(clock));
                        prop_assert_eq!(window.clone().blocked_until(limit, until), None);
                    }
                }
            }
        }
    }
}
