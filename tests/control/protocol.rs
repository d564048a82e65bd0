//! JSON-RPC 2.0, one message a line.

use std::collections::BTreeMap;

use kmi_tests::harness::control::Control;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Daemon, Setup};
use serde_json::{Value, json};

async fn daemon() -> Daemon {
    Setup::dry_run().keys(&["alpha"]).start().await
}

async fn raw(control: &mut Control, line: &str) -> Value {
    control.send_raw(format!("{line}\n").as_bytes()).await.unwrap();
    control.line().await.unwrap()
}

#[tokio::test]
async fn errors_are_the_specifications() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    let cases = [
        ("{not json", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        ("17", -32600, Value::Null),
        (r#"{"jsonrpc":"1.0","id":1,"method":"daemon.status"}"#, -32600, json!(1)),
        (r#"{"jsonrpc":"2.0","id":2}"#, -32600, json!(2)),
        (r#"{"jsonrpc":"2.0","id":"three","method":"no.such"}"#, -32601, json!("three")),
        (
            r#"{"jsonrpc":"2.0","id":4,"method":"rotation.auto","params":{"enabled":"maybe"}}"#,
            -32602,
            json!(4),
        ),
        (
            r#"{"jsonrpc":"2.0","id":5,"method":"logs.tail","params":{"source":"nowhere","follow":false}}"#,
            -32602,
            json!(5),
        ),
        (
            r#"{"jsonrpc":"2.0","id":6,"method":"requests.tail","params":{"since":"yesterday","follow":false}}"#,
            -32602,
            json!(6),
        ),
    ];
    for (line, code, id) in cases {
        let answer = raw(&mut control, line).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{line}: {answer}");
        assert!(answer["error"]["message"].is_string() && answer["result"].is_null(), "{answer}");
    }
    // The last one says what is allowed.
    let error = control.call("requests.tail", json!({"since": "soon", "follow": false})).await.unwrap_err();
    assert!(error.message.contains("10m"), "{error:?}");
    // And the connection still works.
    assert_eq!(control.call("daemon.status", json!({})).await.unwrap()["proxy"]["running"], true);
}

#[tokio::test]
async fn ids_come_back_as_they_were_and_params_may_be_missing() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    for id in [json!(0), json!(-7), json!("x"), json!(9_007_199_254_740_993_u64)] {
        let answer =
            raw(&mut control, &format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"daemon.status"}}"#)).await;
        assert_eq!(answer["id"], id);
        assert!(answer["result"]["daemon"]["version"].is_string());
    }
}

#[tokio::test]
async fn notifications_get_no_answer_and_batches_get_one() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    control.send_raw(b"{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}\n").await.unwrap();
    control.send_raw(b"{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}\n").await.unwrap();
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"daemon.status"},{"jsonrpc":"2.0","method":"daemon.status"},3,{"jsonrpc":"2.0","id":2,"method":"no.such"}]"#;
    let answers = raw(&mut control, batch).await;
    let by_id: BTreeMap<String, &Value> =
        answers.as_array().unwrap().iter().map(|answer| (answer["id"].to_string(), answer)).collect();
    assert_eq!(by_id.len(), 3, "{answers}");
    assert!(by_id["1"]["result"].is_object());
    assert_eq!(by_id["2"]["error"]["code"], -32601);
    assert_eq!(by_id["null"]["error"]["code"], -32600);
    // A batch of notifications alone has no answer at all: the next line is the next call's.
    control.send_raw(b"[{\"jsonrpc\":\"2.0\",\"method\":\"daemon.status\"}]\n").await.unwrap();
    assert!(control.call("keys.list", json!({})).await.is_ok());
}

#[tokio::test]
async fn requests_on_one_connection_may_overlap() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    let mut lines = String::new();
    for id in 0..50 {
        lines.push_str(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"keys.list\"}}\n"));
    }
    control.send_raw(lines.as_bytes()).await.unwrap();
    let (mut ids, mut served) = (Vec::new(), 0);
    for _ in 0..50 {
        let answer = control.line().await.unwrap();
        // What one connection may have in flight is bounded; past that the answer says so and names the request.
        assert!(answer["result"].is_object() || answer["error"]["data"]["kind"] == "busy", "{answer}");
        served += usize::from(answer["result"].is_object());
        ids.push(answer["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    assert!(served >= 16, "only {served} were served at once");
}

#[tokio::test]
async fn a_line_over_the_limit_is_answered_and_hurts_nobody() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    let rss = kmi_tests::harness::process::rss(daemon.pid());
    // It may close in the middle; that is one of the two allowed endings.
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        if control.send_raw(&chunk).await.is_err() {
            break;
        }
    }
    let _ = control.send_raw(b"\n").await;
    if let Some(answer) = control.line().await {
        assert!(answer["error"]["code"].is_i64() && answer["id"].is_null(), "{answer}");
    }
    let grown = kmi_tests::harness::process::rss(daemon.pid()).saturating_sub(rss);
    assert!(grown < 8 << 20, "grew by {grown} bytes");
    assert!(daemon.rpc("daemon.status", json!({})).await.is_ok());
}

#[tokio::test]
async fn silent_connections_are_bounded_and_stop_nobody() {
    let daemon = daemon().await;
    let mut silent = Vec::new();
    for _ in 0..63 {
        silent.push(daemon.control().await);
    }
    // The 64th works, as soon as the daemon has seen that earlier callers are gone.
    let ask = || async {
        let mut control = Control::connect(&daemon.home.socket()).await.ok()?;
        control.send_raw(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.status\"}\n").await.ok()?;
        control.line().await.filter(|answer| answer["result"].is_object())
    };
    eventually("an answer on the 64th connection", ask).await;
    // Past the limit a connection is refused visibly, not left hanging.
    for _ in 0..4 {
        silent.push(daemon.control().await);
    }
    let last = silent.last_mut().unwrap();
    let answer = within("a refusal", last.line()).await;
    assert!(answer.is_none_or(|a| a["error"].is_object()));
    drop(silent);
    eventually("room for a connection", ask).await;
}

#[tokio::test]
async fn hello_exchanges_versions() {
    let daemon = daemon().await;
    let params = json!({"client": "kmi", "version": "0.0.0", "protocol": 1});
    let hello = daemon.rpc("daemon.hello", params).await.unwrap();
    assert_eq!(hello["pid"], daemon.pid());
    assert!(hello["protocol"].as_u64().unwrap() >= 1 && hello["capabilities"].is_array(), "{hello}");
}
