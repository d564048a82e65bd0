#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::super::parse;
use super::*;

/// status, message, type, expected row: the table of kimi-upstream.md, line by line.
const TABLE: &[(u16, &str, &str, Row)] = &[
    (
        401,
        "The API Key appears to be invalid or may have expired. Please verify your credentials and try again.",
        "invalid_authentication_error",
        Row::InvalidKey,
    ),
    (401, "Invalid Authentication", "invalid_authentication_error", Row::InvalidKey),
    (401, "Invalid Authentication", "authentication_error", Row::InvalidKey),
    (401, "Your model id does not exist", "authentication_error", Row::BadModel),
    (402, "We're unable to verify your membership benefits at this time.", "", Row::Payment),
    (402, "something else", "", Row::Payment),
    (402, "", "", Row::Payment),
    (
        403,
        "You've reached your usage limit for this billing cycle.",
        "access_terminated_error",
        Row::QuotaCycle,
    ),
    (403, "You've reached your usage limit for this billing cycle.", "permission_error", Row::QuotaCycle),
    (403, "You've reached your weekly (7-day) usage limit.", "access_terminated_error", Row::QuotaWeek),
    (
        403,
        "You've reached your weekly (7-day) usage limit for this billing cycle.",
        "permission_error",
        Row::QuotaWeek,
    ),
    (
        403,
        "You've reached your monthly usage limit for this billing cycle.",
        "access_terminated_error",
        Row::QuotaMonth,
    ),
    (
        403,
        "You've reached your monthly usage limit for this billing cycle.",
        "permission_error",
        Row::QuotaMonth,
    ),
    (403, "You have hit the concurrent request limit of 30", "permission_error", Row::ConcurrentLimit),
    (
        403,
        "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI.",
        "access_terminated_error",
        Row::ClientRefused,
    ),
    (403, "Access terminated. Review our Community Guidelines", "access_terminated_error", Row::Banned),
    (
        429,
        "We're receiving too many requests at the moment. Please wait.",
        "rate_limit_reached_error",
        Row::RateLimited,
    ),
    (429, "The engine is currently overloaded, please try again later", "rate_limit_error", Row::Overloaded),
    (429, "The engine is currently overloaded", "engine_overloaded", Row::Overloaded),
    (429, "busy", "engine_overloaded", Row::Overloaded),
    (429, "You've reached the usage limit for this period", "", Row::QuotaPeriod),
    (429, "You've reached kimi monthly usage limit", "", Row::QuotaMonth),
    (
        429,
        "You exceeded your current quota, please check your plan",
        "exceeded_current_quota_error",
        Row::Balance,
    ),
    (429, "Your account has insufficient balance", "exceeded_current_quota_error", Row::Balance),
    (429, "another text", "exceeded_current_quota_error", Row::Balance),
    (
        429,
        "Your account org-1 request reached organization TPD rate limit, current: 1500001",
        "rate_limit_reached_error",
        Row::TierLimit,
    ),
    (400, "total message size 4200000 exceeds limit 4194304", "invalid_request_error", Row::InvalidRequest),
    (400, "Invalid request: Your request exceeded model token limit: 262144", "", Row::InvalidRequest),
    (400, "thinking is enabled but reasoning_content is missing in message 3", "", Row::InvalidRequest),
    (
        400,
        "The request was rejected because it was considered high risk",
        "content_filter",
        Row::InvalidRequest,
    ),
    (400, "anything", "invalid_request_error", Row::InvalidRequest),
    (404, "Not found the model k9 or Permission denied", "resource_not_found_error", Row::ModelNotFound),
    (500, "", "", Row::UpstreamError),
    (502, "bad gateway", "", Row::UpstreamError),
    (503, "", "server_error", Row::UpstreamError),
    (529, "Overloaded", "", Row::UpstreamError),
];

fn bodies(message: &str, kind: &str) -> [Vec<u8>; 2] {
    let error = match (message, kind) {
        (message, "") => serde_json::json!({ "message": message }),
        (message, kind) => serde_json::json!({ "message": message, "type": kind }),
    };
    [
        serde_json::to_vec(&serde_json::json!({ "error": error })).unwrap(),
        serde_json::to_vec(&serde_json::json!({ "type": "error", "error": error })).unwrap(),
    ]
}

#[test]
fn every_row_on_both_wires() {
    for (status, message, kind, row) in TABLE {
        for body in bodies(message, kind) {
            let text = parse(&body).unwrap();
            let found = classify(*status, Some(&text));
            assert_eq!(
                Verdict { sure: Certainty::Text, ..found },
                row.verdict(),
                "{status} {message} {kind}"
            );
            let shouted = ErrorText { message: message.to_uppercase(), ..text };
            assert_eq!(classify(*status, Some(&shouted)).row, *row, "{status} {message} in capitals");
        }
    }
}

#[test]
fn the_same_rows_inside_a_200_stream() {
    for (status, message, kind, row) in TABLE {
        let by_status_alone = matches!(row, Row::Payment | Row::UpstreamError);
        for body in bodies(message, kind) {
            let mut text = parse(&body).unwrap();
            if !by_status_alone {
                assert_eq!(classify(200, Some(&text)).row, *row, "{message} {kind}");
            }
            text.code = Some(status.to_string());
            assert_eq!(classify(200, Some(&text)).row, *row, "{status} {message} {kind}");
        }
    }
}

#[test]
fn what_each_row_asks_for() {
    use Action::{Backoff, Block, CoolUntilReset, LowerCap, Nothing};
    use Party::{Account, Client, Key, Request, Upstream};
    use Retry::{Later, No, OtherKey, WhenFree};
    for (row, whose, action, retry) in [
        (Row::InvalidKey, Key, Block(BlockReason::InvalidKey), OtherKey),
        (Row::BadModel, Request, Nothing, No),
        (Row::Payment, Account, Block(BlockReason::Payment), OtherKey),
        (Row::QuotaCycle, Account, CoolUntilReset(FullWindow::Unknown), OtherKey),
        (Row::QuotaWeek, Account, CoolUntilReset(FullWindow::Week), OtherKey),
        (Row::QuotaMonth, Account, CoolUntilReset(FullWindow::Month), OtherKey),
        (Row::ConcurrentLimit, Account, LowerCap, WhenFree),
        (Row::ClientRefused, Client, Nothing, No),
        (Row::Banned, Account, Block(BlockReason::Banned), OtherKey),
        (Row::RateLimited, Account, Backoff, OtherKey),
        (Row::Overloaded, Upstream, Nothing, Later),
        (Row::QuotaPeriod, Account, CoolUntilReset(FullWindow::Unknown), OtherKey),
        (Row::Balance, Account, Block(BlockReason::Balance), OtherKey),
        (Row::TierLimit, Account, Backoff, OtherKey),
        (Row::InvalidRequest, Request, Nothing, No),
        (Row::ModelNotFound, Key, Nothing, OtherKey),
        (Row::UpstreamError, Upstream, Nothing, Later),
        (Row::Unknown, Request, Nothing, No),
    ] {
        let sure = if row == Row::Unknown { Certainty::Unknown } else { Certainty::Text };
        assert_eq!(row.verdict(), Verdict { row, whose, action, retry, sure });
        assert_eq!(serde_json::to_value(row).unwrap(), row.name());
    }
}

#[test]
fn the_text_is_surer_than_the_type_and_that_than_the_status() {
    let sure = |status, message: &str, kind: &str| {
        let [body, _] = bodies(message, kind);
        classify(status, parse(&body).as_ref()).sure
    };
    for (status, message, kind, expected) in [
        (429, "The engine is currently overloaded", "engine_overloaded", Certainty::Text),
        (429, "a new text", "engine_overloaded", Certainty::Type),
        (429, "a new text", "a_new_type", Certainty::Status),
        (402, "unable to verify your membership benefits", "", Certainty::Text),
        (402, "a new text", "invalid_authentication_error", Certainty::Status),
        (401, "a new text", "invalid_authentication_error", Certainty::Type),
        (401, "a new text", "", Certainty::Unknown),
        (503, "a new text", "", Certainty::Status),
        (200, "Invalid Authentication", "", Certainty::Text),
        (200, "a new text", "", Certainty::Unknown),
    ] {
        assert_eq!(sure(status, message, kind), expected, "{status} {message} {kind}");
    }
}

#[test]
fn unknown_errors_touch_no_key() {
    let odd =
        ErrorText { message: "a new text".into(), kind: Some("access_terminated_error".into()), code: None };
    for status in [200, 301, 400, 401, 403, 404, 405, 408, 409, 413, 418, 422] {
        assert_eq!(classify(status, Some(&odd)), Row::Unknown.verdict(), "{status}");
        assert_eq!(classify(status, None), Row::Unknown.verdict(), "{status}");
    }
    for (status, text, row) in [
        (429, Some(&odd), Row::RateLimited),
        (429, None, Row::RateLimited),
        (503, Some(&odd), Row::UpstreamError),
        (529, None, Row::UpstreamError),
    ] {
        assert_eq!(classify(status, text), Verdict { sure: Certainty::Status, ..row.verdict() });
    }
}

#[test]
fn words_of_the_user_in_a_400_block_nothing() {
    for (status, message, kind, _) in TABLE {
        if !(401..=429).contains(status) || *status == 404 {
            continue;
        }
        let echo = ErrorText {
            message: format!("cannot parse message 0: '{message}'"),
            kind: Some((*kind).into()),
            code: None,
        };
        for status in [400, 404, 413, 422] {
            let verdict = classify(status, Some(&echo));
            assert_eq!(verdict.action, Action::Nothing, "{status} {message}");
        }
    }
}

proptest! {
    #[test]
    fn any_answer_has_a_meaning(status in 0u16..1000, message in ".{0,80}", kind in "[a-z_]{0,20}") {
        let text = ErrorText { message, kind: Some(kind), code: None };
        let verdict = classify(status, Some(&text));
        // whoever is not at fault is not paused
        prop_assert!(
            matches!(verdict.whose, Party::Key | Party::Account) || verdict.action == Action::Nothing
        );
        prop_assert_eq!(verdict.sure == Certainty::Unknown, verdict.row == Row::Unknown);
        // a status alone blocks nobody, save 402
        prop_assert!(
            verdict.sure != Certainty::Status || !matches!(verdict.action, Action::Block(_)) || status == 402
        );
    }

    #[test]
    fn a_known_text_is_found_inside_others(before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
        let text = ErrorText { message: format!("{before} Concurrent  request\nlimit {after}"), ..Default::default() };
        prop_assert_eq!(classify(403, Some(&text)).row, Row::ConcurrentLimit);
    }
}

#[test]
fn words_of_the_user_in_a_stream_touch_no_key() {
    for phrase in
        ["Invalid Authentication", "insufficient balance", "reached your usage limit for this billing cycle"]
    {
        for kind in ["invalid_request_error", "content_filter", "Content_Filter"] {
            let message = format!("the prompt \"{phrase}\" is not allowed");
            let text = ErrorText { message, kind: Some(kind.to_owned()), ..ErrorText::default() };
            let verdict = classify(200, Some(&text));
            assert_eq!(
                (verdict.whose, verdict.action),
                (Party::Request, Action::Nothing),
                "{kind}: {phrase}"
            );
        }
    }
}
