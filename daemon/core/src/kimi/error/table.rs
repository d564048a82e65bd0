//! The rows of the error table and what each asks for.
//!
//! Source: kimi-upstream.md "Errors", collected from public issue threads and client sources, 2026-11. Nothing
//! of it could be probed live.

use serde::{Deserialize, Serialize};

use super::text::ErrorText;
use crate::outcome::{Action, BlockReason, Certainty, FullWindow, Party, Retry, Verdict};

/// A row of the error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// 401, dead key or wrong host
    InvalidKey,
    /// 401, the model's name is wrong
    BadModel,
    /// 402, membership lapsed or unverifiable
    Payment,
    /// 403, a window is full, the text does not say which
    QuotaCycle,
    /// 403, the 7-day window is full
    QuotaWeek,
    /// 403 or 429, the month is used up
    QuotaMonth,
    /// 403, too many requests in flight for the account
    ConcurrentLimit,
    /// 403, the client program is refused
    ClientRefused,
    /// 403, the account is banned
    Banned,
    /// 429, too many requests in too short a time
    RateLimited,
    /// 429, the upstream is busy
    Overloaded,
    /// 429, a window is full, the text does not say which
    QuotaPeriod,
    /// 429, the Open Platform balance is used up
    Balance,
    /// 429, the Open Platform tier's tokens of the day are used up
    TierLimit,
    /// 400, the request itself
    InvalidRequest,
    /// 404, the key's tier lacks the model
    ModelNotFound,
    /// 5xx and 529
    UpstreamError,
    /// Anything that matches no row
    Unknown,
}

impl Row {
    /// Whether a row of the table matched.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Self::Unknown
    }

    /// The stable name used in traces and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::BadModel => "bad_model",
            Self::Payment => "payment",
            Self::QuotaCycle => "quota_cycle",
            Self::QuotaWeek => "quota_week",
            Self::QuotaMonth => "quota_month",
            Self::ConcurrentLimit => "concurrent_limit",
            Self::ClientRefused => "client_refused",
            Self::Banned => "banned",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::QuotaPeriod => "quota_period",
            Self::Balance => "balance",
            Self::TierLimit => "tier_limit",
            Self::InvalidRequest => "invalid_request",
            Self::ModelNotFound => "model_not_found",
            Self::UpstreamError => "upstream_error",
            Self::Unknown => "unknown",
        }
    }

    /// What an error of this row asks for, when its text was found.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        let sure = if self.is_known() { Certainty::Text } else { Certainty::Unknown };
        let (whose, action, retry) = match self {
            // A dead key does not mend itself: a person edits its file, or a recheck finds it alive.
            Self::InvalidKey => (Party::Key, Action::Block(BlockReason::InvalidKey), Retry::OtherKey),
            // The membership is the account's. It is said of members too while their benefits cannot be verified, so
            // two accounts at once are an outage (pool/outage).
            Self::Payment => (Party::Account, Action::Block(BlockReason::Payment), Retry::OtherKey),
            // "Billing cycle" is said of the 5-hour window too [kimi-code#2121]: only the readings know which.
            Self::QuotaCycle | Self::QuotaPeriod => {
                (Party::Account, Action::CoolUntilReset(FullWindow::Unknown), Retry::OtherKey)
            }
            Self::QuotaWeek => (Party::Account, Action::CoolUntilReset(FullWindow::Week), Retry::OtherKey),
            // Said while `/usages` shows 100 % free [kimi-code#3014]: the answer beats the poll.
            Self::QuotaMonth => (Party::Account, Action::CoolUntilReset(FullWindow::Month), Retry::OtherKey),
            // The account serves well with fewer at once: a pause would waste it.
            Self::ConcurrentLimit => (Party::Account, Action::LowerCap, Retry::WhenFree),
            // Another key would be refused in the same way, and a gate that shut for everybody was an outage
            // (2026-06-04).
            Self::ClientRefused => (Party::Client, Action::Nothing, Retry::No),
            // Only a person can settle that.
            Self::Banned => (Party::Account, Action::Block(BlockReason::Banned), Retry::OtherKey),
            // Counted by the second, and by the day; `Retry-After` was seen with the latter (1152 s).
            Self::RateLimited | Self::TierLimit => (Party::Account, Action::Backoff, Retry::OtherKey),
            // The keys are fine; the breaker counts these (pool/outage).
            Self::Overloaded | Self::UpstreamError => (Party::Upstream, Action::Nothing, Retry::Later),
            // Open Platform: a person adds money; clients do not retry this type.
            Self::Balance => (Party::Account, Action::Block(BlockReason::Balance), Retry::OtherKey),
            // another account's tier may have the model; the key serves its other models as before
            Self::ModelNotFound => (Party::Key, Action::Nothing, Retry::OtherKey),
            // Another key would hear the same of this request; what is not understood must cost no key.
            Self::BadModel | Self::InvalidRequest | Self::Unknown => {
                (Party::Request, Action::Nothing, Retry::No)
            }
        };
        Verdict { row: self, whose, action, retry, sure }
    }
}

/// What an error answer means: the text decides first, then `error.type`, then the bare status.
///
/// For an error event inside a 200 stream pass 200: a `code` that is an HTTP status stands in for it, and text and
/// type are read as they would be in an answer of their own.
#[must_use]
pub fn classify(status: u16, text: Option<&ErrorText>) -> Verdict {
    let status = effective_status(status, text);
    let stands = |row: &Row| may_stand_at(*row, status);
    let by_text = text.and_then(|text| by_message(&text.message)).filter(stands);
    let by_kind = || text.and_then(by_kind).filter(stands);
    let (row, sure) = match (status, by_text) {
        // Whatever it says: no 402 was seen that meant anything else.
        (402, Some(Row::Payment)) => (Row::Payment, Certainty::Text),
        (402, _) => (Row::Payment, Certainty::Status),
        (_, Some(row)) => (row, Certainty::Text),
        (_, None) => match (by_kind(), by_status(status)) {
            (Some(row), _) => (row, Certainty::Type),
            (None, Row::Unknown) => (Row::Unknown, Certainty::Unknown),
            (None, row) => (row, Certainty::Status),
        },
    };
    Verdict { sure, ..row.verdict() }
}

/// The stable parts of the texts, in lower case, the more specific first; all parts of an entry must occur in order.
const TEXTS: &[(&[&str], Row)] = &[
    (&["review our community guidelines"], Row::Banned),
    (&["only available for coding agents"], Row::ClientRefused),
    (&["concurrent request limit"], Row::ConcurrentLimit),
    (&["weekly (7-day) usage limit"], Row::QuotaWeek),
    (&["monthly usage limit for this billing cycle"], Row::QuotaMonth),
    (&["kimi monthly usage limit"], Row::QuotaMonth),
    // said of the 5-hour window too, kimi-code#2121
    (&["reached your usage limit for this billing cycle"], Row::QuotaCycle),
    (&["usage limit for this period"], Row::QuotaPeriod),
    (&["organization tpd rate limit"], Row::TierLimit),
    (&["exceeded your current quota"], Row::Balance),
    (&["insufficient balance"], Row::Balance),
    (&["engine is currently overloaded"], Row::Overloaded),
    (&["receiving too many requests"], Row::RateLimited),
    (&["unable to verify your membership benefits"], Row::Payment),
    (&["your model id does not exist"], Row::BadModel),
    (&["api key appears to be invalid or may have expired"], Row::InvalidKey),
    (&["invalid authentication"], Row::InvalidKey),
    (&["not found the model", "or permission denied"], Row::ModelNotFound),
    (&["total message size", "exceeds"], Row::InvalidRequest),
    (&["exceeded model token limit"], Row::InvalidRequest),
    (&["reasoning_content is missing"], Row::InvalidRequest),
    (&["considered high risk"], Row::InvalidRequest),
];

fn by_message(message: &str) -> Option<Row> {
    if message.is_empty() {
        return None;
    }
    let message = message.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    TEXTS.iter().find(|(parts, _)| in_order(&message, parts)).map(|(_, row)| *row)
}

fn in_order(message: &str, parts: &[&str]) -> bool {
    let mut rest = message;
    parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Types that mean one thing only. `access_terminated_error` and `permission_error` stand for quota, ban and a
/// refused client alike, `authentication_error` for a wrong model too: those decide nothing.
fn by_kind(text: &ErrorText) -> Option<Row> {
    [&text.kind, &text.code].into_iter().flatten().find_map(|kind| {
        Some(match kind.to_ascii_lowercase().as_str() {
            "invalid_authentication_error" => Row::InvalidKey,
            "rate_limit_reached_error" | "rate_limit_error" => Row::RateLimited,
            "engine_overloaded" | "engine_overloaded_error" | "overloaded_error" => Row::Overloaded,
            "exceeded_current_quota_error" => Row::Balance,
            "invalid_request_error" | "content_filter" => Row::InvalidRequest,
            // what the upstream says of itself inside a 200 stream
            "server_error" | "internal_error" | "internal_server_error" | "api_error" | "timeout_error" => {
                Row::UpstreamError
            }
            _ => return None,
        })
    })
}

fn by_status(status: u16) -> Row {
    match status {
        429 => Row::RateLimited,
        500..=599 => Row::UpstreamError,
        _ => Row::Unknown,
    }
}

/// Inside a stream (a 2xx) any row may stand. A 400 may repeat the user's words, so nothing it says touches a key;
/// and what a broken upstream says about keys and accounts is not believed.
fn may_stand_at(row: Row, status: u16) -> bool {
    match status {
        200..=299 => true,
        401 | 403 => row != Row::UpstreamError,
        402 => row == Row::Payment,
        429 => !matches!(row, Row::UpstreamError | Row::InvalidRequest | Row::BadModel),
        500..=599 => matches!(row, Row::Overloaded | Row::UpstreamError),
        _ => matches!(row, Row::InvalidRequest | Row::ModelNotFound | Row::BadModel | Row::ClientRefused),
    }
}

fn effective_status(status: u16, text: Option<&ErrorText>) -> u16 {
    if !(200..=299).contains(&status) {
        return status;
    }
    let Some(text) = text else { return status };
    let code = text.code.as_deref().and_then(|code| code.parse::<u16>().ok());
    if let Some(code) = code.filter(|code| (400..=599).contains(code)) {
        return code;
    }
    // These repeat the user's words, as a 400 does.
    let about_the_request = |kind: &String| {
        ["invalid_request_error", "content_filter"].iter().any(|name| kind.eq_ignore_ascii_case(name))
    };
    if [&text.kind, &text.code].into_iter().flatten().any(about_the_request) { 400 } else { status }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
