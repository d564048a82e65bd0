//! How long a key pauses after a refusal.

use std::time::Duration;

use crate::kimi::quota::{Quota, Window};
use crate::outcome::FullWindow;
use crate::time::Time;

/// No cooldown after a 429 is shorter: the API counts throughput by the second.
pub(crate) const RATE_FLOOR: Duration = Duration::from_secs(1);
/// No cooldown after a quota refusal whose full window is unknown is shorter.
pub(crate) const QUOTA_FLOOR: Duration = Duration::from_secs(60);
/// A month that is empty although `/usages` may say otherwise [kimi-code#3014, 2026-11].
pub(crate) const MONTH: Duration = Duration::from_secs(3600);
/// Nothing pauses longer: the longest window known is a month.
pub const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// A time server may set a clock back by so much while what it ended with still counts.
pub const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// Exponential backoff with jitter: between half and all of `floor * 2^strikes`, at most `longest`, never under
/// `floor`. `random` is any number.
#[must_use]
pub fn backoff(floor: Duration, strikes: u32, longest: Duration, random: u64) -> Duration {
    let full = floor.saturating_mul(2u32.saturating_pow(strikes.min(20))).min(longest);
    let half = full / 2;
    let part = u32::try_from(random % 1024).unwrap_or(0);
    (half + half * part / 1024).max(floor)
}

/// What is left of a window at `now`: a reading older than the window's reset says nothing about the new window.
#[must_use]
pub fn percent_left(window: &Window, now: Time) -> f64 {
    if window.resets_at.is_some_and(|reset| reset <= now) { 100.0 } else { window.percent_left }
}

/// The least left over all windows; `None` without windows.
#[must_use]
pub(crate) fn worst_percent(quota: &Quota, now: Time) -> Option<f64> {
    quota.windows.iter().map(|window| percent_left(window, now)).min_by(f64::total_cmp)
}

/// When the windows that the reading shows full have all reset; `None` when none is full or no reset is known.
#[must_use]
pub(crate) fn full_until(quota: &Quota, now: Time) -> Option<Time> {
    quota.windows.iter().filter(|w| percent_left(w, now) <= 0.0).filter_map(|w| w.resets_at).max()
}

/// Whether a reading by itself says that the account cannot serve.
#[must_use]
pub(crate) fn is_dry(quota: &Quota, now: Time) -> bool {
    !quota.extra_left && worst_percent(quota, now).is_some_and(|left| left <= 0.0)
}

/// When the window that a refusal names resets, as far as the last reading knows.
#[must_use]
pub(crate) fn reset_of(full: FullWindow, quota: &Quota, now: Time) -> Option<Time> {
    let named = |name: &str| {
        quota.windows.iter().filter(|w| w.name == name).filter_map(|w| w.resets_at).find(|&reset| reset > now)
    };
    match full {
        FullWindow::Unknown => full_until(quota, now),
        FullWindow::Week => named("7d"),
        // The month may be empty although `/usages` shows it free; another window's reset says nothing of it.
        FullWindow::Month => {
            let month = quota.windows.iter().filter(|w| w.name.starts_with("month"));
            month.filter(|w| percent_left(w, now) <= 0.0).filter_map(|w| w.resets_at).max()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_grows_within_its_bounds() {
        let longest = Duration::from_secs(300);
        for strikes in 0..40 {
            for random in [0, 511, 1023] {
                let pause = backoff(RATE_FLOOR, strikes, longest, random);
                assert!(pause >= RATE_FLOOR && pause <= longest);
            }
        }
        assert!(backoff(RATE_FLOOR, 5, longest, 0) > backoff(RATE_FLOOR, 2, longest, 1023));
        assert_eq!(backoff(QUOTA_FLOOR, 0, Duration::from_secs(5), 7), QUOTA_FLOOR);
    }
}
