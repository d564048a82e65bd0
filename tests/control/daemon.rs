//! `daemon.*`

use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test]
async fn the_status_has_every_field_that_people_script_against() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).start().await;
    daemon.quotas_read().await;
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    let at =
        |path: &str| status.pointer(path).unwrap_or_else(|| panic!("{path} is missing: {status}")).clone();
    let port = daemon.proxy().port();
    for (path, value) in [
        ("/mode", json!("live")),
        ("/proxy/running", json!(true)),
        ("/proxy/host", json!("127.0.0.1")),
        ("/proxy/port", json!(port)),
        ("/proxy/url", json!(format!("http://127.0.0.1:{port}/kmi-rotor/v1"))),
        ("/proxy/pids", json!([daemon.pid()])),
        ("/upstream", json!(upstream.base_url())),
        ("/keys", json!({"total": 3, "disabled": 0, "blocked": 0, "exhausted": 0})),
        ("/active_key", json!("alpha")),
        ("/rotation/active_index", json!(0)),
        ("/rotation/auto_rotate", json!(false)),
        ("/policy", json!({"strict_usage_check": false, "fail_open_on_empty_cache": true})),
        (
            "/cache",
            json!({"usage_refresh_seconds": 600, "blocklist_recheck_seconds": 3600, "blocklist_max": 3}),
        ),
        ("/payment_block_seconds", json!(3600)),
        ("/daemon/pid", json!(daemon.pid())),
        ("/daemon/env_file", Value::Null),
        ("/daemon/state_dir", json!(daemon.home.state_dir())),
        ("/daemon/auths_dir", json!(daemon.home.auths_dir())),
        ("/requests", json!({"total": 0, "in_flight": 0, "failed": 0})),
        ("/issues", json!([])),
    ] {
        assert_eq!(at(path), value, "{path}");
    }
    assert!(at("/proxy/daemon_log").as_str().unwrap().ends_with("logs/proxy.out"));
    assert!(at("/rotation/rotation_index").is_u64() && at("/daemon/uptime_seconds").is_u64());
    for path in ["/daemon/started_at", "/last_health_refresh"] {
        let time = at(path);
        assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{path}: {time}");
    }
    assert!(at("/daemon/rss_bytes").as_u64().unwrap() > 100_000);
}

#[tokio::test]
async fn requests_are_counted_while_they_run_and_when_they_fail() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let gate = Gate::closed();
    upstream.next(ANY, "/models", Reply::status(500).head_after(&gate));
    let mut connection = daemon.connect().await;
    connection.send(&Request::get("/models")).await;
    upstream.nth("/models", 1).await;
    let counts = || async { daemon.rpc("daemon.status", json!({})).await.unwrap()["requests"].clone() };
    assert_eq!(counts().await, json!({"total": 1, "in_flight": 1, "failed": 0}));
    gate.open();
    assert_eq!(connection.answer().await.status, 500);
    daemon.traces(1).await;
    assert_eq!(counts().await, json!({"total": 1, "in_flight": 0, "failed": 1}));
}

#[tokio::test]
async fn reload_takes_new_settings_and_keeps_the_old_ones_when_they_are_bad() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).file(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=100\n");
    let daemon = setup.start().await;
    let seconds = || async {
        daemon.rpc("daemon.status", json!({})).await.unwrap()["payment_block_seconds"].as_u64().unwrap()
    };
    assert_eq!(seconds().await, 100);
    daemon.home.write(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=200\n");
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    // The watcher of the file may have been quicker than the question.
    assert!([json!(["KMI_PAYMENT_BLOCK_SECONDS"]), json!([])].contains(&reloaded["changed"]), "{reloaded}");
    assert_eq!(seconds().await, 200);
    daemon.home.write(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=soon\nKMI_ROTATE_ON_TIE=perhaps\n");
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let issues = reloaded["issues"].to_string();
    assert!(
        issues.contains("KMI_PAYMENT_BLOCK_SECONDS") && issues.contains("KMI_ROTATE_ON_TIE"),
        "{reloaded}"
    );
    assert_eq!(seconds().await, 200);
}

#[tokio::test]
async fn reload_names_what_takes_a_restart_and_leaves_it_as_it_was() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).file(".kmi/.env", "KMI_UPSTREAM_HTTP=1.1\n");
    let daemon = setup.start().await;
    daemon
        .home
        .write(".kmi/.env", "KMI_UPSTREAM_HTTP=2\nKMI_METRICS_LISTEN=127.0.0.1:0\nKMI_PROXY_MAX_RPM=1\n");
    let ran = daemon.kmi(&["--json", "proxy-reload"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let reloaded: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(reloaded["needs_restart"], json!(["KMI_UPSTREAM_HTTP", "KMI_METRICS_LISTEN"]), "{reloaded}");
    assert_eq!(reloaded["issues"], json!([]));
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    assert_eq!(daemon.send(Request::get("/models")).await.status, 429);
    // Nothing new, nothing changed; what waits is still named, also in the status.
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert_eq!(reloaded["changed"], json!([]), "{reloaded}");
    assert_eq!(reloaded["needs_restart"], json!(["KMI_UPSTREAM_HTTP", "KMI_METRICS_LISTEN"]), "{reloaded}");
    let ran = daemon.kmi(&["status"]).await;
    assert!(ran.out.contains("KMI_UPSTREAM_HTTP") && ran.out.contains("kmi proxy-restart"), "{}", ran.out);
}

#[tokio::test]
async fn a_changed_settings_file_counts_by_itself() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let models = |path: &'static str| async { daemon.send(Request::target("GET", path)).await };
    assert_eq!(models("/kmi-rotor/v1/models").await.status, 200);
    // The file comes into being, and moves clients to another path behind a token.
    let settings = "KMI_PROXY_BASE_PATH=/two/v1\nKMI_PROXY_TOKEN=token-of-a-test\n";
    daemon.home.write(".kmi/.env", settings);
    eventually("the new base path", || async {
        (models("/two/v1/models").await.status == 401).then_some(())
    })
    .await;
    let with_token = Request::target("GET", "/two/v1/models").field("x-kmi-proxy-token", "token-of-a-test");
    assert_eq!(daemon.send(with_token).await.status, 200);
    assert_eq!(
        daemon.send(Request::get("/models").field("x-kmi-proxy-token", "token-of-a-test")).await.status,
        404
    );
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["daemon"]["needs_restart"], json!([]), "{status}");
    assert!(status["proxy"]["url"].as_str().unwrap().ends_with("/two/v1"), "{status}");
    // A bad one is told where people look, and changes nothing.
    daemon.home.write(".kmi/.env", format!("{settings}KMI_ROTATE_ON_TIE=perhaps\n"));
    eventually("the issue", || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        status["issues"].to_string().contains("KMI_ROTATE_ON_TIE").then_some(())
    })
    .await;
    assert_eq!(models("/two/v1/models").await.status, 401);
    let ran = daemon.kmi(&["proxy-reload"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.out.contains("KMI_ROTATE_ON_TIE"), "{}", ran.out);
}

#[tokio::test]
async fn reload_moves_to_another_key_directory_and_watches_it() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.home.write(".kmi/other/beta.env", "KMI_API_KEY=sk-kimi-beta-0123456789\n");
    daemon.home.write(".kmi/.env", "KMI_AUTHS_DIR=other\n");
    // The new file may have been noticed before anybody asked.
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let changed = reloaded["changed"].as_array().unwrap();
    assert!(changed.iter().all(|name| name == "KMI_AUTHS_DIR" || name == "keys"), "{reloaded}");
    assert_eq!(daemon.key("beta").await["state"], "ready");
    // The new directory is watched, and the daemon still listens to everything else.
    daemon.home.write(".kmi/other/gamma.env", "KMI_API_KEY=sk-kimi-gamma-0123456789\n");
    daemon.key_is("gamma", "ready").await;
}

#[tokio::test]
async fn stop_ends_it_in_order() {
    let mut daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    assert_eq!(daemon.rpc("daemon.stop", json!({})).await.unwrap(), json!({}));
    assert!(daemon.ended().await.success());
    assert!(!daemon.home.socket().exists(), "the socket is left behind");
}

/// What waits for the rest of the daemon when that ends is told so, and not left without an answer.
#[tokio::test]
async fn what_the_end_overtakes_is_told_that() {
    let upstream = Upstream::start().await;
    let mut daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let gate = Gate::closed();
    upstream.always(ANY, "/usages", {
        let gate = gate.clone();
        move |_| Reply::status(200).head_after(&gate)
    });
    let mut control = daemon.control().await;
    control.send_raw(b"{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"quota.refresh\"}\n").await.unwrap();
    upstream.nth("/usages", 2).await;
    daemon.signal(Signal::TERM);
    let answer = control.line().await.unwrap();
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32030)), "{answer}");
    assert_eq!(answer["error"]["data"]["kind"], "stopping", "{answer}");
    assert!(daemon.ended().await.success());
}

#[tokio::test]
async fn a_second_restart_beside_the_first_is_refused() {
    let mut daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let mut control = daemon.control().await;
    let call = |id: u64| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"daemon.restart\"}}\n");
    control.send_raw([call(1), call(2)].concat().as_bytes()).await.unwrap();
    let answers = [control.line().await.unwrap(), control.line().await.unwrap()];
    let refused = answers.iter().find(|answer| answer["error"].is_object()).expect("one is refused");
    assert_eq!(
        (&refused["error"]["code"], &refused["error"]["data"]["kind"]),
        (&json!(-32003), &json!("busy"))
    );
    let done = answers.iter().find(|answer| answer["result"].is_object()).expect("one is carried out");
    assert_ne!(done["result"]["pid"], daemon.pid(), "{done}");
    daemon.followed().await;
}
