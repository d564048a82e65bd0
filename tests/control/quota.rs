//! `quota.*` and the refresher behind it.

use kmi_tests::harness::Setup;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use serde_json::json;

#[tokio::test]
async fn every_key_is_read_at_the_start_with_its_own_key_four_at_once() {
    let upstream = Upstream::start().await;
    let (first, rest) = (Gate::closed(), Gate::closed());
    for number in 0..8 {
        let gate = if number < 4 { &first } else { &rest };
        upstream.next(ANY, "/usages", Reply::json(200, &Usages::of("x").json()).head_after(gate));
    }
    let labels = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let daemon = Setup::live(&upstream).keys(&labels).start().await;
    upstream.nth("/usages", 4).await;
    // The daemon answers while nothing has been read, and no fifth reading has begun.
    assert!(daemon.rpc("keys.list", json!({})).await.is_ok());
    assert_eq!(upstream.at("/usages").len(), 4);
    first.open();
    // The others follow at once and together: by the pauses between two readings it would take minutes.
    upstream.nth("/usages", 8).await;
    assert_eq!(upstream.in_flight("/usages"), 4);
    let mut keys = upstream.keys_at("/usages");
    keys.sort();
    assert_eq!(keys, labels.map(key_of));
    rest.open();
    daemon.quotas_read().await;
}

#[tokio::test]
async fn a_refresh_brings_fresh_figures_and_a_failure_keeps_the_last() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    upstream.next(&key_of("alpha"), "/usages", Reply::json(200, &Usages::of("x").used(40, 50).json()));
    upstream.next(&key_of("beta"), "/usages", Reply::status(500));
    let refreshed = daemon.rpc("quota.refresh", json!({})).await.unwrap();
    assert_eq!(refreshed["refreshed"], json!(["alpha"]));
    assert_eq!(refreshed["failed"][0]["label"], "beta");
    assert!(refreshed["failed"][0]["error"].as_str().unwrap().contains("500"), "{refreshed}");
    let alpha = daemon.key("alpha").await;
    assert_eq!(alpha["windows"][0]["percent_left"], 60.0);
    let beta = daemon.key("beta").await;
    assert_eq!(beta["windows"][0]["percent_left"], 97.0);
    assert!(beta["refresh_error"].is_string(), "{beta}");
    assert!(beta["windows"][0]["read_at"].is_string());
    // `keys.list` with refresh does the same first.
    upstream.next(&key_of("alpha"), "/usages", Reply::json(200, &Usages::of("x").used(41, 50).json()));
    let list = daemon.rpc("keys.list", json!({"refresh": true})).await.unwrap();
    assert_eq!(list["keys"][0]["windows"][0]["percent_left"], 59.0);
}

#[tokio::test]
async fn it_goes_on_by_itself() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_USAGE_CACHE_SECONDS", "1");
    let _daemon = setup.start().await;
    upstream.nth("/usages", 3).await;
}

#[tokio::test]
async fn blocked_keys_are_rechecked_by_themselves() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon =
        setup.env("KMI_BLOCKLIST_RECHECK_SECONDS", "1").env("KMI_USAGE_CACHE_SECONDS", "0").start().await;
    upstream.next(ANY, "/models", Reply::openai_error(402, "", "membership"));
    daemon.send(kmi_tests::harness::Request::get("/models")).await;
    let served = eventually("the key to serve again", || async {
        Some(daemon.send(kmi_tests::harness::Request::get("/models")).await).filter(|a| a.status == 200)
    });
    assert_eq!(served.await.key(), Some("alpha"));
}

#[tokio::test]
async fn a_slow_quota_answer_never_holds_a_request() {
    let upstream = Upstream::start().await;
    let never = Gate::closed();
    upstream.always(ANY, "/usages", move |_| Reply::status(200).head_after(&never));
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    upstream.nth("/usages", 1).await;
    let answer = within("a request", daemon.send(kmi_tests::harness::Request::chat())).await;
    assert_eq!(answer.status, 200);
    // The answer never comes; after 8 s the refresh says so and goes on.
    let failed = eventually("the time-out", || async {
        Some(daemon.key("alpha").await).filter(|k| k["refresh_error"].is_string())
    });
    assert_eq!(failed.await["state"], "ready");
}

#[tokio::test]
async fn shapes_seen_in_the_wild_are_read() {
    let shapes: serde_json::Value = serde_json::from_str(include_str!("../data/usages.json")).unwrap();
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    // The least percent left of each shape, worked out by hand from its figures.
    for (shape, least) in [
        ("weekly_and_5h", 94.0),
        ("zeros_dropped_unused", 100.0),
        ("zeros_dropped_exhausted_5h", 0.0),
        ("ratios_beside_counts", 10.0),
        ("requests_not_percent", 100.0 / 300.0),
        ("old_percent", 42.5),
        ("old_data", 25.0),
        ("old_reset_in", 30.0),
        ("unknown_window", 0.0),
    ] {
        upstream.next(ANY, "/usages", Reply::json(200, &shapes[shape]));
        daemon.rpc("quota.refresh", json!({})).await.unwrap();
        let alpha = daemon.key("alpha").await;
        let worst = alpha["windows"].as_array().unwrap().iter().map(|w| w["percent_left"].as_f64().unwrap());
        let worst = worst.fold(f64::INFINITY, f64::min);
        assert!((worst - least).abs() < 0.01, "{shape}: {worst}, not {least}: {alpha}");
    }
}
