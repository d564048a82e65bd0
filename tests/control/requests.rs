//! `requests.tail`: the trace, from disk and live, without a seam.

use kmi_tests::harness::control::Control;
use kmi_tests::harness::files::rotated_lines;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::{Value, json};

async fn requests(daemon: &Daemon, from: usize, to: usize) {
    let mut connection = daemon.connect().await;
    for n in from..to {
        assert_eq!(connection.exchange(Request::get(&format!("/models?n={n}"))).await.status, 200);
    }
}

async fn tail(daemon: &Daemon, params: Value) -> Control {
    let mut control = daemon.control().await;
    let result = control.call("requests.tail", params).await.unwrap();
    assert!(!result["subscription"].is_null(), "{result}");
    control
}

/// Items to the end of a stream that does not follow.
async fn drain(control: &mut Control) -> Vec<Value> {
    let mut items = Vec::new();
    loop {
        let (method, mut params) = control.notification().await;
        match method.as_str() {
            "stream.item" => items.push(params["item"].take()),
            "stream.end" => return items,
            _ => panic!("{method}: {params}"),
        }
    }
}

fn ids(items: &[Value]) -> Vec<String> {
    items.iter().map(|item| item["request_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_entry_has_every_field() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let answer = daemon.send(Request::chat()).await;
    let mut control = tail(&daemon, json!({"follow": true})).await;
    let entry = control.item().await;
    assert_eq!(entry["request_id"].as_str(), answer.fields.get("x-kmi-request-id"));
    for (field, value) in [
        ("method", json!("POST")),
        ("endpoint", json!("/chat/completions")),
        ("status", json!(200)),
        ("key_label", json!("alpha")),
        ("prompt_hint", json!("")),
        ("prompt_head", json!("")),
        ("outcome", json!("completed")),
        ("error_code", Value::Null),
        ("schema_version", json!(2)),
    ] {
        assert_eq!(entry[field], value, "{field}: {entry}");
    }
    let ts = entry["ts"].as_str().unwrap();
    let parsed = jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f %z", ts).and_then(|t| t.to_timestamp());
    assert!(parsed.is_ok(), "{ts}: {parsed:?}");
    assert!(ts.ends_with(" +0000") && ts.len() == "2026-02-02 12:00:00.123 +0300".len(), "{ts}");
    assert_eq!(entry["key_hash"].as_str().unwrap().len(), 12);
    assert!(entry["latency_ms"].is_u64() && entry["ttfb_ms"].is_u64() && entry["rotation_index"].is_u64());
    assert_eq!(entry["attempts"][0]["status"], 200);
    assert!(entry["tokens"]["input"].as_u64().unwrap() > 0, "{entry}");
    assert!(entry["bytes_up"].as_u64().unwrap() > 0 && entry["bytes_down"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn across_rotated_files_nothing_is_lost_or_doubled() {
    let setup = Setup::dry_run().keys(&["alpha"]).env("KMI_TRACE_MAX_MB", "1").env("KMI_TRACE_BACKUPS", "9");
    // Old lines fill the file nearly up, so that the rotation happens under the readers' eyes.
    let old: String = (0..2000)
        .map(|n| {
            format!(
                "{{\"ts\":\"2026-02-02 12:00:00.000 +0000\",\"request_id\":\"old-{n}\",\"method\":\"GET\",\"endpoint\":\"/models\",\
                 \"status\":200,\"latency_ms\":1,\"ttfb_ms\":1,\"key_label\":\"alpha\",\"key_hash\":\"000000000000\",\"rotation_index\":0,\
                 \"attempts\":[],\"session\":null,\"prompt_hint\":\"\",\"prompt_head\":\"\",\"tokens\":null,\"bytes_up\":0,\"bytes_down\":0,\
                 \"error_code\":null,\"outcome\":\"completed\",\"schema_version\":2,\"pad\":\"{}\"}}\n",
                "x".repeat(110)
            )
        })
        .collect();
    assert!(old.len() > 900_000 && old.len() < 1_000_000, "{}", old.len());
    let daemon = setup.file(".kmi/trace/trace.jsonl", &old).start().await;
    requests(&daemon, 0, 50).await;
    // One reader in the middle of it all, while more requests come.
    let (mut control, ()) = tokio::join!(tail(&daemon, json!({"follow": true})), requests(&daemon, 50, 500));
    let mut items = Vec::new();
    for _ in 0..2500 {
        items.push(control.item().await);
    }
    let seen = ids(&items);
    let mut distinct = seen.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 2500, "lines are doubled");
    assert!(seen[..2000].iter().enumerate().all(|(n, id)| *id == format!("old-{n}")), "out of order");
    let path = daemon.state_path("trace/trace.jsonl");
    assert!(path.with_extension("jsonl.1").exists(), "it never rotated");
    let on_disk: Vec<Value> =
        rotated_lines(&path).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&on_disk), seen);
}

#[tokio::test]
async fn limit_since_and_no_follow() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    requests(&daemon, 0, 10).await;
    daemon.traces(10).await;
    let mut all = tail(&daemon, json!({"follow": false})).await;
    let all = ids(&drain(&mut all).await);
    assert_eq!(all.len(), 10);
    let mut newest = tail(&daemon, json!({"follow": false, "limit": 3})).await;
    assert_eq!(ids(&drain(&mut newest).await), all[7..]);
    for since in ["1h", "2d", "90s", "2020-01-01T00:00:00Z"] {
        let mut recent = tail(&daemon, json!({"follow": false, "since": since})).await;
        assert_eq!(ids(&drain(&mut recent).await), all, "{since}");
    }
    let mut none = tail(&daemon, json!({"follow": false, "since": "2098-01-01T00:00:00Z"})).await;
    assert!(drain(&mut none).await.is_empty());
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_told_what_it_missed_and_slows_nobody() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let mut slow = tail(&daemon, json!({"follow": true})).await;
    let mut connection = daemon.connect().await;
    let rss = kmi_tests::harness::process::rss(daemon.pid());
    // Long targets make long lines: enough of them to fill the socket's buffers and the stream's bound.
    let pad = "x".repeat(3000);
    let total = 6000;
    for n in 0..total {
        let answer = connection.exchange(Request::get(&format!("/models/{n}/{pad}"))).await;
        assert!(answer.fields.has("x-kmi-request-id"));
    }
    let grown = kmi_tests::harness::process::rss(daemon.pid()).saturating_sub(rss);
    assert!(grown < 32 << 20, "grew by {grown} bytes");
    let (mut items, mut dropped) = (0, 0);
    while items + dropped < total {
        let (method, params) = slow.notification().await;
        match method.as_str() {
            "stream.item" => items += 1,
            "stream.dropped" => dropped += params["count"].as_u64().unwrap(),
            _ => panic!("{method}: {params}"),
        }
    }
    assert_eq!(items + dropped, total);
    assert!(dropped > 0, "nothing was dropped: the test did not fill the bound");
}

#[tokio::test]
async fn a_stream_can_be_cancelled_and_the_connection_goes_on() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let mut control = daemon.control().await;
    let subscription =
        control.call("requests.tail", json!({"follow": true})).await.unwrap()["subscription"].clone();
    requests(&daemon, 0, 1).await;
    let (method, params) = control.notification().await;
    assert_eq!((method.as_str(), &params["subscription"]), ("stream.item", &subscription));
    control.call("stream.cancel", json!({"subscription": subscription})).await.unwrap();
    requests(&daemon, 1, 3).await;
    daemon.traces(3).await;
    // Another stream on the same connection ends behind all that the first one would still have sent.
    let other =
        control.call("requests.tail", json!({"follow": false})).await.unwrap()["subscription"].clone();
    let mut items = 0;
    loop {
        let (method, params) = control.notification().await;
        match method.as_str() {
            "stream.item" => {
                assert_eq!(params["subscription"], other, "the cancelled stream goes on: {params}");
                items += 1;
            }
            "stream.end" if params["subscription"] == other => break,
            "stream.end" => assert_eq!(params["subscription"], subscription),
            _ => panic!("{method}: {params}"),
        }
    }
    assert_eq!(items, 3);
}

#[tokio::test]
async fn one_request_is_found_by_its_id() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let answer = daemon.send(Request::chat()).await;
    daemon.send(Request::chat()).await;
    daemon.traces(2).await;
    let id = answer.fields.get("x-kmi-request-id").unwrap();
    let found = daemon.rpc("requests.get", json!({"request_id": id})).await.unwrap();
    assert_eq!((found["request_id"].as_str(), found["key_label"].as_str()), (Some(id), Some("alpha")));
    let error = daemon.rpc("requests.get", json!({"request_id": "0123456789abcdef"})).await.unwrap_err();
    assert_eq!(error.kind(), "unknown_request");
    let error = daemon.rpc("requests.get", json!({"request_id": "../../etc"})).await.unwrap_err();
    assert_eq!(error.code, -32602);
}
