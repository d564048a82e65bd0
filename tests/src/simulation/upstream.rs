//! What the API answers: to a request with a key, and to a question for the quota.

use std::time::Duration;

use fastrand::Rng;
use kmid_core::kimi::error::Row;
use serde_json::{Value, json};

use super::clock::moment;
use super::demand::Request;
use super::trouble::{self, Trouble};
use super::world::{Account, Window, World, cost};
use super::{Millis, Units};

/// What becomes of one attempt.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The answer comes whole.
    Served {
        /// What it costs.
        cost: Units,
        /// Tokens of input that were cached.
        cached: i64,
    },
    /// The answer begins, is paid for, and breaks off.
    CutShort,
    /// The connection breaks before the first byte.
    NoAnswer,
    /// An error answer.
    Refused {
        /// HTTP status.
        status: u16,
        /// As it comes over the wire.
        body: String,
        /// `Retry-After`
        retry_after: Option<Duration>,
    },
}

/// Answers one attempt, and charges the account for what it admits.
pub fn answer(
    world: &mut World,
    troubles: &[Trouble],
    key: usize,
    request: &Request,
    now: Millis,
    rng: &mut Rng,
) -> Answer {
    let number = world.keys[key].account;
    let account = &mut world.accounts[number];
    account.pass(now);
    let mut parallel = account.real_parallel;
    let mut cut_short = false;
    for trouble in troubles.iter().filter(|trouble| trouble.concerns(key, number, now)) {
        if rng.u8(0..100) >= trouble.percent {
            continue;
        }
        match trouble.answer {
            trouble::Answer::Row(row) => return refused(row),
            trouble::Answer::NoAnswer => return Answer::NoAnswer,
            trouble::Answer::CutShort => cut_short = true,
            trouble::Answer::Parallel(most) => parallel = parallel.min(most),
        }
    }
    if account.in_flight >= parallel {
        return refused(Row::ConcurrentLimit);
    }
    if account.week.is_full() {
        return refused(Row::QuotaWeek);
    }
    if account.five_hours.is_full() {
        // it says "billing cycle" even when the 5-hour window is the full one [kimi-code#2121]
        return refused(if rng.bool() { Row::QuotaCycle } else { Row::QuotaPeriod });
    }
    if let Some(row) = request.fault {
        return refused(row);
    }
    let cached = account.cached(request.session, request.shared);
    let cost = cost(request.input(), cached, request.output);
    account.admit(cost);
    if cut_short { Answer::CutShort } else { Answer::Served { cost, cached } }
}

/// The texts are those of the error table (ARCHITECTURE.md, "Errors", 2026-11).
fn refused(row: Row) -> Answer {
    let (status, kind, message) = match row {
        Row::InvalidKey => {
            (401, "invalid_authentication_error", "The API Key appears to be invalid or may have expired.")
        }
        Row::BadModel => (401, "authentication_error", "Your model id does not exist"),
        Row::Payment => (402, "", "We are unable to verify your membership benefits at this time."),
        Row::QuotaCycle => {
            (403, "access_terminated_error", "You've reached your usage limit for this billing cycle.")
        }
        Row::QuotaWeek => (403, "permission_error", "You've reached your weekly (7-day) usage limit."),
        Row::QuotaMonth => {
            (403, "permission_error", "You've reached your monthly usage limit for this billing cycle.")
        }
        Row::ConcurrentLimit => (403, "permission_error", "You've reached the concurrent request limit."),
        Row::ClientRefused => {
            (403, "access_terminated_error", "Kimi For Coding is currently only available for Coding Agents.")
        }
        Row::Banned => {
            (403, "access_terminated_error", "Access terminated. Review our Community Guidelines.")
        }
        Row::RateLimited => {
            (429, "rate_limit_reached_error", "We're receiving too many requests at the moment.")
        }
        Row::Overloaded => {
            (429, "engine_overloaded", "The engine is currently overloaded, please try again later")
        }
        Row::QuotaPeriod => (429, "", "You've reached your usage limit for this period."),
        Row::Balance => (429, "exceeded_current_quota_error", "You exceeded your current quota."),
        Row::TierLimit => (429, "rate_limit_reached_error", "Your organization TPD rate limit is reached."),
        Row::InvalidRequest => {
            (400, "invalid_request_error", "The total message size 5000000 exceeds the limit.")
        }
        Row::ModelNotFound => (404, "", "Not found the model k9 or Permission denied"),
        Row::UpstreamError => (502, "", "Bad gateway"),
        Row::Unknown => (418, "", "I'm a teapot"),
    };
    let retry_after = (row == Row::TierLimit).then_some(Duration::from_secs(1152));
    let body = json!({"error": {"type": kind, "message": message}}).to_string();
    Answer::Refused { status, body, retry_after }
}

/// The body of `/usages` for a key; `None` when it is not answered, or with an error. What is wrong with requests is
/// not seen here: a working `/usages` proves nothing about chat [kodus-ai#1257].
pub fn usages(world: &mut World, troubles: &[Trouble], key: usize, now: Millis) -> Option<String> {
    let number = world.keys[key].account;
    let mut concerning = troubles.iter().filter(|trouble| trouble.concerns(key, number, now));
    let fails = concerning.any(|trouble| match trouble.answer {
        trouble::Answer::Row(row) => matches!(row, Row::InvalidKey | Row::Payment | Row::UpstreamError),
        trouble::Answer::NoAnswer => true,
        trouble::Answer::CutShort | trouble::Answer::Parallel(_) => false,
    });
    if fails {
        return None;
    }
    let account = &mut world.accounts[number];
    account.pass(now);
    Some(body(account))
}

fn body(account: &Account) -> String {
    json!({
        "user": {"userId": account.id, "membership": {"level": account.plan.level}},
        "usage": figures(&account.week),
        "limits": [{
            "window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
            "detail": figures(&account.five_hours),
        }],
        "parallel": {"limit": account.plan.parallel.to_string()},
    })
    .to_string()
}

/// In percent as decimal strings; zeros are dropped, as the API does.
fn figures(window: &Window) -> Value {
    let used = window.percent_used();
    let mut figures = json!({"limit": "100", "resetTime": moment(window.resets_at()).to_string()});
    if used > 0 {
        figures["used"] = used.to_string().into();
    }
    if used < 100 {
        figures["remaining"] = (100 - used).to_string().into();
    }
    figures
}
