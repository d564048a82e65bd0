use serde_json::json;

use super::*;
use crate::fixtures;

fn entry() -> TraceEntry {
    let decision = serde_json::to_value(fixtures::decision()).expect("JSON");
    serde_json::from_value(json!({"ts": "2026-11-23 12:00:05.000 +0300", "request_id": "36096089eefd36b0",
        "method": "POST", "endpoint": "/chat/completions", "status": 200, "latency_ms": 12_340, "ttfb_ms": 420,
        "key_label": "beta", "key_hash": "0123456789ab", "rotation_index": 1,
        "attempts": [
            {"key_label": "alpha", "status": 402, "outcome": "payment", "ms": 90, "decision": decision},
            {"key_label": "beta", "status": 200, "outcome": "completed", "ms": 12_000}],
        "session": "0011223344556677", "tokens": null, "bytes_up": 1, "bytes_down": 2, "error_code": null,
        "outcome": "completed", "schema_version": 2}))
    .expect("an entry")
}

#[test]
fn every_attempt_with_its_choice() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &entry())));
}

#[test]
fn a_request_that_was_refused_at_the_door() {
    let mut entry = entry();
    entry.attempts.clear();
    entry.session = None;
    entry.client_name = Some("laptop".into());
    (entry.status, entry.outcome) = (429, "refused".into());
    let mut refused = fixtures::decision();
    refused.candidates.retain(|candidate| candidate.obstacle.is_some());
    entry.refused = Some(refused);
    let text =
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| render(view, &entry));
    assert!(text.contains("no key was tried") && text.contains("client laptop"), "{text}");
    assert!(text.contains("no key could serve") && text.contains("quota used up; ends"), "{text}");
}
