use kmid_core::key::{Fingerprint, Secret};
use kmid_core::kimi::quota;
use kmid_core::ledger::{Figure, Source};
use kmid_core::policy::Policy;
use kmid_core::pool::Mode;
use kmid_core::pool::view::ErrorCounts;
use kmid_core::said::Said;

use super::*;
use crate::fixtures;

fn time(text: &str) -> Time {
    Time::parse(text).unwrap()
}

fn key_view(label: &str, state: KeyState) -> KeyView {
    KeyView {
        fingerprint: Fingerprint::of(&Secret::new("abc")),
        masked: "...abcd".to_owned(),
        ..fixtures::key_view(label, state)
    }
}

/// A pool of two: alpha, active, with all that a key can have, and beta, blocked.
pub(in super::super) fn view() -> PoolView {
    let window = quota::Window {
        name: "5h".to_owned(),
        limit: Some(100.0),
        used: Some(97.5),
        percent_left: 2.5,
        resets_at: Some(time("2026-11-23T15:00:00Z")),
        length: None,
    };
    let figure = Figure {
        name: "5h".to_owned(),
        left_percent: 1.5,
        source: Source::Ledger,
        as_of: time("2026-11-23T12:00:00Z"),
        resets_at: Some(time("2026-11-23T15:00:00Z")),
        burn: Some(3.0),
        empty_at: Some(time("2026-11-23T12:30:00Z")),
    };
    let reading = quota::Quota {
        account: Some("u-1".to_owned()),
        email: Some("a@example.org".to_owned()),
        windows: vec![window],
        ..quota::Quota::default()
    };
    let alpha = KeyView {
        reason: Some("quota"),
        until: Some(time("2026-11-23T15:00:00Z")),
        last_used: Some(time("2026-11-23T11:59:00Z")),
        requests: 9,
        in_flight: 1,
        cap: 4,
        errors: ErrorCounts { e401: 1, e403: 2, e429: 3, e5xx: 4 },
        tokens: usage::Tokens { input: 1000, cached: 750, output: 60 },
        sessions: 3,
        figures: vec![FigureView { figure, stale: true }],
        reading: Some((reading, time("2026-11-23T12:00:00Z"))),
        ..key_view("alpha", KeyState::Cooling)
    };
    PoolView {
        upstreams: Vec::new(),
        keys: vec![alpha, key_view("beta", KeyState::Blocked)],
        active: Some(0),
        auto: false,
        allowed: true,
        mode: Mode::Failover,
        rotation_index: 2,
        sessions: 3,
        last_refresh: None,
        policy: Policy::Drain,
        empty_at: Some(time("2026-11-23T14:00:00Z")),
    }
}

#[test]
fn a_key_has_the_fields_of_the_specification() {
    let list = serde_json::to_value(key_list(&view(), time("2026-11-23T12:00:09Z"), Vec::new(), Vec::new()))
        .unwrap();
    let expected = serde_json::json!({
        "label": "alpha", "state": "cooling", "reason": "quota", "until": "2026-11-23T15:00:00.000Z", "active": true,
        "masked": "...abcd", "fingerprint": "ba7816bf8f01", "account": "u-1", "email": "a@example.org",
        "source": "alpha.env", "base_url": "https://api.kimi.com/coding/v1", "priority": 0,
        "last_used": "2026-11-23T11:59:00.000Z", "requests": 9, "in_flight": 1, "cap": 4,
        "errors": {"401": 1, "403": 2, "429": 3, "5xx": 4},
        "tokens": {"input": 1000, "cached": 750, "output": 60}, "cache_share": 0.75, "sessions": 3,
        "windows": [{"name": "5h", "limit": 100.0, "used": 97.5, "percent_left": 1.5,
            "resets_at": "2026-11-23T15:00:00.000Z", "read_at": "2026-11-23T12:00:00.000Z", "source": "ledger",
            "age_seconds": 9, "stale": true, "burn_percent_per_hour": 3.0,
            "estimated_empty_at": "2026-11-23T12:30:00.000Z"}],
        "refresh_error": null,
    });
    assert_eq!(list["keys"][0], expected);
    assert_eq!(list["keys"][1]["active"], false);
}

#[test]
fn only_key_files_are_listed_with_the_keys() {
    let issue =
        |kind| command::Issue { kind, error: true, subject: "s".to_owned(), message: Said::plain("m") };
    let list = key_list(
        &view(),
        time("2026-11-23T12:00:09Z"),
        vec![issue("key_file"), issue("settings")],
        Vec::new(),
    );
    assert_eq!(list.issues.len(), 1);
    assert_eq!((list.issues[0].kind.as_str(), list.issues[0].level.as_str()), ("key_file", "error"));
}

#[test]
fn counts_and_rotation_follow_the_view() {
    let mut view = view();
    let counts = key_counts(&view);
    assert_eq!((counts.total, counts.disabled, counts.blocked, counts.exhausted), (2, 0, 1, 1));
    assert_eq!(rotation(&view).mode, "failover");
    assert_eq!(rotation(&view).policy, "drain");
    assert_eq!(rotation(&view).estimated_empty_at.as_deref(), Some("2026-11-23T14:00:00.000Z"));
    view.auto = true;
    assert_eq!(rotation(&view).mode, "auto");
    (view.allowed, view.active) = (false, None);
    assert_eq!((rotation(&view).mode.as_str(), rotation(&view).active_index), ("manual", 0));
}

#[test]
fn refusals_have_their_kinds_and_times() {
    let kind = |refused: Refused| refusal(&refused, &view());
    assert!(kind(Refused::NotAllowed).is(Kind::Policy));
    assert!(kind(Refused::NoKeys).is(Kind::NoKeys));
    assert_eq!(kind(Refused::NoKeys).retry_at, None);
    let none = kind(Refused::NoneServes { states: vec![Said::plain("alpha: cooling")] });
    assert!(none.is(Kind::NoneServes));
    assert_eq!(none.retry_at.as_deref(), Some("2026-11-23T15:00:00.000Z"));
}

#[test]
fn refresh_results_are_told_apart() {
    let refreshed =
        refreshed(vec![("a".to_owned(), Ok(())), ("b".to_owned(), Err(Said::plain("timed out").into()))]);
    assert_eq!(refreshed.refreshed, ["a"]);
    assert_eq!((refreshed.failed[0].label.as_str(), refreshed.failed[0].error.as_str()), ("b", "timed out"));
}

#[test]
fn lost_lines_become_an_issue() {
    assert_eq!(log_loss("kmi.log", 0), None);
    assert!(log_loss("kmi.log", 3).is_some_and(|issue| issue.message.starts_with("3 lines")));
}

#[test]
fn a_listener_is_reached_on_this_machine_and_under_a_name_that_its_certificate_has() {
    let url = |bound: &str, names| proxy_url("/base", bound.parse().unwrap(), names);
    assert_eq!(url("0.0.0.0:1", None), "http://127.0.0.1:1/base");
    assert_eq!(url("[::]:1", None), "http://[::1]:1/base");
    assert_eq!(url("192.0.2.1:5", None), "http://192.0.2.1:5/base");
    let names =
        |dns: &[&str]| Names { dns: dns.iter().map(ToString::to_string).collect(), ..Names::default() };
    assert_eq!(url("0.0.0.0:1", Some(names(&["kmid.example"]))), "https://kmid.example:1/base");
    assert_eq!(url("[::]:1", Some(names(&[]))), "https://[::1]:1/base");
}
