//! The `Retry-After` header of an answer.

use std::time::Duration;

use jiff::fmt::rfc2822;

use crate::time::Time;

/// Reads a `Retry-After` value: whole or decimal seconds, or an HTTP date (RFC 9110, 10.2.3). A date that is
/// already past is a wait of zero; what cannot be read is `None`. Never longer than 366 days.
#[must_use]
pub fn retry_after(value: &str, now: Time) -> Option<Duration> {
    let value = value.trim();
    if value.starts_with(|c: char| c.is_ascii_digit()) {
        let seconds: f64 = value.parse().ok().filter(|seconds: &f64| seconds.is_finite())?;
        return Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64())));
    }
    // the zone is called GMT in an HTTP date and is always UTC
    let date = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(Time::from_millis(date.as_millisecond()).since(now).min(LONGEST))
}

const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seconds_and_dates() {
        let now = Time::parse("2026-11-23T00:00:00Z").unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            ("1152", Some(1152)),
            (" 7 ", Some(7)),
            ("99999999999999999999", Some(LONGEST.as_secs())),
            ("Mon, 23 Nov 2026 00:01:30 GMT", Some(90)),
            ("Sun, 22 Nov 2026 23:59:00 GMT", Some(0)),
            ("Mon, 23 Nov 2099 00:00:00 GMT", Some(LONGEST.as_secs())),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("1e999", None),
            ("5 minutes", None),
            ("2026-11-23T00:01:00Z", None),
        ] {
            assert_eq!(retry_after(value, now).map(|d| d.as_secs()), expected, "{value}");
        }
        assert_eq!(retry_after("1.5", now), Some(Duration::from_millis(1500)));
    }

    proptest! {
        #[test]
        fn never_panics(value in ".{0,60}", now in any::<i64>()) {
            let wait = retry_after(&value, Time::from_millis(now));
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST));
        }
    }
}
