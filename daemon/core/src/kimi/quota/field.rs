//! Single values of the quota answer, as tolerant as the answer is loose.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::time::Time;

pub(super) type Object = Map<String, Value>;

/// A member that is an object.
pub(super) fn object<'a>(from: &'a Object, name: &str) -> Option<&'a Object> {
    from.get(name)?.as_object()
}

/// The first of these members that is a number or a text of one. Numbers are decimal strings today and were
/// numbers before; what is not finite is no number.
pub(super) fn number(from: &Object, names: &[&str]) -> Option<f64> {
    names.iter().find_map(|name| as_number(from.get(*name)?))
}

fn as_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().trim_end_matches('%').parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// The first of these members that is a text which is not blank, at most `max` characters of it, without control
/// characters.
pub(super) fn text(from: &Object, names: &[&str], max: usize) -> Option<String> {
    names.iter().find_map(|name| {
        let text = match from.get(*name)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let text: String = text.chars().filter(|c| !c.is_control()).take(max).collect();
        (!text.is_empty()).then_some(text)
    })
}

/// When the window starts anew: a time, or seconds from now [kimi-cli 1.50: ui/shell/usage.py, 2026-11].
pub(super) fn reset(from: &Object, now: Time) -> Option<Time> {
    let at =
        ["resetTime", "reset_time", "resetAt", "reset_at"].iter().find_map(|name| moment(from.get(*name)?));
    at.or_else(|| {
        let seconds =
            number(from, &["reset_in", "resetIn", "ttl", "window"]).filter(|seconds| *seconds > 0.0)?;
        Some(now + Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    })
}

fn moment(value: &Value) -> Option<Time> {
    if let Value::String(text) = value
        && let Some(time) = Time::parse(text).or_else(|| Time::parse(&format!("{}Z", text.trim())))
    {
        return Some(time);
    }
    let number = as_number(value).filter(|number| *number > 0.0)?;
    // seconds since 1970 have ten digits until the year 2286; more digits are milliseconds. Casts saturate.
    let millis = if number < 1e11 { number * 1000.0 } else { number };
    Some(Time::from_millis(millis as i64))
}
