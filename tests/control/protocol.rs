//! JSON-RPC 2.0, one message a line.

use std::collections::BTreeMap;

use kmi_tests::harness::control::Control;
use kmi_tests::harness::process::{peak_rss, reset_peak, rss};
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Daemon, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
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
        (
            r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"daemon.status"}"#,
            -32600,
            Value::Null,
        ),
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
    // What was sent is repeated briefly: its whole length would leave no room for what is wrong with it.
    let label = "x".repeat(500_000);
    for method in ["keys.unblock", "keys.recheck", "quota.refresh"] {
        let error = control.call(method, json!({"label": label})).await.unwrap_err();
        assert_eq!((error.code, error.kind()), (-32011, "unknown_label"), "{method}");
        assert!(error.message.len() < 1000, "{method}: {} bytes", error.message.len());
    }
    let error = control.call("rotation.rotate", json!({"to": label})).await.unwrap_err();
    assert_eq!(error.kind(), "unknown_label");
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
async fn requests_on_one_connection_overlap() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let gate = Gate::closed();
    upstream.next(ANY, "/usages", Reply::json(200, &Usages::of("x").json()).head_after(&gate));
    let mut control = daemon.control().await;
    let call =
        |id: u64, method: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n");
    control.send_raw(call(100, "quota.refresh").as_bytes()).await.unwrap();
    upstream.nth("/usages", 2).await;
    // More than may run at once: the others wait their turn, and all are served while the first one takes its time.
    let lines: String = (0..50).map(|id| call(id, "keys.list")).collect();
    control.send_raw(lines.as_bytes()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..50 {
        let answer = control.line().await.unwrap();
        assert!(answer["result"]["keys"].is_array(), "{answer}");
        ids.push(answer["id"].as_u64().unwrap());
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..50).collect::<Vec<_>>());
    gate.open();
    let answer = control.line().await.unwrap();
    assert_eq!((&answer["id"], &answer["result"]["refreshed"]), (&json!(100), &json!(["alpha"])), "{answer}");
}

/// What waits behind a call that takes its time is held as it was sent, and no more of it than the bound.
#[tokio::test]
async fn batches_that_wait_take_little_memory() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let gate = Gate::closed();
    upstream.always(ANY, "/usages", {
        let gate = gate.clone();
        move |_| Reply::json(200, &Usages::of("x").json()).head_after(&gate)
    });
    let params = format!("[{}[]]", "[],".repeat(300_000));
    let batch = format!(
        "[{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"quota.refresh\"}},\
          {{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"no.such\",\"params\":{params}}}]\n"
    );
    reset_peak(daemon.pid());
    let before = rss(daemon.pid());
    let mut talks = Vec::new();
    for _ in 0..4 {
        let (mut control, batch) = (daemon.control().await, batch.clone());
        talks.push(tokio::spawn(async move {
            for _ in 0..8 {
                control.send_raw(batch.as_bytes()).await.unwrap();
            }
            for _ in 0..8 {
                let answers = control.line().await.unwrap();
                assert_eq!(answers[1]["error"]["code"], -32601, "{answers}");
            }
        }));
    }
    upstream.nth("/usages", 2).await;
    // By then the daemon has read what it reads.
    for _ in 0..50 {
        daemon.rpc("daemon.status", json!({})).await.unwrap();
    }
    gate.open();
    for talk in talks {
        within("the answers", talk).await.unwrap();
    }
    let grown = peak_rss(daemon.pid()).saturating_sub(before);
    assert!(grown < 128 << 20, "grew by {grown} bytes");
}

#[tokio::test]
async fn a_line_over_the_limit_is_answered_and_hurts_nobody() {
    let daemon = daemon().await;
    let mut control = daemon.control().await;
    let before = rss(daemon.pid());
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        control.send_raw(&chunk).await.unwrap();
    }
    control.send_raw(b"\n").await.unwrap();
    let answer = control.line().await.unwrap();
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32001), &Value::Null), "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "line_too_long");
    let grown = rss(daemon.pid()).saturating_sub(before);
    assert!(grown < 8 << 20, "grew by {grown} bytes");
    // It is said once, and the connection goes on.
    assert!(control.call("daemon.status", json!({})).await.is_ok());
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
    let answer = within("a refusal", last.line()).await.expect("the reason comes before the end");
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(-32002), &Value::Null), "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "too_many_connections");
    assert_eq!(last.line().await, None);
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
