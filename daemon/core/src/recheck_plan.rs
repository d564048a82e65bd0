//! When blocked keys are asked for again: pure.

use std::time::Duration;

use crate::time::Time;

/// The first pass comes soon after the start: a kmid that is started anew more often than KMI_BLOCKLIST_RECHECK_SECONDS
/// would never come to one. Not at once, because one that fails and is started again and again would ask each time.
const SOONEST: Duration = Duration::from_secs(15);
/// Machines that start together do not ask together.
const SPREAD: Duration = Duration::from_secs(45);

/// When the next pass over the blocked keys begins.
#[derive(Debug, Clone, Copy)]
pub struct RecheckPlan {
    /// The start of kmid, then of the last pass.
    last: Time,
    /// Until the first pass.
    first: Option<Duration>,
}

impl RecheckPlan {
    /// That of a kmid which starts now. `random` is any number.
    #[must_use]
    pub fn at_start(now: Time, random: u64) -> Self {
        let part = u32::try_from(random % 1024).unwrap_or(0);
        Self { last: now, first: Some(SOONEST + SPREAD / 1024 * part) }
    }

    /// When the next pass is due, where they come `every` so long (KMI_BLOCKLIST_RECHECK_SECONDS).
    #[must_use]
    pub fn due(&self, every: Duration) -> Time {
        self.last + self.first.map_or(every, |first| first.min(every))
    }

    /// Whether a pass begins now; without `every` there is none.
    pub fn take_due(&mut self, every: Option<Duration>, now: Time) -> bool {
        // A clock that was set back would put the pass off for as long.
        self.last = self.last.min(now);
        let is_due = every.is_some_and(|every| now >= self.due(every));
        if is_due {
            *self = Self { last: now, first: None };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_795_435_200_000) + Duration::from_secs(seconds)
    }

    proptest! {
        #[test]
        fn a_kmid_that_is_started_every_few_minutes_comes_to_a_pass_each_time(random: u64) {
            let mut plan = RecheckPlan::at_start(at(0), random);
            let due = plan.due(HOUR);
            prop_assert!(due >= at(15) && due <= at(60), "{due}");
            prop_assert!(!plan.take_due(Some(HOUR), at(14)));
            prop_assert!(plan.take_due(Some(HOUR), due));
            prop_assert_eq!(plan.due(HOUR), due + HOUR, "then by the setting");
            prop_assert!(!plan.take_due(Some(HOUR), due + Duration::from_secs(3599)));
            prop_assert!(plan.take_due(Some(HOUR), due + HOUR));
        }
    }

    #[test]
    fn a_short_setting_counts_from_the_start_and_none_means_none() {
        let mut plan = RecheckPlan::at_start(at(0), 1023);
        assert_eq!(plan.due(Duration::from_secs(5)), at(5));
        assert!(!plan.take_due(None, at(1_000_000)));
        assert!(plan.take_due(Some(HOUR), at(1_000_000)), "it was turned on");
    }

    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        let mut plan = RecheckPlan::at_start(at(1_000_000), 0);
        assert!(plan.take_due(Some(HOUR), at(1_000_015)));
        assert!(!plan.take_due(Some(HOUR), at(0)));
        assert!(plan.take_due(Some(HOUR), at(3600)));
    }
}
