//! Every known shape of the `/usages` answer, brought into one.
//!
//! Source of the shapes and traps: kimi-upstream.md "GET /usages", 2026-11.

use std::time::Duration;

use serde_json::Value;

use super::field::{Object, number, object, reset, text};
use super::name::WindowName;
use super::{Quota, QuotaError, Window};
use crate::time::Time;

/// Longer answers are not quota answers.
const MAX_BODY: usize = 1024 * 1024;
/// Windows that are kept of one answer.
const MAX_WINDOWS: usize = 32;
/// Characters kept of a user id, a plan or an e-mail address.
const MAX_TEXT: usize = 254;

/// Reads an answer of `/usages`. Never panics, whatever the bytes.
///
/// # Errors
/// When the body is not JSON or names no quota.
pub fn parse(body: &[u8], now: Time) -> Result<Quota, QuotaError> {
    if body.len() > MAX_BODY {
        return Err(QuotaError::NoQuota);
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let answer: Value = serde_json::from_slice(body).map_err(|_| QuotaError::NotJson)?;
    let top = answer.as_object().ok_or(QuotaError::NoQuota)?;
    // an older shape wraps everything in `data`
    let places: Vec<&Object> = [Some(top), object(top, "data")].into_iter().flatten().collect();

    let mut windows = Windows::default();
    for place in &places {
        windows.read(place, now);
    }
    let extra: Vec<bool> = places.iter().filter_map(|place| extra_left(place)).collect();
    if windows.0.is_empty() && extra.is_empty() {
        return Err(QuotaError::NoQuota);
    }
    let user = |names: &[&str]| {
        places.iter().find_map(|place| object(place, "user").and_then(|user| text(user, names, MAX_TEXT)))
    };
    let own = |names: &[&str]| places.iter().find_map(|place| text(place, names, MAX_TEXT));
    Ok(Quota {
        account: user(&["userId", "user_id", "id"]).or_else(|| own(&["userId", "user_id"])),
        plan: places
            .iter()
            .find_map(|place| text(object(object(place, "user")?, "membership")?, &["level"], MAX_TEXT)),
        email: user(&["email"]).or_else(|| own(&["email"])).filter(|email| email.contains('@')),
        windows: windows.shortest_first(),
        parallel_limit: places.iter().find_map(|place| parallel_limit(object(place, "parallel")?)),
        extra_left: extra.contains(&true),
    })
}

/// `parallel.limit`, a decimal string. Zero and less is no cap: an account that may do nothing would not answer.
fn parallel_limit(parallel: &Object) -> Option<u32> {
    // a float cast saturates
    number(parallel, &["limit"]).filter(|limit| *limit >= 1.0).map(|limit| limit as u32)
}

/// Whether quota outside the windows is left; `None` when the answer names none.
fn extra_left(place: &Object) -> Option<bool> {
    let total =
        object(place, "totalQuota").map(|total| number(total, &["remaining"]).is_some_and(|left| left > 0.0));
    let wallet = object(place, "boosterWallet").map(wallet_may_be_charged);
    match (total, wallet) {
        (None, None) => None,
        (total, wallet) => Some(total == Some(true) || wallet == Some(true)),
    }
}

/// Zeros are dropped: a missing amount is nothing, a missing monthly figure is nothing used or nothing allowed.
/// `monthlyChargeLimit` bounds only when it is enabled [kimi-code 2.1.0: packages/oauth/src/managed-usage.ts].
fn wallet_may_be_charged(wallet: &Object) -> bool {
    let Some(balance) = object(wallet, "balance") else { return false };
    let of_type = |name: &str, expected: &str, from: &Object| {
        from.get(name).and_then(Value::as_str).is_none_or(|value| value.eq_ignore_ascii_case(expected))
    };
    let cents =
        |name: &str| object(wallet, name).and_then(|money| number(money, &["priceInCents"])).unwrap_or(0.0);
    let limited = wallet.get("monthlyChargeLimitEnabled") == Some(&Value::Bool(true));
    of_type("type", "BOOSTER", balance)
        && of_type("status", "ACTIVE", wallet)
        && number(balance, &["amountLeft"]).is_some_and(|left| left > 0.0)
        && !(limited && cents("monthlyUsed") >= cents("monthlyChargeLimit"))
}

/// The windows found so far, one a name.
#[derive(Default)]
struct Windows(Vec<Window>);

impl Windows {
    fn read(&mut self, place: &Object, now: Time) {
        if let Some(usage) = object(place, "usage") {
            let name = object(usage, "window").and_then(WindowName::of_window);
            self.add(name.unwrap_or_else(|| WindowName::new("7d")), usage, usage, now);
        }
        if let Some(Value::Array(limits)) = place.get("limits") {
            for (index, limit) in limits.iter().enumerate().take(MAX_WINDOWS) {
                let Some(limit) = limit.as_object() else { continue };
                let detail = object(limit, "detail").unwrap_or(limit);
                self.add(name_of_limit(limit, detail, index), detail, limit, now);
            }
        }
        if let Some(usages) = object(place, "usages") {
            for (member, usage) in usages.iter().take(MAX_WINDOWS) {
                if let Some(usage) = usage.as_object() {
                    self.add(WindowName::of_member(member), usage, usage, now);
                }
            }
        }
        // the oldest shapes name one figure and no window
        self.add(WindowName::new("quota"), place, place, now);
    }

    /// Takes the worst of all readings of a window: a zero ratio can stand beside a non-zero count (CodexBar#3754).
    fn add(&mut self, name: WindowName, figures: &Object, around: &Object, now: Time) {
        let Some(reading) = Reading::of(figures) else { return };
        let window = Window {
            name: name.name,
            limit: reading.limit,
            used: reading.used,
            percent_left: reading.percent_left,
            resets_at: reset(figures, now).or_else(|| reset(around, now)),
            length: name.length,
        };
        match self.0.iter().position(|known| known.name == window.name) {
            Some(at) => {
                let known = self.0.swap_remove(at);
                self.0.push(worse(known, window));
            }
            None if self.0.len() < MAX_WINDOWS => self.0.push(window),
            None => {}
        }
    }

    fn shortest_first(mut self) -> Vec<Window> {
        self.0.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name)));
        self.0
    }
}

/// Windows without a length go last, months before the others.
fn rank(window: &Window) -> Duration {
    let month = Duration::from_secs(30 * 24 * 3600);
    window.length.unwrap_or(if window.name.starts_with("month") { month } else { Duration::MAX })
}

/// The worse of two readings of one window, filled up with what only the other says.
fn worse(a: Window, b: Window) -> Window {
    let (worst, other) = if b.percent_left < a.percent_left { (b, a) } else { (a, b) };
    let limit = worst.limit.or(other.limit);
    let resets_at = match (worst.resets_at, other.resets_at) {
        (Some(a), Some(b)) if worst.percent_left == other.percent_left => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    let used = worst.used.or_else(|| limit.map(|limit| limit * (1.0 - worst.percent_left / 100.0)));
    Window { limit, used, resets_at, length: worst.length.or(other.length), ..worst }
}

fn name_of_limit(limit: &Object, detail: &Object, index: usize) -> WindowName {
    let by_window = [object(limit, "window"), object(detail, "window"), Some(limit), Some(detail)]
        .into_iter()
        .flatten()
        .find_map(WindowName::of_window);
    by_window.unwrap_or_else(|| {
        let named =
            [limit, detail].into_iter().find_map(|from| text(from, &["name", "title", "scope"], MAX_TEXT));
        WindowName::new(&named.unwrap_or_else(|| format!("limit {}", index + 1)))
    })
}

/// The figures of one window.
struct Reading {
    limit: Option<f64>,
    used: Option<f64>,
    percent_left: f64,
}

impl Reading {
    /// The worst of what a window's figures say; `None` when they say nothing.
    ///
    /// Zeros are dropped: `used` is missing when nothing is used, `remaining` when it is exhausted, `used_ratio`
    /// beside a reset time when nothing is used. A figure that is there is believed; which of two missing ones
    /// was the zero cannot be known, so a bare limit counts as unused and a response corrects it.
    fn of(figures: &Object) -> Option<Self> {
        let limit = number(figures, &["limit", "total"]).filter(|limit| *limit >= 0.0);
        let used = number(figures, &["used"]);
        let left = number(figures, &["remaining", "remaining_quota", "remain"]);
        let mut readings = Vec::new();
        match limit {
            Some(limit) if limit > 0.0 => {
                readings.extend(used.map(|used| (limit - used) / limit));
                readings.extend(left.map(|left| left / limit));
                if used.is_none() && left.is_none() {
                    readings.push(1.0);
                }
            }
            // no limit at all, and yet something was used
            Some(_) if used.is_some_and(|used| used > 0.0) => readings.push(0.0),
            _ => {}
        }
        readings.extend(
            number(figures, &["remaining_percent", "remainingPercent"]).map(|percent| percent / 100.0),
        );
        readings
            .extend(number(figures, &["used_percent", "usedPercent"]).map(|percent| 1.0 - percent / 100.0));
        let ratio = number(figures, &["used_ratio", "usedRatio"]);
        readings.extend(ratio.map(|ratio| 1.0 - ratio));
        if readings.is_empty() && limit.is_none() && figures.contains_key("reset_time") {
            readings.push(1.0);
        }
        let worst = readings.into_iter().min_by(f64::total_cmp)?;
        // four decimals are more than any figure has; 0.9 used leaves 10, not 9.999999999999998
        let percent_left = ((worst * 1e6).round() / 1e4).clamp(0.0, 100.0);
        let limit = limit.filter(|limit| *limit > 0.0);
        let used = used
            .map(|used| used.max(0.0))
            .or_else(|| limit.map(|limit| limit * (1.0 - percent_left / 100.0)));
        Some(Self { limit, used, percent_left })
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
