//! Times in tails: what `since` asks for, and when a line was written. Pure.

use std::borrow::Cow;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use kmid_core::time::Time;
use serde::Deserialize;

/// A `since` that says no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("since takes a number with s, m, h or d (30s, 10m, 1h, 2d) or an ISO time (2026-11-23T08:00:00Z)")]
pub(super) struct BadSince;

/// The moment that `since` names: so long before `now`, or an ISO time. A time without a zone is one in `zone`.
pub(super) fn parse(text: &str, now: Time, zone: &TimeZone) -> Result<Time, BadSince> {
    let text = text.trim();
    if let Some(ago) = parse_ago(text) {
        let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
        return Ok(Time::from_millis(now.as_millis().saturating_sub(ago)));
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == "2026-11-23".len()
    {
        return to_time(date.into(), None, zone).ok_or(BadSince);
    }
    match parse_leading(text, zone) {
        Some((time, "")) => Ok(time),
        _ => Err(BadSince),
    }
}

fn parse_ago(text: &str) -> Option<Duration> {
    let unit = match text.chars().next_back()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let number = &text[..text.len() - 1];
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Duration::from_secs(number.parse::<u64>().ok()?.saturating_mul(unit)))
}

/// Decides line by line what is not older than a moment. A line without a time goes with the line before it.
#[derive(Debug)]
pub(super) struct Filter {
    from: Option<Time>,
    zone: TimeZone,
    admitting: bool,
}

impl Filter {
    pub(super) fn new(from: Option<Time>, zone: TimeZone) -> Self {
        Self { admitting: from.is_none(), from, zone }
    }

    pub(super) fn admits(&mut self, line: &str) -> bool {
        if let Some(from) = self.from
            && let Some(time) = time_of(line, &self.zone)
        {
            self.admitting = time >= from;
        }
        self.admitting
    }

    /// Begins anew, for another pass over the same lines.
    pub(super) fn rewind(&mut self) {
        self.admitting = self.from.is_none();
    }
}

#[derive(Deserialize)]
struct Stamped<'a> {
    #[serde(borrow)]
    ts: Option<Cow<'a, str>>,
}

/// When a line was written: the `ts` of a JSON line, or the time that another line begins with.
fn time_of(line: &str, zone: &TimeZone) -> Option<Time> {
    if line.starts_with('{') {
        let stamped: Stamped<'_> = serde_json::from_str(line).ok()?;
        return Some(parse_leading(&stamped.ts?, zone)?.0);
    }
    Some(parse_leading(line.trim_start(), zone)?.0)
}

/// Reads `2026-02-02 12:00:00.123 +0300`, RFC 3339, and what lies between, off the front of a text; returns the time
/// and what follows it.
fn parse_leading<'a>(text: &'a str, zone: &TimeZone) -> Option<(Time, &'a str)> {
    const SECONDS: usize = "2026-02-02T12:00:00".len();
    const MINUTES: usize = "2026-02-02T12:00".len();
    let length = if text.as_bytes().get(MINUTES) == Some(&b':') { SECONDS } else { MINUTES };
    let civil: DateTime = text.get(..length)?.replacen(' ', "T", 1).parse().ok()?;
    let (millis, rest) = read_fraction(text.get(length..)?);
    let (offset, rest) = read_zone(rest)?;
    let time = to_time(civil, offset, zone)?;
    Some((time + Duration::from_millis(millis), rest))
}

/// `.123456` or `,123` as milliseconds; 0 when there is none.
fn read_fraction(text: &str) -> (u64, &str) {
    let Some(digits) = text.strip_prefix(['.', ',']) else { return (0, text) };
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = &digits[..digits.len() - rest.len()];
    let first_three = digits.bytes().chain(std::iter::repeat(b'0')).take(3);
    (first_three.fold(0, |millis, digit| millis * 10 + u64::from(digit - b'0')), rest)
}

/// `Z`, ` +0300`, `+03:00` or nothing; `None` for an offset that does not exist.
fn read_zone(text: &str) -> Option<(Option<Offset>, &str)> {
    let trimmed = text.strip_prefix(' ').unwrap_or(text);
    if let Some(rest) = trimmed.strip_prefix(['Z', 'z']) {
        return Some((Some(Offset::UTC), rest));
    }
    let Some(digits) = trimmed.strip_prefix(['+', '-']) else { return Some((None, text)) };
    let number = |from: usize| {
        let pair = digits.get(from..from + 2).filter(|pair| pair.bytes().all(|b| b.is_ascii_digit()))?;
        pair.parse::<i32>().ok()
    };
    let Some(hours) = number(0) else { return Some((None, text)) };
    let colon = usize::from(digits.as_bytes().get(2) == Some(&b':'));
    let minutes = number(2 + colon)?;
    let sign = if trimmed.starts_with('-') { -1 } else { 1 };
    let offset = Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok()?;
    Some((Some(offset), &digits[4 + colon..]))
}

fn to_time(civil: DateTime, offset: Option<Offset>, zone: &TimeZone) -> Option<Time> {
    let timestamp = match offset {
        Some(offset) => offset.to_timestamp(civil),
        None => zone.to_timestamp(civil),
    };
    timestamp.ok().map(|timestamp| Time::from_millis(timestamp.as_millisecond()))
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    fn moscow() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(3))
    }

    #[test]
    fn since_takes_durations_and_iso_times() {
        let now = time("2026-11-23T12:00:00Z");
        for (text, expected) in [
            ("30s", "2026-11-23T11:59:30Z"),
            (" 10m ", "2026-11-23T11:50:00Z"),
            ("1h", "2026-11-23T11:00:00Z"),
            ("2d", "2026-11-21T12:00:00Z"),
            ("0s", "2026-11-23T12:00:00Z"),
            ("18446744073709551615d", "1970-01-01T00:00:00Z"),
            ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z"),
            ("2026-11-23t08:00:00.5+03:00", "2026-11-23T05:00:00.5Z"),
            ("2026-11-23 08:00:00.123 +0300", "2026-11-23T05:00:00.123Z"),
            ("2026-11-23T08:00:00", "2026-11-23T05:00:00Z"),
            ("2026-11-23 08:00", "2026-11-23T05:00:00Z"),
            ("2026-11-23", "2026-11-22T21:00:00Z"),
        ] {
            assert_eq!(parse(text, now, &moscow()), Ok(time(expected)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "s",
            "10",
            "-5m",
            "+5m",
            "1.5h",
            "10 m",
            "10M",
            "1w",
            "yesterday",
            "2026-13-01",
            "2026-11-23T",
            "2026-11-23T08:00:00Zjunk",
            "2026-11-23T08:00:00+99:00",
            "99999999999999999999s",
            "1ч",
            "🕐",
        ] {
            assert_eq!(parse(text, Time::from_millis(0), &TimeZone::UTC), Err(BadSince), "{text}");
        }
    }

    #[test]
    fn lines_of_every_file_have_their_time() {
        let expected = Some(time("2026-02-02T09:00:00.123Z"));
        for line in [
            r#"{"ts":"2026-02-02 12:00:00.123 +0300","request_id":"x"}"#,
            r#"{"level":"INFO","ts":"2026-02-02T09:00:00.123456Z","message":"proxy_request"}"#,
            "2026-02-02 12:00:00.123 +0300 INFO proxy_request",
            "2026-02-02T09:00:00.123Z  INFO proxy_request",
            "  2026-02-02 12:00:00,123 INFO a line in the local zone",
        ] {
            assert_eq!(time_of(line, &moscow()), expected, "{line}");
        }
        for line in ["", "thread 'main' panicked", "{", r#"{"ts":5}"#, r#"{"message":"m"}"#, "2026-02-02"] {
            assert_eq!(time_of(line, &moscow()), None, "{line}");
        }
    }

    #[test]
    fn a_line_without_a_time_goes_with_the_one_before() {
        let mut filter = Filter::new(Some(time("2026-02-02T10:00:00Z")), TimeZone::UTC);
        let lines = ["torn", "2026-02-02 09:59:59 old", "  at 1", "2026-02-02 10:00:00 new", "  at 2"];
        assert_eq!(lines.map(|line| filter.admits(line)), [false, false, false, true, true]);
        filter.rewind();
        assert!(!filter.admits("torn"));
        assert!(Filter::new(None, TimeZone::UTC).admits("torn"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*", line in r"\{?2026-0[12]-[0-3][0-9][T ][0-9:.,+Z -]{0,30}\PC{0,5}") {
            let _ = parse(&text, Time::from_millis(1), &TimeZone::UTC);
            let _ = parse(&line, Time::from_millis(1), &TimeZone::UTC);
            let _ = time_of(&line, &moscow());
        }

        #[test]
        fn durations_count_back(number in 0u64..10_000, unit in 0usize..4) {
            let now = time("2026-11-23T12:00:00Z");
            let (letter, seconds) = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)][unit];
            let from = parse(&format!("{number}{letter}"), now, &TimeZone::UTC).unwrap();
            prop_assert_eq!(now.since(from), Duration::from_secs(number * seconds));
        }

        #[test]
        fn times_read_back(millis in 0i64..4_000_000_000_000) {
            let written = Time::from_millis(millis);
            prop_assert_eq!(parse(&written.to_string(), Time::from_millis(0), &moscow()), Ok(written));
            let zoned = written.timestamp().to_zoned(moscow()).strftime("%Y-%m-%d %H:%M:%S%.3f %z").to_string();
            prop_assert_eq!(parse(&zoned, Time::from_millis(0), &TimeZone::UTC), Ok(written));
        }
    }
}
