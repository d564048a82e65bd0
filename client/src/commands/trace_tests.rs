use super::*;
use crate::fixtures;
use serde_json::json;

fn entries() -> Vec<Value> {
    let entry = |ts: &str, key: Option<&str>, status: u16, outcome: &str| {
        json!({"ts": ts, "request_id": "r1", "method": "POST", "endpoint": "/chat/completions", "status": status,
            "latency_ms": 12_340, "ttfb_ms": 420, "key_label": key, "key_hash": "0123456789ab", "rotation_index": 1,
            "attempts": [{"key_label": "alpha", "status": 403, "outcome": "quota_cycle", "ms": 90},
                {"key_label": "beta", "status": 200, "outcome": "completed", "ms": 300}],
            "session": null, "prompt_hint": "", "prompt_head": "",
            "tokens": {"input": 51_000, "cached": 48_000, "output": 900}, "bytes_up": 1, "bytes_down": 2,
            "error_code": null, "outcome": outcome, "schema_version": 2})
    };
    let mut simple = entry("2026-11-23 12:00:05.000 +0300", Some("月之暗面"), 200, "completed");
    simple["attempts"] = json!([]);
    simple["tokens"] = json!(null);
    simple["latency_ms"] = json!(85);
    let mut refused = entry("2026-11-23 12:01:00.000 +0300", None, 429, "refused");
    refused["attempts"] = json!([]);
    refused["tokens"] = json!(null);
    let mut unreached = refused.clone();
    (unreached["status"], unreached["error_code"]) = (json!(502), json!("upstream_unreachable"));
    let mut without_keys = refused.clone();
    (without_keys["status"], without_keys["error_code"]) = (json!(403), json!("no_keys"));
    let mut newer = refused.clone();
    newer["error_code"] = json!("code_of_tomorrow");
    vec![
        entry("2026-11-23 12:00:00.123 +0300", Some("beta"), 200, "completed"),
        simple,
        entry("2026-11-23 12:00:30.000 +0300", Some("beta"), 0, "client_left"),
        refused,
        unreached,
        without_keys,
        newer,
        json!({"of": "tomorrow"}),
    ]
}

#[test]
fn lines_and_the_sum() {
    insta::assert_snapshot!(fixtures::looks(|view| {
        let mut tally = Tally::default();
        let lines: String = entries().iter().map(|entry| item_line(view, entry, &mut tally)).collect();
        format!("{lines}{}", tally.render(view))
    }));
}

#[test]
fn no_requests_yet() {
    let text = fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
        Tally::default().render(view)
    });
    assert_eq!(text, "no requests\n");
}

#[test]
fn requests_without_a_key_are_requests() {
    let text = fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
        let mut tally = Tally::default();
        let _ = item_line(view, &entries()[3], &mut tally);
        tally.render(view)
    });
    assert_eq!(text, "");
}

#[test]
fn quick_requests_make_no_absurd_rate() {
    let text = fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
        let mut tally = Tally::default();
        let mut quick = entries()[0].clone();
        for ts in ["2026-11-23 12:00:00.123 +0300", "2026-11-23 12:00:00.125 +0300"] {
            quick["ts"] = json!(ts);
            let _ = item_line(view, &quick, &mut tally);
        }
        tally.render(view)
    });
    assert!(text.ends_with("\nbeta         2  100 %       2.0\n"), "{text}");
}
