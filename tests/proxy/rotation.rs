//! Which key serves: manual, failover, auto.

use std::collections::BTreeMap;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream, api};
use serde_json::json;

async fn serves(daemon: &Daemon) -> String {
    let answer = daemon.send(Request::get("/models")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.key().unwrap().to_owned()
}

async fn shares(daemon: &Daemon, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(serves(daemon).await).or_default() += 1;
    }
    shares
}

#[tokio::test]
async fn the_first_active_key_is_the_first_in_pool_order() {
    let upstream = Upstream::start().await;
    let vip = "KMI_API_KEY=sk-kimi-zvip-0123456789\nKMI_KEY_PRIORITY=5\n";
    let setup = Setup::live(&upstream).keys(&["beta", "Alpha"]).file(".kmi/_auths/zvip.env", vip);
    let daemon = setup.start().await;
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    let labels: Vec<_> =
        list["keys"].as_array().unwrap().iter().map(|k| k["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["zvip", "Alpha", "beta"]);
    assert_eq!(serves(&daemon).await, "zvip");
}

#[tokio::test]
async fn manual_stays_until_a_person_switches() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    assert_eq!(shares(&daemon, 4).await, BTreeMap::from([("alpha".into(), 4)]));
    let rotated = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    assert_eq!(
        (&rotated["active"], &rotated["previous"], &rotated["rotated"]),
        (&json!("beta"), &json!("alpha"), &json!(true))
    );
    assert_eq!(shares(&daemon, 3).await, BTreeMap::from([("beta".into(), 3)]));
}

#[tokio::test]
async fn failover_stays_on_the_key_that_it_went_to() {
    let upstream = Upstream::start().await;
    upstream.next(&key_of("alpha"), "/models", Reply::openai_error(402, "", "membership"));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).may_switch().start().await;
    assert_eq!(shares(&daemon, 4).await, BTreeMap::from([("beta".into(), 4)]));
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["active_key"], "beta");
}

#[tokio::test]
async fn auto_goes_round_among_ready_keys() {
    let upstream = Upstream::start().await;
    upstream
        .always(&key_of("warm"), "/usages", |_| Reply::json(200, &Usages::of("warm").used(10, 85).json()));
    let daemon = Setup::live(&upstream).keys(&["a", "b", "c", "warm"]).may_switch().start().await;
    daemon.quotas_read().await;
    assert_eq!(daemon.key("warm").await["state"], "warn");
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let even: BTreeMap<String, usize> = ["a", "b", "c"].map(|l| (l.to_owned(), 4)).into();
    assert_eq!(shares(&daemon, 12).await, even);
    daemon.rpc("rotation.auto", json!({"enabled": false})).await.unwrap();
    assert_eq!(shares(&daemon, 5).await.len(), 1);
}

#[tokio::test]
async fn auto_uses_warn_keys_when_told_or_when_no_other_is_left() {
    let upstream = Upstream::start().await;
    upstream
        .always(&key_of("warm"), "/usages", |_| Reply::json(200, &Usages::of("warm").used(10, 85).json()));
    let setup = Setup::live(&upstream).keys(&["a", "warm"]).may_switch().env("KMI_ROTATE_INCLUDE_WARN", "1");
    let daemon = setup.start().await;
    daemon.key_is("warm", "warn").await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    assert_eq!(shares(&daemon, 6).await, BTreeMap::from([("a".into(), 3), ("warm".into(), 3)]));
    drop(daemon);

    let daemon = Setup::live(&upstream).keys(&["a", "warm"]).may_switch().start().await;
    daemon.key_is("warm", "warn").await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    upstream.next(&key_of("a"), "/models", Reply::openai_error(402, "", "membership"));
    assert_eq!(shares(&daemon, 3).await, BTreeMap::from([("warm".into(), 3)]));
}

#[tokio::test]
async fn a_cap_of_the_account_is_kept() {
    let upstream = Upstream::start().await;
    let mut usages = Usages::of("one");
    usages.parallel = Some(2);
    upstream.always(&key_of("alpha"), "/usages", move |_| Reply::json(200, &usages.json()));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    let gate = Gate::closed();
    for _ in 0..3 {
        upstream.next(ANY, "/models", Reply::status(200).head_after(&gate));
    }
    let mut connections = Vec::new();
    for n in 1..=3 {
        let mut connection = daemon.connect().await;
        connection.send(&Request::get("/models")).await;
        upstream.nth("/models", n).await;
        connections.push(connection);
    }
    assert_eq!(upstream.keys_at("/models"), ["alpha", "alpha", "beta"].map(key_of));
    gate.open();
    for mut connection in connections {
        assert_eq!(connection.answer().await.status, 200);
    }
}

#[tokio::test]
async fn half_open_lets_one_request_decide() {
    let upstream = Upstream::start().await;
    upstream.next(&key_of("alpha"), "/models", Reply::openai_error(402, "", "membership"));
    let setup = Setup::live(&upstream).keys(&["alpha"]).may_switch();
    let daemon = setup.env("KMI_QUEUE_MAX_WAIT_SECONDS", "0").start().await;
    // No other key is left, so kmid says how this one stands.
    let refused = daemon.send(Request::get("/models")).await;
    assert_eq!((refused.status, refused.by_kmid()), (403, true), "{refused:?}");
    assert!(refused.text().contains("alpha is blocked"), "{}", refused.text());
    daemon.key_is("alpha", "blocked").await;
    let checked = daemon.rpc("keys.recheck", json!({})).await.unwrap();
    assert_eq!((&checked["cleared"], &checked["still_blocked"]), (&json!(["alpha"]), &json!([])));
    // One probe is on its way; a second request must not follow it.
    let gate = Gate::closed();
    upstream.next(&key_of("alpha"), "/chat/completions", Reply::json(200, &api::chat()).head_after(&gate));
    let mut probe = daemon.connect().await;
    probe.send(&Request::chat()).await;
    upstream.nth("/chat/completions", 1).await;
    assert!(daemon.send(Request::get("/models")).await.by_kmid());
    gate.open();
    assert_eq!(probe.answer().await.status, 200);
    daemon.key_is("alpha", "ready").await;
    assert_eq!(serves(&daemon).await, "alpha");
}
