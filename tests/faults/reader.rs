//! Programs on the control socket that ask and never read.

use std::time::Duration;

use kmi_tests::harness::control::Control;
use kmi_tests::harness::process::rss;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Daemon, Request, Setup};
use rustix::process::Signal;
use serde_json::json;

/// Connections that the control socket takes.
const CONNECTIONS: usize = 64;
const MIB: u64 = 1 << 20;

/// Follows the log and asks until nothing more is taken, without reading a byte.
async fn hung(daemon: &Daemon) -> Control {
    let mut control = daemon.control().await;
    let follow = r#"{"jsonrpc":"2.0","id":1,"method":"logs.tail","params":{"source":"app","follow":true}}"#;
    let ask = r#"{"jsonrpc":"2.0","id":2,"method":"daemon.status"}"#;
    control.send_raw(format!("{follow}\n").as_bytes()).await.unwrap();
    let many = format!("{ask}\n").repeat(100);
    // It is full when a piece is not taken for so long; how long does not matter to what follows.
    while tokio::time::timeout(Duration::from_millis(100), control.send_raw(many.as_bytes())).await.is_ok() {}
    control
}

#[tokio::test]
async fn hung_readers_cost_nobody_else_anything() {
    let mut daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let before = rss(daemon.pid());
    let mut readers = vec![hung(&daemon).await];
    for _ in 0..200 {
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    }
    daemon.rpc("keys.list", json!({})).await.unwrap();
    let grown = rss(daemon.pid()).saturating_sub(before);
    assert!(grown < 24 * MIB, "one that does not read costs {} KiB", grown / 1024);

    // The last place is taken: the next one is told, and what to do.
    while readers.len() < CONNECTIONS {
        readers.push(daemon.control().await);
    }
    let told = eventually("a refusal", || async {
        let mut control = Control::connect(&daemon.home.socket()).await.ok()?;
        let line = control.line().await?;
        line["error"]["message"].as_str().map(str::to_owned)
    })
    .await;
    assert!(told.contains("64 connections are open already; close one and try again"), "{told}");
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let still_hung = readers.swap_remove(0);
    drop(readers);
    eventually("the control socket to be free again", || async {
        let mut control = Control::connect(&daemon.home.socket()).await.ok()?;
        control.send_raw(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.hello\",\"params\":{\"client\":\"x\",\"version\":\"0\",\"protocol\":1}}\n").await.ok()?;
        control.line().await.filter(|line| line["result"].is_object())
    })
    .await;
    // Nor does it hold up the end.
    daemon.signal(Signal::TERM);
    assert!(within("the end", daemon.ended()).await.success());
    drop(still_hung);
}
