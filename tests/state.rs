//! `state.json` through crashes, upgrades and accidents.

use std::fs;

use kmi_tests::harness::Setup;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::files::tree;
use kmi_tests::upstream::api;
use serde_json::{Value, json};

#[tokio::test]
async fn an_unreadable_state_is_set_aside_and_said() {
    for (n, content) in
        ["", "{\"schema_version\": 2, \"keys\": {", "null", "[1,2,3]", "\u{0}\u{1}"].into_iter().enumerate()
    {
        let daemon = Setup::dry_run().keys(&["alpha"]).file(".kmi/state.json", content).start().await;
        let aside: Vec<_> = tree(&daemon.home.state_dir())
            .into_iter()
            .filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("state.json.corrupt-"))
            .collect();
        assert_eq!(aside.len(), 1, "case {n}: {aside:?}");
        assert_eq!(fs::read_to_string(&aside[0]).unwrap(), content);
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        let said = status["issues"].as_array().unwrap().iter().any(|i| i["kind"] == "state");
        assert!(said, "case {n}: {status}");
        assert_eq!(daemon.key("alpha").await["state"], "ready");
    }
}

#[tokio::test]
async fn a_newer_state_is_refused_and_untouched() {
    let content = "{\"schema_version\": 3, \"future\": true}";
    let (ran, home) = Setup::dry_run().keys(&["alpha"]).file(".kmi/state.json", content).fails().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains('3') && ran.err.contains("state.json"), "{}", ran.err);
    assert_eq!(fs::read_to_string(home.state_dir().join("state.json")).unwrap(), content);
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn the_predecessors_state_is_taken_over() {
    let until = api::reset().to_string();
    let v1 = json!({"schema_version": 1, "active_index": 1, "rotation_index": 7, "auto_rotate": true,
        "last_health_refresh": "2026-02-02T12:00:00Z",
        "keys": {
            "alpha": {"last_used": "2026-02-02T11:00:00Z", "request_count": 3, "error_401": 0, "error_403": 0,
                "error_429": 1, "error_5xx": 2, "exhausted_until": null, "blocked_until": null, "blocked_reason": null},
            "beta": {"last_used": null, "request_count": 5, "error_401": 4, "error_403": 1, "error_429": 0,
                "error_5xx": 0, "exhausted_until": until, "blocked_until": null, "blocked_reason": null},
            "gamma": {"last_used": null, "request_count": 0, "error_401": 0, "error_403": 0, "error_429": 0,
                "error_5xx": 0, "exhausted_until": null, "blocked_until": until, "blocked_reason": "payment"}}});
    let daemon = Setup::dry_run()
        .keys(&["alpha", "beta", "gamma"])
        .may_switch()
        .file(".kmi/state.json", v1.to_string())
        .start()
        .await;
    let alpha = daemon.key("alpha").await;
    assert_eq!(
        (&alpha["requests"], &alpha["errors"]["429"], &alpha["errors"]["5xx"]),
        (&json!(3), &json!(1), &json!(2))
    );
    assert!(alpha["last_used"].as_str().unwrap().starts_with("2026-02-02T11:00:00"));
    let beta = daemon.key("beta").await;
    assert_eq!((&beta["state"], &beta["errors"]["401"]), (&json!("cooling"), &json!(4)));
    assert_eq!(beta["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap(), api::reset());
    assert_eq!(daemon.key("gamma").await["state"], "blocked");
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!((&status["active_key"], &status["rotation"]["auto_rotate"]), (&json!("beta"), &json!(true)));
    let kept = fs::read_to_string(daemon.state_path("state.json.v1")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&kept).unwrap(), v1);
    let home = daemon.stopped().await;
    let now: Value = serde_json::from_slice(&fs::read(home.state_dir().join("state.json")).unwrap()).unwrap();
    assert_eq!(now["schema_version"], 2);
    assert_eq!(now["keys"].as_object().unwrap().len(), 3, "by fingerprint: {now}");
    let daemon = Setup::in_home(home).start().await;
    assert_eq!(daemon.key("beta").await["state"], "cooling");
}

#[tokio::test]
async fn the_predecessors_active_key_counts_only_among_the_same_keys() {
    // One that is gone, one that is new, and the same.
    for (then, active) in [
        (json!({"alpha": {}, "gone": {}}), "alpha"),
        (json!({"beta": {}}), "alpha"),
        (json!({"alpha": {}, "beta": {}}), "beta"),
    ] {
        let v1 = json!({"schema_version": 1, "active_index": 1, "keys": then});
        let setup = Setup::dry_run().keys(&["alpha", "beta"]).file(".kmi/state.json", v1.to_string());
        let status = setup.start().await.rpc("daemon.status", json!({})).await.unwrap();
        assert_eq!(status["active_key"], active, "{v1}");
    }
}

#[tokio::test]
async fn counters_and_the_active_key_outlive_a_restart() {
    let daemon = Setup::dry_run().keys(&["alpha", "beta"]).start().await;
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    for _ in 0..3 {
        assert_eq!(daemon.send(kmi_tests::harness::Request::get("/models")).await.status, 200);
    }
    let home = daemon.stopped().await;
    let state = fs::read_to_string(home.state_dir().join("state.json")).unwrap();
    assert!(!state.contains(&key_of("beta")), "a key is in the state");
    let daemon = Setup::in_home(home).start().await;
    assert_eq!(daemon.key("beta").await["requests"], 3);
    assert_eq!(daemon.key("beta").await["active"], true);
}
