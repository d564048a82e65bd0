//! `keys.*` and the key directory behind them.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

async fn labels(daemon: &Daemon) -> Vec<String> {
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    list["keys"].as_array().unwrap().iter().map(|k| k["label"].as_str().unwrap().to_owned()).collect()
}

async fn issues(daemon: &Daemon) -> Vec<Value> {
    daemon.rpc("daemon.status", json!({})).await.unwrap()["issues"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_key_as_people_see_it() {
    let upstream = Upstream::start().await;
    let file = "# mine\nexport KMI_API_KEY=\"sk-kimi-abcdef0123456789\"\r\nKMI_KEY_LABEL=main\nKMI_KEY_PRIORITY=3\n\
                KMI_ACCOUNT_EMAIL=me@example.com\n";
    let daemon = Setup::live(&upstream).file(".kmi/_auths/x.env", file).start().await;
    daemon.quotas_read().await;
    let key = daemon.key("main").await;
    for (field, value) in [
        ("state", json!("ready")),
        ("active", json!(true)),
        ("email", json!("me@example.com")),
        ("base_url", json!(upstream.base_url())),
        ("priority", json!(3)),
        ("requests", json!(0)),
        ("errors", json!({"401": 0, "403": 0, "429": 0, "5xx": 0})),
    ] {
        assert_eq!(key[field], value, "{field}: {key}");
    }
    assert_eq!(key["fingerprint"].as_str().unwrap().len(), 12);
    assert!(key["masked"].as_str().unwrap().ends_with("6789"), "{key}");
    assert!(key["source"].as_str().unwrap().ends_with("x.env"));
    assert_eq!(key["account"], Usages::of("sk-kimi-abcdef0123456789").account);
    let windows = key["windows"].as_array().unwrap();
    assert_eq!(windows.iter().map(|w| w["name"].as_str().unwrap()).collect::<Vec<_>>(), ["5h", "7d"]);
    assert_eq!((&windows[0]["percent_left"], &windows[1]["percent_left"]), (&json!(97.0), &json!(94.0)));
}

#[tokio::test]
async fn four_formats_folders_and_labels() {
    let upstream = Upstream::start().await;
    let url = upstream.base_url();
    let toml = format!(
        "default_model = \"x\"\n[providers.\"managed:kimi-code\"]\ntype = \"kimi\"\nbase_url = \"{url}\"\napi_key = \"sk-kimi-toml-012345\"\n[providers.other]\napi_key = \"sk-kimi-not-this-one\"\n"
    );
    let json_file =
        json!({"providers": {"moonshot-ai": {"api_key": "sk-kimi-json-012345", "base_url": url}}})
            .to_string();
    let backup = json!({"providers": {"p": {"api_key": "sk-kimi-back-012345", "base_url": url}}}).to_string();
    let daemon = Setup::live(&upstream)
        .key("plain", "sk-kimi-env-0123456")
        .file(".kmi/_auths/work-config.toml", toml)
        .file(".kmi/_auths/folder/home_config.json", json_file)
        .file(".kmi/_auths/old.json.bak", backup)
        .file(".kmi/_auths/folder/deeper/no.env", "KMI_API_KEY=sk-kimi-too-deep-01\n")
        .file(".kmi/_auths/README.txt", "not a key")
        .start()
        .await;
    let mut found = labels(&daemon).await;
    found.sort();
    assert_eq!(found, ["home", "old", "plain", "work"]);
}

#[tokio::test]
async fn bad_files_are_reported_and_the_others_serve() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream)
        .keys(&["alpha"])
        .file(".kmi/_auths/empty.env", "")
        .file(".kmi/_auths/broken.toml", "[providers\nsk-kimi-canary-in-a-broken-file")
        .file(".kmi/_auths/broken.json", "{\"api_key\": \"sk-kimi-canary-in-a-broken-file\"")
        .file(
            ".kmi/_auths/http.env",
            "KMI_API_KEY=sk-kimi-http-012345\nKMI_UPSTREAM_BASE_URL=http://localhost:1/v1\n",
        )
        .file(".kmi/_auths/same.env", format!("KMI_API_KEY={}\n", key_of("alpha")))
        .file(".kmi/_auths/twin.env", "KMI_API_KEY=sk-kimi-twin-0123456\nKMI_KEY_LABEL=alpha\n")
        .file(".kmi/_auths/huge.env", vec![b'#'; (1 << 20) + 1])
        .start()
        .await;
    assert_eq!(labels(&daemon).await, ["alpha", "alpha-2"]);
    let reported = issues(&daemon).await;
    for name in ["empty.env", "broken.toml", "broken.json", "http.env", "same.env", "twin.env", "huge.env"] {
        let of_file: Vec<_> = reported.iter().filter(|i| i.to_string().contains(name)).collect();
        assert!(!of_file.is_empty(), "{name} is not reported: {reported:?}");
    }
    assert!(!format!("{reported:?}").contains("canary"), "the content is shown: {reported:?}");
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn an_allowlist_keeps_keys_at_home() {
    let upstream = Upstream::start().await;
    let away = "KMI_API_KEY=sk-kimi-away-012345\nKMI_UPSTREAM_BASE_URL=https://evil.example/v1\n";
    let daemon = Setup::live(&upstream)
        .keys(&["alpha"])
        .file(".kmi/_auths/away.env", away)
        .env("KMI_UPSTREAM_ALLOWLIST", "localhost, *.kimi.com")
        .start()
        .await;
    assert_eq!(labels(&daemon).await, ["alpha"]);
    assert!(issues(&daemon).await.iter().any(|i| i.to_string().contains("away.env")));
}

#[tokio::test]
async fn changes_are_picked_up_without_a_restart() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let become_ = |wanted: Vec<&'static str>| {
        let daemon = &daemon;
        async move {
            eventually(format!("{wanted:?}"), || async { (labels(daemon).await == wanted).then_some(()) })
                .await;
        }
    };
    // Added.
    daemon.home.write_key("beta", &key_of("beta"));
    become_(vec!["alpha", "beta"]).await;
    // Disabled.
    daemon
        .home
        .write(".kmi/_auths/alpha.env", format!("KMI_API_KEY={}\nKMI_KEY_DISABLED=1\n", key_of("alpha")));
    daemon.key_is("alpha", "disabled").await;
    let enabled = format!("KMI_API_KEY={}\n", key_of("alpha"));
    daemon.home.write(".kmi/_auths/alpha.env", enabled);
    daemon.key_is("alpha", "ready").await;
    // Replaced under the same label: a clean record, and the new key serves.
    upstream.next(&key_of("alpha"), "/models", Reply::openai_error(402, "", "membership"));
    daemon.rpc("rotation.rotate", json!({"to": "alpha"})).await.unwrap();
    daemon.send(Request::get("/models")).await;
    daemon.key_is("alpha", "blocked").await;
    daemon.home.write_key("alpha", "sk-kimi-replaced-0123");
    let alpha = daemon.key_is("alpha", "ready").await;
    assert_eq!(alpha["errors"]["403"], 0, "{alpha}");
    daemon.rpc("rotation.rotate", json!({"to": "alpha"})).await.unwrap();
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    assert_eq!(upstream.keys_at("/models").last().unwrap(), "sk-kimi-replaced-0123");
    // Renamed in one step, as editors save.
    std::fs::rename(daemon.home.auths_dir().join("beta.env"), daemon.home.auths_dir().join("gamma.env"))
        .unwrap();
    become_(vec!["alpha", "gamma"]).await;
    // Removed.
    std::fs::remove_file(daemon.home.auths_dir().join("gamma.env")).unwrap();
    become_(vec!["alpha"]).await;
}

#[tokio::test]
async fn a_removed_key_finishes_what_it_serves() {
    use kmi_tests::upstream::{ANY, Gate};
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let gate = Gate::closed();
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::sse().send("data: 1\n\n").wait(&gate).send("data: [DONE]\n\n"),
    );
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let head = connection.head().await;
    std::fs::remove_file(daemon.home.auths_dir().join("alpha.env")).unwrap();
    eventually("no keys", || async { labels(&daemon).await.is_empty().then_some(()) }).await;
    gate.open();
    assert_eq!(connection.rest(head).await.text(), "data: 1\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn unblock_and_recheck() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let block = || async {
        upstream.next(&key_of("alpha"), "/models", Reply::openai_error(401, "x", "Invalid Authentication"));
        daemon.send(Request::get("/models")).await;
        daemon.key_is("alpha", "blocked").await;
    };
    block().await;
    assert_eq!(
        daemon.rpc("keys.unblock", json!({"label": "alpha"})).await.unwrap(),
        json!({"cleared": ["alpha"]})
    );
    assert_eq!(daemon.key("alpha").await["state"], "ready");
    block().await;
    upstream.next(&key_of("alpha"), "/usages", Reply::openai_error(401, "x", "Invalid Authentication"));
    let checked = daemon.rpc("keys.recheck", json!({})).await.unwrap();
    assert_eq!(checked, json!({"cleared": [], "still_blocked": ["alpha"]}));
    let checked = daemon.rpc("keys.recheck", json!({"label": "alpha"})).await.unwrap();
    assert_eq!(checked, json!({"cleared": ["alpha"], "still_blocked": []}));
    let error = daemon.rpc("keys.unblock", json!({"label": "nobody"})).await.unwrap_err();
    assert!(error.message.contains("nobody") && error.message.contains("alpha"), "{error:?}");
}
