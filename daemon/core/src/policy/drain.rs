//! What would expire unused first is used first.
//!
//! Of quotas that expire at different times, serving from the one that expires first wastes the least, whatever the
//! demand will be: any other order can be exchanged for it. Two things bend that rule. The shorter windows bound how
//! fast a long one can be used up, so one that needs all of the time until its reset cannot wait for its turn; how
//! much that counts depends on whether there is so much traffic at all. And a switch costs the sessions' caches, so
//! the account in use keeps its place until another one is clearly ahead.

use std::time::Duration;

use super::{Candidate, Judged, Left};
use crate::account::AccountId;
use crate::time::Time;

/// Longer windows are the ones worth draining; shorter ones come back by themselves within the day.
const LONG: Duration = Duration::from_secs(24 * 3600);
/// What stays in a short window for the sessions that are there, while the long ones have plenty, in percent. The
/// account in use goes lower than one that would have to be switched to: a switch has to last.
const GUARD: f64 = 10.0;
const GUARD_IN_USE: f64 = 5.0;
/// A short window that resets this soon takes its rest along: nothing is guarded any more, in hours.
const GUARD_ENDS: f64 = 0.25;
/// Below this a long window has no plenty, and its account is used to the end, in percent.
const PLENTY: f64 = 10.0;
/// Another account has to be ahead of the one in use by so many hours, and by this share of what is to come.
const AHEAD_HOURS: f64 = 2.0;
const AHEAD_SHARE: f64 = 0.1;
/// What is worth a switch, in percent of the largest plan: about a long session's context.
const WORTH_A_SWITCH: f64 = 0.2;
/// Least traffic to reckon with, in percent of a window an hour: in a quiet hour the next busy one counts.
const LEAST_BURN: f64 = 1.0;

/// Each class has a whole number, and the order within it the part behind the point.
const EXPIRES: f64 = 3.0;
const NO_DEADLINE: f64 = 2.0;
const GUARDED: f64 = 1.0;
const EMPTY: f64 = 0.0;

pub(super) fn judge(candidate: &Candidate, current: Option<AccountId>, largest: f64, now: Time) -> Judged {
    let windows = candidate.windows.as_slice();
    let in_use = current == Some(candidate.account);
    let Some(worst) = candidate.windows.worst_percent() else {
        return Judged { score: NO_DEADLINE, reason: "no_reading" };
    };
    if worst <= 0.0 {
        return Judged { score: EMPTY, reason: "empty" };
    }
    if let Some(percent) = guarded(windows, in_use, now) {
        return Judged { score: GUARDED + percent / 100.0, reason: "guarded" };
    }
    let Some(deadline) = Deadline::first(windows, now) else {
        return Judged { score: NO_DEADLINE + worst / 200.0, reason: "no_deadline" };
    };
    let worth = deadline.spendable * candidate.size;
    if !in_use && worth < WORTH_A_SWITCH * largest {
        return Judged { score: NO_DEADLINE, reason: "too_little" };
    }
    let bonus = if in_use { AHEAD_HOURS.max(deadline.hours * AHEAD_SHARE) } else { 0.0 };
    // From 4 at once down to 3 in the far future; below zero hours the one in use is still ahead.
    let days = (deadline.hours - bonus) / 24.0;
    let nearness = if days < 0.0 { 1.0 - days / 100.0 } else { 1.0 / (1.0 + days) };
    Judged { score: EXPIRES + nearness, reason: if in_use { "stays" } else { "expires_first" } }
}

fn is_long(window: &Left) -> bool {
    // A month has no length in the API's answer.
    window.length.is_none_or(|length| length > LONG)
}

fn hours_until(time: Time, now: Time) -> f64 {
    time.since(now).as_secs_f64() / 3600.0
}

/// How much is left of a short window that is to be spared.
fn guarded(windows: &[Left], in_use: bool, now: Time) -> Option<f64> {
    let long = || windows.iter().filter(|window| is_long(window));
    let plenty = long().count() > 0 && long().all(|window| window.percent > PLENTY);
    let least = if in_use { GUARD_IN_USE } else { GUARD };
    let short = windows.iter().filter(|window| !is_long(window));
    let low = short.filter(|window| {
        let ends = window.resets_at.is_some_and(|reset| hours_until(reset, now) <= GUARD_ENDS);
        window.percent < least && !ends
    });
    low.map(|window| window.percent).min_by(f64::total_cmp).filter(|_| plenty)
}

/// When the first of an account's windows takes its rest along.
struct Deadline {
    /// Until it has to be begun at the latest, see the module's words.
    hours: f64,
    /// What can be used of it until then, as far as the traffic goes, in percent.
    spendable: f64,
}

impl Deadline {
    fn first(windows: &[Left], now: Time) -> Option<Self> {
        let has_long = windows.iter().any(is_long);
        let counts = |window: &&Left| is_long(window) || !has_long;
        let mut first: Option<Self> = None;
        for window in windows.iter().filter(counts) {
            let Some(reset) = window.resets_at.filter(|reset| *reset > now) else { continue };
            let until_reset = hours_until(reset, now);
            let burn = window.burn.map(|burn| burn.max(LEAST_BURN));
            let spendable = burn.map_or(window.percent, |burn| window.percent.min(burn * until_reset));
            let reserved = match (window.burn, window.pace) {
                (Some(burn), Some(pace)) if pace > 0.0 => {
                    (burn / pace).clamp(0.0, 1.0) * (window.percent / pace)
                }
                _ => 0.0,
            };
            let hours = (until_reset - reserved).max(0.0);
            first = Some(match first {
                // What one window would lose, another one may not have to give.
                Some(known) => {
                    Self { hours: known.hours.min(hours), spendable: known.spendable.min(spendable) }
                }
                None => Self { hours, spendable },
            });
        }
        first
    }
}
