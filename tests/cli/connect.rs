//! `connect`, `disconnect`, and what they mean for a rotation.

use std::fs;
use std::path::PathBuf;

use kmi_tests::harness::{Daemon, Setup, cli};
use kmi_tests::upstream::Upstream;
use serde_json::json;

const OLD_KEY: &str = "sk-kimi-old-0123456789";

fn config() -> String {
    let url = "https://api.kimi.com/coding/v1";
    format!(
        "# mine\r\ndefault_model = \"k\"  # two spaces\n[models.k]\nprovider = 'managed:kimi-code'\nmodel = 'kimi-k3'\n\
         max_context_size = 131072\n[providers.'managed:kimi-code']\ntype = 'kimi'\nbase_url = '{url}' # host\n\
         api_key = '''{OLD_KEY}'''\n[services.moonshot_search]\nbase_url = \"{url}/search\"\napi_key = \"{OLD_KEY}\"\n\
         [services.moonshot_fetch]\nbase_url = \"{url}/fetch\"\napi_key = \"{OLD_KEY}\"\n[odd]\nlast = 1"
    )
}

async fn started(setup: Setup) -> (Daemon, PathBuf) {
    let daemon = setup.keys(&["alpha", "beta"]).file(".kimi-code/config.toml", config()).start().await;
    let path = daemon.home.path().join(".kimi-code/config.toml");
    (daemon, path)
}

fn url(daemon: &Daemon) -> String {
    format!("http://127.0.0.1:{}/kmi-rotor/v1", daemon.proxy().port())
}

#[tokio::test]
async fn there_and_back_byte_for_byte() {
    let upstream = Upstream::start().await;
    let (daemon, path) = started(Setup::live(&upstream)).await;
    let preview = daemon.kmi(&["connect", "kimi-code", "--dry-run"]).await;
    assert_eq!(preview.code, 0, "{preview:?}");
    let url = url(&daemon);
    for part in
        [format!("+ providers.\"managed:kimi-code\".base_url = \"{url}\""), format!("\"{url}/search\"")]
    {
        assert!(preview.out.contains(&part), "{part}: {}", preview.out);
    }
    assert!(preview.out.contains("...6789") && !preview.out.contains(OLD_KEY), "{}", preview.out);
    assert_eq!(fs::read_to_string(&path).unwrap(), config());

    let ran = daemon.kmi(&["connect", "kimi-code", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("connected")), "{ran:?}");
    assert!(!ran.out.contains(OLD_KEY));
    // The tests listen on port 0, which is no place to point a file at for good.
    assert_eq!(ran.json()["warnings_said"][0]["code"], "port_changes", "{ran:?}");
    let connected = fs::read_to_string(&path).unwrap();
    assert!(!connected.contains(OLD_KEY) && connected.matches(&url).count() == 3, "{connected}");
    let listed = daemon.rpc("keys.list", json!({})).await.unwrap();
    let client = &listed["clients"][0];
    assert_eq!((&client["connected"], &client["points_at_kmid"]), (&json!(true), &json!(true)), "{client}");

    // a rotation writes no key where kmid is the provider
    let rotated = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    assert_eq!(rotated["config_written"], json!([]));
    assert_eq!(fs::read_to_string(&path).unwrap(), connected);
    assert_eq!(daemon.kmi(&["connect", "kimi-code", "--json"]).await.json()["outcome"], "already_connected");

    let ran = daemon.kmi(&["disconnect"]).await;
    assert!(ran.code == 0 && ran.out.contains("byte for byte"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), config());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    let ran = daemon.kmi(&["disconnect"]).await;
    assert!(ran.code == 0 && ran.out.contains("no client was connected"), "{ran:?}");
}

#[tokio::test]
async fn what_the_person_changed_meanwhile_stays() {
    let (daemon, path) = started(Setup::dry_run()).await;
    assert_eq!(daemon.kmi(&["connect", "kimi-code"]).await.code, 0);
    let edited = fs::read_to_string(&path).unwrap().replacen("\"kmi\"", "\"sk-mine\"", 1) + "\nadded = 2";
    fs::write(&path, edited).unwrap();
    let ran = daemon.kmi(&["disconnect", "kimi-code"]).await;
    assert!(ran.code == 0 && ran.out.contains("edited meanwhile") && ran.out.contains("api_key"), "{ran:?}");
    let expected = config().replace(&format!("'''{OLD_KEY}'''"), "\"sk-mine\"") + "\nadded = 2";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[tokio::test]
async fn what_cannot_or_may_not_be_done_says_why() {
    let (daemon, path) = started(Setup::dry_run().env("KMI_WRITE_CONFIG", "0")).await;
    let ran = daemon.kmi(&["connect", "kimi-code"]).await;
    assert!(ran.code == 1 && ran.err.contains("KMI_WRITE_CONFIG=0"), "{ran:?}");
    assert_eq!(daemon.kmi(&["connect", "kimi-code", "--dry-run"]).await.code, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), config());
    let (daemon, path) = started(Setup::dry_run()).await;
    let oauth = "[providers.kimi]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = ''\noauth = { key = 'x' }\n";
    for (text, says) in [(oauth, "OAuth"), ("[providers", "not valid TOML"), ("", "which provider")] {
        fs::write(&path, text).unwrap();
        let ran = daemon.kmi(&["connect", "kimi-code"]).await;
        assert!(ran.code == 1 && ran.out.contains(says), "{ran:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let ran = daemon.kmi(&["connect", "kimi-cli"]).await;
    assert!(ran.code == 1 && ran.out.contains("no such file"), "{ran:?}");
    assert_eq!(daemon.kmi(&["connect", "claude"]).await.code, 2);
    assert_eq!(daemon.kmi(&["connect"]).await.code, 2);
}

#[tokio::test]
async fn snippets_for_other_programs() {
    let (daemon, _) = started(Setup::dry_run().env("KMI_PROXY_TOKEN", "token-0123456789")).await;
    let ran = daemon.kmi(&["connect", "--show"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in
        ["ANTHROPIC_BASE_URL=", "OPENAI_BASE_URL=", "@ai-sdk/openai-compatible", "curl ", "$KMI_PROXY_TOKEN"]
    {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.out.contains(&url(&daemon)) && !ran.out.contains("token-0123456789"), "{}", ran.out);
}

#[tokio::test]
async fn kimi_runs_the_named_program_with_the_persons_model() {
    let (daemon, _) = started(Setup::dry_run()).await;
    let script = "#!/bin/sh\n# node_modules/@moonshot-ai/kimi-code\nenv | sort\necho \"args: $*\"\nexit 7\n";
    let fake = daemon.home.program("elsewhere/kimi-of-mine", script);
    let kmi = kmi_tests::harness::binaries::binaries().kmi.display().to_string();
    let run = async |bin: &str| {
        let script = format!("KMI_KIMI_BIN='{bin}' exec '{kmi}' kimi -p hello");
        cli::run(&daemon.home, std::path::Path::new("/bin/sh"), &["-c", &script], "").await
    };
    let ran = run(fake.to_str().unwrap()).await;
    assert_eq!(ran.code, 7, "{ran:?}");
    let url = url(&daemon);
    for line in [
        "KIMI_MODEL_NAME=kimi-k3".to_owned(),
        "KIMI_MODEL_MAX_CONTEXT_SIZE=131072".to_owned(),
        "KIMI_MODEL_API_KEY=kmi".to_owned(),
        format!("KIMI_MODEL_BASE_URL={url}"),
        "args: -p hello".to_owned(),
    ] {
        assert!(ran.out.lines().any(|out| out == line), "{line}: {}", ran.out);
    }
    assert!(!ran.out.lines().any(|line| line.starts_with("KIMI_BASE_URL")), "{}", ran.out);
    let ran = run("/nonexistent/kimi").await;
    assert!(ran.code == 1 && ran.err.contains("KMI_KIMI_BIN"), "{ran:?}");
}

#[tokio::test]
async fn kimi_looks_into_the_config_of_kimi_cli() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let script = "#!/bin/sh\n# imports kimi_cli\nenv | grep ^KIMI_ | sort\n";
    let fake = daemon.home.program("elsewhere/kimi", script);
    let kmi = kmi_tests::harness::binaries::binaries().kmi.display().to_string();
    let run = async |config: Option<String>| {
        if let Some(config) = config {
            daemon.home.write(".kimi/config.toml", config);
        }
        let script = format!("KMI_KIMI_BIN='{}' exec '{kmi}' kimi", fake.display());
        cli::run(&daemon.home, std::path::Path::new("/bin/sh"), &["-c", &script], "").await
    };
    let url = url(&daemon);
    let wired = format!("KIMI_API_KEY=kmi\nKIMI_BASE_URL={url}\n");
    let with_model = format!("{wired}KIMI_MODEL_NAME=kimi-for-coding\n");
    assert_eq!(run(None).await.out, with_model);
    // as kimi-cli leaves it behind after a run without one
    assert_eq!(run(Some("default_model = \"\"\n[models]\n[providers]\n".into())).await.out, with_model);
    let managed = config();
    let elsewhere = wired.replace("KIMI_BASE_URL", &format!("KIMI_CODE_BASE_URL={url}\nKIMI_BASE_URL"));
    let mut lines: Vec<&str> = elsewhere.lines().collect();
    lines.sort_unstable();
    assert_eq!(run(Some(managed.clone())).await.out.lines().collect::<Vec<_>>(), lines);
    assert_eq!(run(Some(managed.replace("managed:kimi-code", "mine"))).await.out, wired);

    // It listens to no KIMI_BASE_URL, so it would go past the proxy with the key in its file.
    let anthropic = managed.replace("type = 'kimi'", "type = 'anthropic'");
    let ran = run(Some(anthropic)).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("anthropic") && ran.err.contains("kmi connect kimi-cli"), "{ran:?}");
    assert_eq!(daemon.kmi(&["connect", "kimi-cli"]).await.code, 0);
    assert_eq!(run(None).await.code, 0, "now its config leads to kmid");
}
