//! Names of quota windows: one name for one length, however the answer spells it.

use std::time::Duration;

use super::field::{Object, number, text};

/// Longest name that is kept.
const MAX_NAME: usize = 40;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A window's name and, where it is known, its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WindowName {
    pub(super) name: String,
    pub(super) length: Option<Duration>,
}

impl WindowName {
    /// A name of the API's own or one of ours; `5h` and the like get their length.
    pub(super) fn new(name: &str) -> Self {
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        let length = length_of(&name);
        Self { name, length }
    }

    /// By length: 300 minutes are `5h`, 48 hours `2d`, 24 hours `24h`.
    fn of_length(seconds: u64) -> Self {
        let name = match seconds {
            s if s % DAY == 0 && s > DAY => format!("{}d", s / DAY),
            s if s % HOUR == 0 => format!("{}h", s / HOUR),
            s if s % MINUTE == 0 => format!("{}m", s / MINUTE),
            s => format!("{s}s"),
        };
        Self { name, length: Some(Duration::from_secs(seconds)) }
    }

    /// From `{duration, timeUnit}`. A unit that is not known keeps its word: `2 fortnight`.
    pub(super) fn of_window(window: &Object) -> Option<Self> {
        let duration = number(window, &["duration"]).filter(|duration| *duration >= 1.0)?;
        // a float cast saturates
        let duration = duration as u64;
        let unit = text(window, &["timeUnit", "time_unit", "unit"], MAX_NAME).unwrap_or_default();
        let unit = unit.to_ascii_lowercase();
        let unit = unit.strip_prefix("time_unit_").unwrap_or(&unit);
        let unit = unit.strip_suffix('s').unwrap_or(unit);
        let seconds = match unit {
            "second" => 1,
            "minute" => MINUTE,
            "hour" => HOUR,
            "day" => DAY,
            "week" => 7 * DAY,
            "month" if duration == 1 => return Some(Self::new("month")),
            "" => return Some(Self::new(&duration.to_string())),
            unknown => return Some(Self::new(&format!("{duration} {unknown}"))),
        };
        match duration.checked_mul(seconds) {
            Some(seconds) => Some(Self::of_length(seconds)),
            None => Some(Self::new(&format!("{duration} {unit}"))),
        }
    }

    /// From a member of `usages`: `limit_5h`, `month_total` [quota-axi PR#201, 2026-11], `limit_month_total`
    /// [kimi-code 2.1.0: packages/oauth/src/managed-usage.ts].
    pub(super) fn of_member(member: &str) -> Self {
        let name = member.strip_prefix("limit_").unwrap_or(member);
        match (name, length_of(name)) {
            ("month_total", _) => Self::new("month"),
            (_, Some(length)) => Self::of_length(length.as_secs()),
            _ => Self::new(name),
        }
    }
}

/// `5h`, `7d`, `30m`, `10s`
fn length_of(name: &str) -> Option<Duration> {
    let unit = match name.as_bytes().last()? {
        b's' => 1,
        b'm' => MINUTE,
        b'h' => HOUR,
        b'd' => DAY,
        _ => return None,
    };
    let count = &name[..name.len() - 1];
    if !count.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let seconds = count.parse::<u64>().ok()?.checked_mul(unit)?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn name_of(window: &Value) -> Option<(String, Option<u64>)> {
        let found = WindowName::of_window(window.as_object().unwrap())?;
        Some((found.name, found.length.map(|length| length.as_secs())))
    }

    #[test]
    fn one_name_for_one_length() {
        for (duration, unit, name, length) in [
            (json!(300), "TIME_UNIT_MINUTE", "5h", Some(5 * HOUR)),
            (json!("300"), "TIME_UNIT_MINUTE", "5h", Some(5 * HOUR)),
            (json!(5), "TIME_UNIT_HOUR", "5h", Some(5 * HOUR)),
            (json!(18000), "SECONDS", "5h", Some(5 * HOUR)),
            (json!(7), "TIME_UNIT_DAY", "7d", Some(7 * DAY)),
            (json!(1), "TIME_UNIT_WEEK", "7d", Some(7 * DAY)),
            (json!(10080), "TIME_UNIT_MINUTE", "7d", Some(7 * DAY)),
            (json!(1), "TIME_UNIT_DAY", "24h", Some(DAY)),
            (json!(48), "TIME_UNIT_HOUR", "2d", Some(2 * DAY)),
            (json!(30), "TIME_UNIT_MINUTE", "30m", Some(30 * MINUTE)),
            (json!(90), "TIME_UNIT_SECOND", "90s", Some(90)),
            (json!(1), "TIME_UNIT_MONTH", "month", None),
            (json!(3), "TIME_UNIT_MONTH", "3 month", None),
            (json!(2), "TIME_UNIT_FORTNIGHT", "2 fortnight", None),
            (json!(2), "", "2", None),
            (json!(1e300), "TIME_UNIT_DAY", "18446744073709551615 day", None),
        ] {
            let window = json!({ "duration": duration, "timeUnit": unit });
            assert_eq!(name_of(&window), Some((name.into(), length)), "{window}");
        }
        for window in
            [json!({}), json!({ "duration": 0 }), json!({ "duration": "NaN" }), json!({ "duration": -5 })]
        {
            assert_eq!(name_of(&window), None, "{window}");
        }
    }

    #[test]
    fn members_of_usages() {
        for (member, name, length) in [
            ("limit_5h", "5h", Some(5 * HOUR)),
            ("limit_7d", "7d", Some(7 * DAY)),
            ("limit_300m", "5h", Some(5 * HOUR)),
            ("month_total", "month", None),
            ("limit_month_total", "month", None),
            ("month_code", "month_code", None),
            ("limit_month_code", "month_code", None),
            ("burst", "burst", None),
            ("limit_d", "d", None),
        ] {
            let found = WindowName::of_member(member);
            assert_eq!((found.name.as_str(), found.length.map(|l| l.as_secs())), (name, length), "{member}");
        }
    }

    proptest! {
        #[test]
        fn names_are_bounded(name in ".{0,100}", duration in any::<f64>()) {
            prop_assert!(WindowName::of_member(&name).name.chars().count() <= MAX_NAME);
            let window = json!({ "duration": duration, "timeUnit": name });
            if let Some(found) = WindowName::of_window(window.as_object().unwrap()) {
                prop_assert!(found.name.chars().count() <= MAX_NAME);
            }
        }
    }
}
