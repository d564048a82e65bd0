//! `logs.tail`

use kmi_tests::harness::control::Control;
use kmi_tests::harness::{Daemon, Request, Setup};
use serde_json::{Value, json};

async fn tail(daemon: &Daemon, params: Value) -> Control {
    let mut control = daemon.control().await;
    control.call("logs.tail", params).await.unwrap();
    control
}

/// A line of either log as text: `kmi.log` may come as the object that it holds.
fn text(item: &Value) -> String {
    item.as_str().map_or_else(|| item.to_string(), str::to_owned)
}

#[tokio::test]
async fn both_logs_follow_what_happens() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    for source in ["app", "daemon"] {
        let mut control = tail(&daemon, json!({"source": source, "lines": 0, "follow": true})).await;
        let answer = daemon.send(Request::get("/models")).await;
        let id = answer.fields.get("x-kmi-request-id").unwrap();
        loop {
            let line = text(&control.item().await);
            if line.contains(id) {
                if source == "app" {
                    assert!(line.contains("proxy_request"), "{line}");
                }
                break;
            }
        }
    }
}

#[tokio::test]
async fn lines_bounds_the_backlog_and_the_stream_ends() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    for _ in 0..20 {
        daemon.send(Request::get("/models")).await;
    }
    daemon.traces(20).await;
    let mut control = tail(&daemon, json!({"source": "daemon", "lines": 5, "follow": false})).await;
    let mut lines = 0;
    loop {
        let (method, _) = control.notification().await;
        if method == "stream.end" {
            break;
        }
        lines += 1;
    }
    assert_eq!(lines, 5);
}

#[tokio::test]
async fn times_follow_the_zone_and_audits_name_the_actor() {
    let setup = Setup::dry_run().keys(&["alpha", "beta"]).env("KMI_TIMEZONE", "+03:00");
    let daemon = setup.env("KMI_AUDIT_ACTOR", "ann").start().await;
    daemon.send(Request::get("/models")).await;
    assert!(daemon.traces(1).await[0]["ts"].as_str().unwrap().ends_with(" +0300"));
    let mut control = tail(&daemon, json!({"source": "app", "follow": true})).await;
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    let audit = loop {
        let line: Value = serde_json::from_str(&text(&control.item().await)).unwrap();
        assert!(line["ts"].as_str().unwrap().ends_with(" +0300"), "{line}");
        if line["message"] == "audit_event" {
            break line;
        }
    };
    assert_eq!((&audit["action"], &audit["actor"]), (&json!("key_rotated"), &json!("ann")), "{audit}");
}

#[tokio::test]
async fn the_app_log_is_json_with_the_names_that_people_search_for() {
    let daemon = Setup::dry_run().keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.send(Request::get("/models")).await;
    daemon.send(Request::get("/models").field("Origin", "https://evil.example")).await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    daemon.traces(1).await;
    let path = daemon.state_path("logs/kmi.log");
    let wanted = ["proxy_request", "proxy_unauthorized", "audit_event"];
    let lines = kmi_tests::harness::wait::eventually("the events in kmi.log", || async {
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        wanted.iter().all(|name| content.contains(name)).then_some(content)
    })
    .await;
    for line in lines.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(
            entry["ts"].is_string() && entry["level"].is_string() && entry["message"].is_string(),
            "{line}"
        );
    }
    let audit: Value =
        serde_json::from_str(lines.lines().find(|l| l.contains("auto_rotate_enabled")).unwrap()).unwrap();
    assert_eq!((&audit["message"], &audit["action"]), (&json!("audit_event"), &json!("auto_rotate_enabled")));
    assert!(audit["actor"].is_string(), "{audit}");
}

/// Something that is no file stands among those of the lines: not even root can open that.
#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_no_stream() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let _no_files = ["trace/trace.jsonl.1", "logs/kmi.log.1"]
        .map(|name| std::os::unix::net::UnixListener::bind(daemon.state_path(name)).unwrap());
    for (method, params) in [
        ("requests.tail", json!({"follow": false})),
        ("requests.get", json!({"request_id": "0123"})),
        ("logs.tail", json!({"source": "app", "follow": false})),
    ] {
        let error = daemon.rpc(method, params).await.unwrap_err();
        assert_eq!((error.code, error.kind()), (-32020, "log_unreadable"), "{method}: {error:?}");
        assert!(error.message.contains("check its permissions"), "{error:?}");
    }
}
