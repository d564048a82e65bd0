//! `kmi doctor`: what it tries, and what it leaves alone.

use kmi_tests::harness::{Setup, cli};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::{Value, json};

/// The checks of a name, as `(level, detail)`.
fn named<'a>(document: &'a Value, name: &str) -> Vec<(&'a str, &'a str)> {
    let checks = document["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    checks.map(|check| (check["level"].as_str().unwrap(), check["detail"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn the_way_to_the_upstream_and_the_clock() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    let checks = daemon.rpc("daemon.check_upstreams", json!({})).await.unwrap();
    let host = upstream.base_url().split('/').nth(2).unwrap().to_owned();
    let expected =
        json!({"host": host, "reachable": true, "tls": true, "clock_skew_seconds": null, "error": null});
    assert_eq!(checks, json!({"skipped": null, "upstreams": [expected]}), "one question for both keys");

    let ran = daemon.kmi(&["doctor", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(matches!(named(&ran.json(), "upstream")[..], [("ok", _)]), "{ran:?}");
    let without_key = upstream.at("/models").iter().filter(|seen| seen.key().is_none()).count();
    assert_eq!(without_key, 2, "the checks carry no key");
    let date = "Mon, 23 Nov 2020 09:00:00 GMT";
    upstream.always(ANY, "/models", move |_| Reply::json(200, &json!({})).field("date", date));
    let ran = daemon.kmi(&["doctor", "--json"]).await;
    assert!(matches!(named(&ran.json(), "clock")[..], [("warn", _)]), "{ran:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_fails() {
    let (upstream, other) = (Upstream::start().await, Upstream::start().await);
    let setup = Setup::live_at(&upstream.base_url(), other.ca_pem()).keys(&["alpha"]);
    let daemon = setup.start().await;
    let ran = daemon.kmi(&["doctor", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    assert!(matches!(named(&document, "upstream")[..], [("fail", _)]), "{document}");
    let checks = daemon.rpc("daemon.check_upstreams", json!({})).await.unwrap();
    let found = &checks["upstreams"][0];
    assert_eq!((&found["reachable"], &found["tls"]), (&json!(true), &json!(false)), "{found}");
}

#[tokio::test]
async fn in_dry_run_nothing_leaves_the_machine() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    assert_eq!(
        daemon.rpc("daemon.check_upstreams", json!({})).await.unwrap(),
        json!({"skipped": "dry_run", "upstreams": []})
    );
    let ran = daemon.kmi(&["doctor", "--json", "--recheck-keys"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    for name in ["upstream", "recheck_keys"] {
        assert!(
            matches!(named(&document, name)[..], [("ok", detail)] if detail.starts_with("skipped")),
            "{document}"
        );
    }
    for name in ["settings", "socket", "disk", "service", "proxy", "keys", "clients", "terms"] {
        assert!(!named(&document, name).is_empty(), "{name} is missing: {document}");
    }
}

#[tokio::test]
async fn without_a_daemon_its_settings_and_key_files_are_looked_at() {
    let home =
        kmi_tests::harness::home::Home::new().env("KMI_PROXY_LISTEN", "nowhere").env("KMI_NO_AUTOSTART", "1");
    let ran = cli::kmi(&home, &["doctor", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let document = ran.json();
    assert!(
        named(&document, "settings")
            .iter()
            .any(|(level, why)| *level == "fail" && why.contains("KMI_PROXY_LISTEN")),
        "{document}"
    );
    let home = home.env("KMI_PROXY_LISTEN", "127.0.0.1:0");
    let document = cli::kmi(&home, &["doctor", "--json"]).await.json();
    assert!(matches!(named(&document, "key_files")[..], [("warn", _)]), "{document}");
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let document = cli::kmi(&home, &["doctor", "--json"]).await.json();
    assert!(matches!(named(&document, "key_files")[..], [("ok", _)]), "{document}");
}

#[tokio::test]
async fn a_connected_client_that_points_elsewhere_is_drift() {
    let url = "https://api.kimi.com/coding/v1";
    let config = format!(
        "default_model = 'k'\n[models.k]\nprovider = 'p'\nmodel = 'kimi-k3'\nmax_context_size = 131072\n\
         [providers.p]\ntype = 'kimi'\nbase_url = '{url}'\napi_key = '{}'\n",
        kmi_tests::harness::daemon::key_of("alpha")
    );
    let daemon = Setup::dry_run().keys(&["alpha"]).file(".kimi-code/config.toml", &config).start().await;
    let path = daemon.home.path().join(".kimi-code/config.toml");
    let clients = async || {
        let ran = daemon.kmi(&["doctor", "--json"]).await;
        assert_eq!(ran.code, 0, "a warning is no failure: {ran:?}");
        let checks = ran.json()["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "clients").unwrap()
    };
    assert_eq!(clients().await["level"], "ok", "it holds a key of the pool, and was never connected");
    assert_eq!(daemon.kmi(&["connect", "kimi-code"]).await.code, 0);
    let connected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(clients().await["level"], "ok");

    // Another program writes the old file back.
    std::fs::write(&path, &config).unwrap();
    let check = clients().await;
    assert_eq!(check["level"], "warn", "{check}");
    assert!(check["detail"].as_str().unwrap().contains("past the proxy"), "{check}");
    let fix = check["fix"].as_str().unwrap();
    assert!(fix.contains("`kmi disconnect kimi-code`"), "{check}");
    // The first command of the fix is one that works as it stands.
    let pasted: Vec<&str> = fix.split('`').nth(1).unwrap().split(' ').skip(1).collect();
    assert_eq!(daemon.kmi(&pasted).await.code, 0, "{pasted:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), connected);
    assert_eq!(clients().await["level"], "ok");
}

#[tokio::test]
async fn what_was_written_into_a_client_may_be_no_token_any_more() {
    const TOKEN: &str = "0123456789abcdef-that-came-later";
    let config = "default_model = 'k'\n[models.k]\nprovider = 'p'\nmodel = 'kimi-k3'\nmax_context_size = 131072\n\
                  [providers.p]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = 'sk-old'\n";
    let daemon = Setup::dry_run().keys(&["alpha"]).file(".kimi-code/config.toml", config).start().await;
    let clients = async || {
        let ran = daemon.kmi(&["doctor", "--json"]).await;
        assert!(!ran.out.contains(TOKEN), "{ran:?}");
        let checks = ran.json()["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "clients").unwrap()
    };
    assert_eq!(daemon.kmi(&["connect", "kimi-code"]).await.code, 0);
    assert_eq!(clients().await["level"], "ok", "without a token all may pass");
    std::fs::write(daemon.state_path(".env"), format!("KMI_PROXY_TOKEN={TOKEN}\n")).unwrap();
    assert_eq!(daemon.kmi(&["proxy-reload"]).await.code, 0);
    let check = clients().await;
    assert_eq!(
        (&check["level"], &check["command"]),
        (&json!("warn"), &json!("kmi connect kimi-code")),
        "{check}"
    );
    assert!(check["detail"].as_str().unwrap().contains("401"), "{check}");
    assert_eq!(daemon.kmi(&["connect", "kimi-code"]).await.code, 0);
    assert_eq!(clients().await["level"], "ok");
}

#[tokio::test]
async fn the_settings_are_those_of_the_running_daemon() {
    let setup = Setup::dry_run().keys(&["alpha"]).env("KMI_QUEUE_MAX", "7");
    let daemon = setup.env("KMI_PROXY_TOKEN", "0123456789abcdef-secret").start().await;
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    let environment = &status["daemon"]["environment"];
    assert_eq!((&environment["KMI_QUEUE_MAX"], &environment["KMI_PROXY_TOKEN"]), (&json!("7"), &json!(null)));
    assert!(
        environment.as_object().unwrap().contains_key("KMI_PROXY_TOKEN") && environment["PATH"].is_null()
    );
    std::fs::write(daemon.state_path(".env"), "KMI_LOG_LEVEL=debug\n").unwrap();
    assert_eq!(daemon.kmi(&["proxy-reload"]).await.code, 0);
    let document = daemon.kmi(&["doctor", "--json"]).await.json();
    let set = |what: &str| {
        named(&document, "settings").iter().any(|(level, detail)| *level == "ok" && detail.contains(what))
    };
    assert!(set("KMI_QUEUE_MAX (environment)") && set("KMI_LOG_LEVEL (settings file)"), "{document}");
    assert!(named(&document, "settings").iter().all(|(level, _)| *level == "ok"), "{document}");
}

#[tokio::test]
async fn a_wrong_setting_hides_no_keys() {
    let home =
        kmi_tests::harness::home::Home::new().env("KMI_QUEUE_MAX", "many").env("KMI_NO_AUTOSTART", "1");
    home.write_key("alpha", "sk-kimi-alpha-0123456789");
    let document = cli::kmi(&home, &["doctor", "--json"]).await.json();
    assert!(matches!(named(&document, "key_files")[..], [("ok", _)]), "{document}");
    let ran = cli::kmi(&home, &["report", "--output", "-"]).await;
    assert!(ran.out.contains("KMI_QUEUE_MAX") && !ran.out.contains("sk-kimi-alpha-0123456789"), "{ran:?}");
}
