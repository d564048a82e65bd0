//! Wall-clock time as the pool keeps it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment of wall-clock time, in milliseconds since the Unix epoch.
///
/// Cooldowns and resets are wall-clock times because a laptop sleeps while monotonic timers stand still.
/// JSON form: RFC 3339 in UTC with milliseconds, `2026-11-23T00:00:00.000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

impl Time {
    /// From milliseconds since the Unix epoch, kept inside the years 1970 to 9999.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, MAX_MILLIS))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Reads an RFC 3339 time with any number of fraction digits; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse::<jiff::Timestamp>().ok().map(|t| Self::from_millis(t.as_millisecond()))
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As a jiff timestamp, for formatting in a zone.
    #[must_use]
    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or_default()
    }
}

/// 9999-12-30, the last day that jiff formats in every zone.
const MAX_MILLIS: i64 = 253_402_128_000_000;

impl std::ops::Add<Duration> for Time {
    type Output = Time;

    fn add(self, rhs: Duration) -> Time {
        Time::from_millis(self.0.saturating_add(i64::try_from(rhs.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fraction_digits_that_the_api_sends() {
        let nine = Time::parse("2026-11-29T05:20:51.443553353Z").unwrap();
        let six = Time::parse("2026-11-29T05:20:51.443553Z").unwrap();
        assert_eq!(nine, six);
        assert_eq!(nine.to_string(), "2026-11-29T05:20:51.443Z");
    }

    #[test]
    fn adding_never_overflows() {
        let end = Time::from_millis(i64::MAX) + Duration::MAX;
        assert_eq!(end.as_millis(), MAX_MILLIS);
        assert_eq!(Time::from_millis(5).since(end), Duration::ZERO);
    }
}
