//! `rotation.*` and the client config files that a rotation writes.

use std::fs;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::files::mode;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

fn usage(upstream: &Upstream, label: &str, five_hours: u32, week: u32) {
    upstream.always(&key_of(label), "/usages", move |seen| {
        Reply::json(200, &Usages::of(&seen.key().unwrap()).used(five_hours, week).json())
    });
}

#[tokio::test]
async fn rotate_takes_the_key_with_the_most_left_in_its_worst_window() {
    let upstream = Upstream::start().await;
    usage(&upstream, "alpha", 10, 50);
    usage(&upstream, "beta", 70, 1);
    usage(&upstream, "gamma", 30, 40);
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).start().await;
    daemon.quotas_read().await;
    let rotated = daemon.rpc("rotation.rotate", json!({})).await.unwrap();
    assert_eq!((&rotated["active"], &rotated["previous"]), (&json!("gamma"), &json!("alpha")), "{rotated}");
    let again = daemon.rpc("rotation.rotate", json!({})).await.unwrap();
    assert_eq!((&again["active"], &again["rotated"]), (&json!("gamma"), &json!(false)), "{again}");
    assert!(again["reason"].is_string());
}

#[tokio::test]
async fn a_tie_moves_on_unless_told_otherwise() {
    let upstream = Upstream::start().await;
    for (setting, active) in [("1", "beta"), ("0", "alpha")] {
        let daemon =
            Setup::live(&upstream).keys(&["alpha", "beta"]).env("KMI_ROTATE_ON_TIE", setting).start().await;
        daemon.quotas_read().await;
        assert_eq!(daemon.rpc("rotation.rotate", json!({})).await.unwrap()["active"], active);
    }
}

#[tokio::test]
async fn what_cannot_be_switched_to_is_refused_with_the_reason() {
    let upstream = Upstream::start().await;
    let off = "KMI_API_KEY=sk-kimi-off-0123456789\nKMI_KEY_DISABLED=yes\n";
    let daemon = Setup::live(&upstream).keys(&["alpha"]).file(".kmi/_auths/off.env", off).start().await;
    for (to, says) in [("nobody", "alpha"), ("off", "disabled")] {
        let error = daemon.rpc("rotation.rotate", json!({"to": to})).await.unwrap_err();
        assert!(error.message.contains(says), "{error:?}");
    }
    let error = daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap_err();
    assert_eq!(error.kind(), "policy", "{error:?}");
    assert!(error.message.contains("KMI_AUTO_ROTATE_ALLOWED"), "{error:?}");
    let empty = Setup::live(&upstream).start().await;
    assert!(empty.rpc("rotation.rotate", json!({})).await.is_err());
}

#[tokio::test]
async fn what_a_person_changed_is_on_disk_before_the_answer() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let home = daemon.killed().await;
    let daemon = Setup::in_home(home).start().await;
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!((&status["active_key"], &status["rotation"]["auto_rotate"]), (&json!("beta"), &json!(true)));
}

/// A config file of a client with everything around the key that must stay as it is.
fn config(url: &str) -> String {
    format!(
        "# my settings\ndefault_model = \"kimi-for-coding\"   # two spaces\n\n[mcp.servers.x]\ncommand = 'run'\n\n\
         [models.kimi-for-coding]\nprovider = \"managed:kimi-code\"\nmodel = \"kimi-for-coding\"\n\n\
         [providers.\"managed:kimi-code\"]\ntype = \"kimi\"\nbase_url = \"{url}\" # host\napi_key = \"sk-kimi-old-0123456789\"\n\n\
         [providers.other]\napi_key = \"sk-other\"\nbase_url = \"https://other.example/v1\"\n\n\
         [services.moonshot_search]\nbase_url = \"{url}/search\"\napi_key = \"sk-kimi-old-0123456789\"\n\n\
         [services.moonshot_fetch]\nbase_url = \"{url}/fetch\"\napi_key = \"sk-kimi-old-0123456789\"\n\r\n[odd]\nlast = 1"
    )
}

async fn rotate_with(
    upstream: &Upstream,
    before: &str,
    env: &[(&str, &str)],
) -> (Value, Value, String, kmi_tests::harness::Daemon) {
    let mut setup = Setup::live(upstream).keys(&["alpha", "beta"]).file(".kimi/config.toml", before);
    for (name, value) in env {
        setup = setup.env(name, value);
    }
    let daemon = setup.start().await;
    let rotated = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    let after = fs::read_to_string(daemon.home.path().join(".kimi/config.toml")).unwrap();
    (rotated["config_written"].clone(), rotated["warnings"].clone(), after, daemon)
}

#[tokio::test]
async fn only_the_keys_in_the_clients_config_change() {
    let upstream = Upstream::start().await;
    let before = config(&upstream.base_url());
    let (written, _, after, daemon) = rotate_with(&upstream, &before, &[]).await;
    let path = daemon.home.path().join(".kimi/config.toml");
    assert_eq!(written, json!([path]));
    assert_eq!(after, before.replace("sk-kimi-old-0123456789", &key_of("beta")));
    let beside: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.path()).collect();
    let backup = beside.iter().find(|p| **p != path).unwrap_or_else(|| panic!("no backup: {beside:?}"));
    assert_eq!(fs::read_to_string(backup).unwrap(), before);
    assert_eq!(mode(backup) & 0o077, 0, "the backup holds a key");
}

#[tokio::test]
async fn both_generations_are_written_where_they_are() {
    let upstream = Upstream::start().await;
    let before = config(&upstream.base_url());
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]);
    let setup = setup.file("share/config.toml", &before).file("code/config.toml", &before);
    let (share, code) = (setup.home().path().join("share"), setup.home().path().join("code"));
    let setup =
        setup.env("KIMI_SHARE_DIR", share.to_str().unwrap()).env("KIMI_CODE_HOME", code.to_str().unwrap());
    let daemon = setup.start().await;
    let rotated = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    assert_eq!(rotated["config_written"].as_array().unwrap().len(), 2, "{rotated}");
    for dir in [share, code] {
        assert!(fs::read_to_string(dir.join("config.toml")).unwrap().contains(&key_of("beta")));
    }
}

#[tokio::test]
async fn files_that_must_be_left_alone_are_and_the_answer_says_why() {
    let upstream = Upstream::start().await;
    let url = upstream.base_url();
    let ours = config("http://127.0.0.1:54123/kmi-rotor/v1");
    let oauth = format!(
        "[providers.\"managed:kimi-code\"]\ntype = \"kimi\"\nbase_url = \"{url}\"\napi_key = \"\"\noauth = {{ storage = \"file\", key = \"oauth/kimi-code\" }}\n"
    );
    let broken = "[providers\napi_key = ".to_owned();
    for before in [ours, oauth, broken] {
        let (written, warnings, after, _daemon) = rotate_with(&upstream, &before, &[]).await;
        assert_eq!((written, &after), (json!([]), &before));
        assert!(
            warnings.as_array().unwrap().iter().any(|w| w.as_str().unwrap().contains("config.toml")),
            "{warnings}"
        );
    }
    let before = config(&url);
    for env in [("KMI_WRITE_CONFIG", "0"), ("KMI_DRY_RUN", "1")] {
        let (written, _, after, _daemon) = rotate_with(&upstream, &before, &[env]).await;
        assert_eq!((written, &after), (json!([]), &before), "{env:?}");
    }
}

#[tokio::test]
async fn the_plan_is_what_the_next_session_gets() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    upstream.next(&key_of("alpha"), "/chat/completions", Reply::status(402));
    daemon.send(Request::chat()).await;
    for _ in 0..3 {
        let plan = daemon.rpc("rotation.plan", json!({})).await.unwrap();
        let candidates = plan["candidates"].as_array().unwrap();
        assert_eq!(candidates.len(), 3);
        assert_eq!(candidates[2]["key_label"], "alpha");
        assert_eq!(
            (&candidates[2]["obstacle"], &candidates[2]["reason"]),
            (&json!("state"), &json!("payment"))
        );
        assert!(candidates[2]["until"].is_string(), "{plan}");
        assert_eq!(candidates[0]["windows"][0]["source"], "poll");
        let answer = daemon.send(Request::chat()).await;
        assert_eq!(answer.key(), candidates[0]["key_label"].as_str());
        assert_eq!(answer.fields.get("x-kmi-decision"), Some("round-robin; no_session; in_turn; 2/3"));
    }
}

#[tokio::test]
async fn why_each_attempt_got_its_key() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    upstream.next(&key_of("alpha"), "/chat/completions", Reply::status(402));
    let answer = daemon.send(Request::chat()).await;
    let id = answer.fields.get("x-kmi-request-id").unwrap();
    daemon.traces(1).await;
    let entry = daemon.rpc("requests.get", json!({"request_id": id})).await.unwrap();
    let first = &entry["attempts"][0]["decision"];
    assert_eq!((&first["mode"], &first["candidates"][0]["reason"]), (&json!("failover"), &json!("active")));
    let second = &entry["attempts"][1]["decision"];
    assert_eq!(second["candidates"][0]["key_label"], "beta");
    assert_eq!(second["candidates"][1]["reason"], "payment");
    let ran = daemon.kmi(&["why", id]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in ["attempt 1: alpha", "attempt 2: beta", "it is the active key", "membership refused"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = daemon.kmi(&["plan"]).await;
    assert!(ran.out.contains("the next new session gets beta"), "{}", ran.out);
    let ran = daemon.kmi(&["why", "0123456789abcdef"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no request"), "{}", ran.err);
}

#[tokio::test]
async fn why_nobody_could_serve() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    upstream.next(&key_of("alpha"), "/chat/completions", Reply::status(402));
    let banned = "Access terminated. Review our Community Guidelines.";
    let banned = Reply::openai_error(403, "access_terminated_error", banned);
    upstream.next(&key_of("beta"), "/chat/completions", banned);
    daemon.send(Request::chat()).await;
    let answer = daemon.send(Request::chat()).await;
    assert!(answer.by_kmid(), "{}", answer.text());
    daemon.traces(2).await;
    let id = answer.fields.get("x-kmi-request-id").unwrap();
    let entry = daemon.rpc("requests.get", json!({"request_id": id})).await.unwrap();
    assert_eq!(entry["attempts"], json!([]));
    let reasons: Vec<&Value> = entry["refused"]["candidates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|candidate| &candidate["reason"])
        .collect();
    assert_eq!(reasons, ["payment", "banned"]);
    let ran = daemon.kmi(&["why", id]).await;
    assert!(ran.out.contains("no key could serve"), "{}", ran.out);
}
