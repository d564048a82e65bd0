#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: &str = "2026-11-22T18:00:00Z";

fn now() -> Time {
    Time::parse(NOW).unwrap()
}

fn fixture(name: &str) -> Quota {
    let all: Value = serde_json::from_str(include_str!("../../../tests/data/usages.json")).unwrap();
    read(&all[name])
}

fn read(answer: &Value) -> Quota {
    parse(answer.to_string().as_bytes(), now()).unwrap()
}

/// name, limit, used, percent left
fn windows(quota: &Quota) -> Vec<(&str, Option<f64>, Option<f64>, f64)> {
    quota
        .windows
        .iter()
        .map(|w| (w.name.as_str(), w.limit, w.used.map(f64::round), (w.percent_left * 100.0).round() / 100.0))
        .collect()
}

fn resets(quota: &Quota) -> Vec<Option<String>> {
    quota.windows.iter().map(|w| w.resets_at.map(|t| t.to_string())).collect()
}

fn left(answer: &Value) -> Vec<(String, f64)> {
    read(answer).windows.into_iter().map(|w| (w.name, w.percent_left)).collect()
}

const WEEK_RESET: &str = "2026-11-29T05:20:51.443Z";
const HOURS_RESET: &str = "2026-11-22T21:05:00.000Z";

#[test]
fn the_week_and_the_five_hours() {
    let quota = fixture("weekly_and_5h");
    assert_eq!(windows(&quota), [("5h", Some(100.0), Some(3.0), 97.0), ("7d", Some(100.0), Some(6.0), 94.0)]);
    assert_eq!(resets(&quota), [Some(HOURS_RESET.into()), Some(WEEK_RESET.into())]);
    assert_eq!(quota.windows[0].length, Some(Duration::from_secs(5 * 3600)));
    assert_eq!(quota.windows[1].length, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(quota.account.as_deref(), Some("u-1"));
    assert_eq!(quota.plan.as_deref(), Some("LEVEL_INTERMEDIATE"));
    assert_eq!((quota.parallel_limit, quota.extra_left, quota.email), (Some(30), false, None));
}

#[test]
fn zeros_are_dropped() {
    let quota = fixture("zeros_dropped_unused");
    assert_eq!(
        windows(&quota),
        [("5h", Some(100.0), Some(0.0), 100.0), ("7d", Some(100.0), Some(0.0), 100.0)]
    );
    let quota = fixture("zeros_dropped_exhausted_5h");
    assert_eq!(
        windows(&quota),
        [("5h", Some(100.0), Some(100.0), 0.0), ("7d", Some(100.0), Some(81.0), 19.0)]
    );
    assert_eq!(quota.worst().unwrap().name, "5h");
    // a zero ratio, dropped
    let answer = json!({ "usages": { "limit_5h": { "reset_time": "2026-11-22T21:05:00Z" } } });
    assert_eq!(left(&answer), [("5h".into(), 100.0)]);
    // both dropped: unused, a response will correct it
    assert_eq!(left(&json!({ "usage": { "limit": "100" } })), [("7d".into(), 100.0)]);
}

#[test]
fn the_worst_reading_of_a_window_counts() {
    let quota = fixture("ratios_beside_counts");
    assert_eq!(
        windows(&quota),
        [
            ("5h", None, None, 100.0),
            ("7d", Some(100.0), Some(90.0), 10.0),
            ("month", None, None, 75.0),
            ("month_code", None, None, 80.0),
        ]
    );
    let answer = json!({
        "usage": { "limit": "100", "used": "95", "remaining": "60" },
        "limits": [{ "window": { "duration": 300, "timeUnit": "TIME_UNIT_MINUTE" }, "detail": { "limit": "100", "used": "70" } }],
        "usages": { "limit_5h": { "used_ratio": 0 }, "limit_7d": { "used_ratio": "0.10" } },
    });
    assert_eq!(
        windows(&read(&answer)),
        [("5h", Some(100.0), Some(70.0), 30.0), ("7d", Some(100.0), Some(95.0), 5.0)]
    );
}

#[test]
fn what_the_worse_reading_leaves_out_comes_from_the_other() {
    let answer = json!({
        "usage": { "limit": "2048", "used": "100", "resetTime": "2026-11-29T05:20:51Z" },
        "usages": { "limit_7d": { "used_ratio": 1 } },
    });
    let quota = read(&answer);
    assert_eq!(windows(&quota), [("7d", Some(2048.0), Some(2048.0), 0.0)]);
    assert_eq!(resets(&quota), [Some("2026-11-29T05:20:51.000Z".into())]);
}

#[test]
fn requests_instead_of_percent() {
    let quota = fixture("requests_not_percent");
    assert_eq!(
        windows(&quota),
        [("5h", Some(300.0), Some(299.0), 0.33), ("7d", Some(2048.0), Some(512.0), 75.0)]
    );
    assert!(quota.extra_left);
}

#[test]
fn the_wallet() {
    assert!(fixture("wallet").extra_left);
    let wallet = |change: fn(&mut Value)| {
        let all: Value = serde_json::from_str(include_str!("../../../tests/data/usages.json")).unwrap();
        let mut answer = all["wallet"].clone();
        change(&mut answer["boosterWallet"]);
        read(&answer).extra_left
    };
    assert!(!wallet(|w| w["monthlyUsed"]["priceInCents"] = json!("2000")));
    assert!(wallet(|w| {
        w["monthlyUsed"]["priceInCents"] = json!("2000");
        w["monthlyChargeLimitEnabled"] = json!(false);
    }));
    assert!(!wallet(|w| w["balance"]["amountLeft"] = json!("0")));
    assert!(!wallet(|w| w["balance"]["amountLeft"] = json!(null)));
    assert!(!wallet(|w| w["balance"]["type"] = json!("OTHER")));
    assert!(!wallet(|w| w["status"] = json!("FROZEN")));
    assert!(wallet(|w| w["monthlyUsed"] = json!(null)));
    assert!(!wallet(|w| w["monthlyChargeLimit"] = json!({ "currency": "USD" })));
}

#[test]
fn extra_quota_used_up_is_dropped_too() {
    assert!(!read(&json!({ "totalQuota": { "limit": "1000" } })).extra_left);
    assert!(read(&json!({ "totalQuota": { "limit": "1000", "remaining": "1" } })).extra_left);
}

#[test]
fn older_shapes() {
    let quota = fixture("old_percent");
    assert_eq!(windows(&quota), [("quota", None, None, 42.5)]);
    let quota = fixture("old_data");
    assert_eq!(windows(&quota), [("quota", Some(120.0), Some(90.0), 25.0)]);
    assert_eq!(quota.email.as_deref(), Some("a@example.com"));
    let quota = fixture("old_reset_in");
    assert_eq!(windows(&quota), [("7d", Some(10.0), Some(7.0), 30.0), ("Burst", Some(4.0), Some(1.0), 75.0)]);
    assert_eq!(
        resets(&quota),
        [Some("2026-11-22T19:00:00.000Z".into()), Some("2026-11-22T18:01:00.000Z".into())]
    );
    for answer in [json!({ "remaining": 5, "total": 20 }), json!({ "remaining_quota": "5", "total": "20" })] {
        assert_eq!(left(&answer), [("quota".into(), 25.0)], "{answer}");
    }
    assert_eq!(left(&json!({ "data": { "remaining_percent": "7%" } })), [("quota".into(), 7.0)]);
}

#[test]
fn unknown_windows_are_kept_and_counted() {
    let quota = fixture("unknown_window");
    assert_eq!(
        windows(&quota),
        [("7d", Some(100.0), Some(10.0), 90.0), ("2 fortnight", Some(10.0), Some(10.0), 0.0)]
    );
    assert_eq!(quota.worst().unwrap().name, "2 fortnight");
    let answer = json!({
        "limits": [{ "detail": { "limit": 4, "used": 1 } }, { "detail": { "limit": 4, "used": 2, "title": "Peak" } }],
        "usages": { "limit_lunar": { "used_ratio": 0.5 } },
    });
    assert_eq!(left(&answer), [("Peak".into(), 50.0), ("limit 1".into(), 75.0), ("lunar".into(), 50.0)]);
}

#[test]
fn one_window_in_two_spellings() {
    let limit = |duration: u32, unit: &str, used: u32| json!({ "window": { "duration": duration, "timeUnit": unit }, "detail": { "limit": "100", "used": used } });
    let answer = json!({ "limits": [limit(300, "TIME_UNIT_MINUTE", 10), limit(5, "TIME_UNIT_HOUR", 75)] });
    assert_eq!(left(&answer), [("5h".into(), 25.0)]);
}

#[test]
fn every_name_of_a_reset() {
    for name in ["resetTime", "reset_time", "resetAt", "reset_at"] {
        for value in [json!("2026-11-22T21:05:00.123456789Z"), json!(1_795_381_500), json!("1795381500000")] {
            let quota = read(&json!({ "usage": { "limit": 10, "used": 1, name: value } }));
            assert!(
                resets(&quota)[0].as_deref().unwrap().starts_with("2026-11-22T21:05:00"),
                "{name} {value}"
            );
        }
    }
    for name in ["reset_in", "resetIn", "ttl", "window"] {
        let quota = read(&json!({ "usage": { "limit": 10, "used": 1, name: "90" } }));
        assert_eq!(resets(&quota), [Some("2026-11-22T18:01:30.000Z".into())], "{name}");
    }
    // a full window whose reset is past stays as it was said
    let quota = read(&json!({ "usage": { "limit": 10, "used": 10, "resetTime": "2026-11-20T00:00:00Z" } }));
    assert_eq!(windows(&quota), [("7d", Some(10.0), Some(10.0), 0.0)]);
    assert_eq!(resets(&quota), [Some("2026-11-20T00:00:00.000Z".into())]);
    for value in [json!("soon"), json!(null), json!(-5), json!("NaN"), json!({})] {
        assert_eq!(
            resets(&read(&json!({ "usage": { "limit": 10, "used": 1, "resetTime": value } }))),
            [None]
        );
    }
}

#[test]
fn odd_figures_are_safe() {
    for (usage, percent) in [
        (json!({ "limit": "100", "used": "-5" }), 100.0),
        (json!({ "limit": "100", "used": "250" }), 0.0),
        (json!({ "limit": "100", "remaining": "-3" }), 0.0),
        (json!({ "limit": "100", "remaining": "1000" }), 100.0),
        (json!({ "limit": "100", "used": "NaN", "remaining": "inf" }), 100.0),
        (json!({ "limit": "1e308", "used": "1e308" }), 0.0),
        (json!({ "limit": "0", "used": "3" }), 0.0),
        (json!({ "used_ratio": 1.7 }), 0.0),
        (json!({ "used_ratio": -1 }), 100.0),
    ] {
        assert_eq!(left(&json!({ "usage": usage })), [("7d".into(), percent)], "{usage}");
    }
    assert_eq!(
        read(&json!({ "usage": { "limit": 1 }, "parallel": { "limit": "1e99" } })).parallel_limit,
        Some(u32::MAX)
    );
    for limit in [json!("0"), json!("-1"), json!("many"), json!(null)] {
        assert_eq!(
            read(&json!({ "usage": { "limit": 1 }, "parallel": { "limit": limit } })).parallel_limit,
            None
        );
    }
}

#[test]
fn arrays_and_names_are_bounded() {
    let limits: Vec<Value> = (1..500)
        .map(|n| json!({ "window": { "duration": n, "timeUnit": "x".repeat(500) }, "detail": { "limit": 2, "used": 1 } }))
        .collect();
    let quota = read(&json!({ "user": { "userId": "u".repeat(9999) }, "limits": limits }));
    assert_eq!(quota.windows.len(), MAX_WINDOWS);
    assert!(quota.windows.iter().all(|window| window.name.chars().count() <= 40));
    assert_eq!(quota.account.unwrap().len(), MAX_TEXT);
}

#[test]
fn what_is_no_quota() {
    for body in ["", "<html>", "{"] {
        assert_eq!(parse(body.as_bytes(), now()), Err(QuotaError::NotJson), "{body}");
    }
    for body in [
        "null",
        "[]",
        "{}",
        r#"{"error":{"message":"no"}}"#,
        r#"{"user":{"userId":"u"},"usage":{},"limits":[],"usages":{}}"#,
        r#"{"usage":"100","limits":{"a":1},"usages":[1]}"#,
    ] {
        assert_eq!(parse(body.as_bytes(), now()), Err(QuotaError::NoQuota), "{body}");
    }
}

fn any_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "-?[0-9]{0,30}(\\.[0-9]{0,5})?%?".prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ]
}

fn any_figures() -> impl Strategy<Value = Value> {
    let names = [
        "limit",
        "used",
        "remaining",
        "total",
        "remain",
        "remaining_percent",
        "used_ratio",
        "resetTime",
        "ttl",
        "window",
        "reset_time",
        "duration",
        "timeUnit",
        "name",
    ];
    proptest::collection::btree_map(
        proptest::sample::select(names.to_vec()).prop_map(String::from),
        any_scalar(),
        0..8,
    )
    .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), now in any::<i64>()) {
        let _ = parse(&bytes, Time::from_millis(now));
    }

    #[test]
    fn any_answer_reads_within_bounds_and_survives_the_state_file(
        usage in any_figures(),
        limits in proptest::collection::vec((any_figures(), any_figures()), 0..40),
        member in ".{0,60}",
        ratio in any_figures(),
        parallel in any_figures(),
    ) {
        let limits: Vec<Value> =
            limits.into_iter().map(|(window, detail)| json!({ "window": window, "detail": detail })).collect();
        let answer = json!({
            "usage": usage, "limits": limits, "usages": { member: ratio }, "parallel": parallel, "totalQuota": usage,
        });
        if let Ok(quota) = parse(answer.to_string().as_bytes(), now()) {
            prop_assert!(quota.windows.len() <= MAX_WINDOWS);
            for window in &quota.windows {
                prop_assert!((0.0..=100.0).contains(&window.percent_left));
                prop_assert!(window.used.is_none_or(|used| used.is_finite() && used >= 0.0));
                prop_assert!(window.limit.is_none_or(|limit| limit.is_finite() && limit > 0.0));
            }
            let names: std::collections::BTreeSet<_> = quota.windows.iter().map(|window| &window.name).collect();
            prop_assert_eq!(names.len(), quota.windows.len());
            let saved = serde_json::to_string(&quota).unwrap();
            prop_assert!(serde_json::from_str::<Quota>(&saved).is_ok());
        }
    }
}
