//! `--since`: `30s`, `10m`, `1h`, `2d` or an ISO time, as the daemon understands it.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The moment meant, or `None` when the text means none.
///
/// An ISO time without an offset is read in the person's zone; a date alone is its first moment there.
pub(crate) fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(seconds) = ago(text) {
        return now.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let local = match text.parse::<DateTime>() {
        Ok(local) => local,
        Err(_) => text.parse::<Date>().ok()?.at(0, 0, 0, 0),
    };
    Some(local.to_zoned(zone.clone()).ok()?.timestamp())
}

/// Seconds of `30s`, `10m`, `1h`, `2d`.
fn ago(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<i64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<String> {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        parse(text, now, &TimeZone::fixed(jiff::tz::offset(3))).map(|time| time.to_string())
    }

    #[test]
    fn spans_and_iso_times() {
        let cases = [
            ("30s", "2026-11-23T11:59:30Z"),
            ("10m", "2026-11-23T11:50:00Z"),
            ("1h", "2026-11-23T11:00:00Z"),
            ("2d", "2026-11-21T12:00:00Z"),
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00+03:00", "2026-11-23T07:00:00Z"),
            ("2026-11-23T10:00", "2026-11-23T07:00:00Z"),
            ("2026-11-23 10:00:00", "2026-11-23T07:00:00Z"),
            ("2026-11-23", "2026-11-22T21:00:00Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "s",
            "10",
            "10w",
            "-5m",
            "+5m",
            "1.5h",
            "10 m",
            "99999999999999999999d",
            "9223372036854775807d",
            "ё",
            "yesterday",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
