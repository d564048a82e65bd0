//! `status`, `health`, `doctor`, help and exit codes.

use kmi_tests::harness::home::Home;
use kmi_tests::harness::{Request, Setup, cli};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::json;

#[tokio::test]
async fn without_arguments_the_help() {
    let home = Home::new();
    let ran = cli::kmi(&home, &[]).await;
    assert_eq!(ran.code, 0);
    for command in ["status", "health", "rotate", "proxy", "trace", "doctor", "e2e"] {
        assert!(ran.out.contains(command), "{command}: {}", ran.out);
    }
    assert_eq!(cli::kmi(&home, &["--version"]).await.code, 0);
    assert!(!home.state_dir().exists(), "help left files behind");
}

#[tokio::test]
async fn usage_errors_exit_2() {
    let home = Home::new().env("KMI_NO_AUTOSTART", "1");
    for args in [
        &["no-such-command"][..],
        &["--status", "--health"],
        &["status", "--no-such-flag"],
        &["proxy-logs", "--no-follow", "--since", "yesterday"],
        &["rotate", "--to"],
    ] {
        let ran = cli::kmi(&home, args).await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn without_a_daemon_exit_3_and_what_can_be_known() {
    let home = Home::new();
    let ran = cli::kmi(&home, &["status", "--json"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(ran.json()["proxy"]["running"], false);
    let ran = cli::kmi(&home, &["status"]).await;
    assert_eq!(ran.code, 3);
    assert!(!home.socket().exists(), "status started a daemon");
    let ran = cli::kmi(&home, &["health", "--no-start"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(!ran.err.is_empty());
}

#[tokio::test]
async fn status_json_is_the_control_sockets_object() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    for args in [&["status", "--json"][..], &["--status", "--json"]] {
        let ran = daemon.kmi(args).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let (mut shown, mut asked) = (ran.json(), daemon.rpc("daemon.status", json!({})).await.unwrap());
        for volatile in ["uptime_seconds", "rss_bytes"] {
            shown["daemon"][volatile].take();
            asked["daemon"][volatile].take();
        }
        assert_eq!(shown, asked);
    }
    let ran = daemon.kmi(&["status"]).await;
    assert_eq!(ran.code, 0);
    let port = daemon.proxy().port().to_string();
    for word in ["alpha", port.as_str()] {
        assert!(ran.out.contains(word), "{word}: {}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "colours in a pipe: {}", ran.out);
}

#[tokio::test]
async fn health_shows_every_key_with_its_windows() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/usages", |seen| {
        Reply::json(200, &Usages::of(&seen.key().unwrap()).used(25, 90).json())
    });
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    for args in [&["health"][..], &["--health"], &["--all"], &["health", "--plain"]] {
        let ran = daemon.kmi(args).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        for word in ["alpha", "beta", "75", "10", "5h", "7d", "warn"] {
            assert!(ran.out.contains(word), "{args:?} {word}: {}", ran.out);
        }
    }
    let before = upstream.at("/usages").len();
    let ran = daemon.kmi(&["health", "--refresh", "--json"]).await;
    assert_eq!(upstream.at("/usages").len(), before + 2);
    assert_eq!(ran.json()["keys"][1]["windows"][1]["percent_left"], 10.0);
}

#[tokio::test]
async fn current_marks_the_key_that_the_client_has() {
    let upstream = Upstream::start().await;
    let config = format!(
        "[providers.\"managed:kimi-code\"]\ntype = \"kimi\"\nbase_url = \"{}\"\napi_key = \"{}\"\n",
        upstream.base_url(),
        kmi_tests::harness::daemon::key_of("beta")
    );
    let daemon =
        Setup::live(&upstream).keys(&["alpha", "beta"]).file(".kimi/config.toml", config).start().await;
    let ran = daemon.kmi(&["--current"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("beta") && !ran.out.contains("alpha"), "{}", ran.out);
}

#[tokio::test]
async fn doctor_finds_what_is_wrong_and_says_what_to_do() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let ran = daemon.kmi(&["doctor"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("OK") && !ran.out.contains("FAIL"), "{}", ran.out);
    upstream.next(ANY, "/models", Reply::openai_error(401, "x", "Invalid Authentication"));
    daemon.send(Request::get("/models")).await;
    daemon.home.write(".kmi/_auths/broken.json", "{");
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let ran = daemon.kmi(&["doctor"]).await;
    assert!(ran.out.contains("broken.json") && ran.out.contains("alpha"), "{}", ran.out);
    let ran = daemon.kmi(&["doctor", "--clear-blocklist"]).await;
    assert!(ran.out.contains("alpha"), "{ran:?}");
    assert_eq!(daemon.key("alpha").await["state"], "ready");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_quietly() {
    use std::path::Path;
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    for _ in 0..50 {
        daemon.send(Request::get("/models")).await;
    }
    let kmi = kmi_tests::harness::binaries::binaries().kmi.display().to_string();
    let script = format!("'{kmi}' proxy-logs --no-follow -n 100000 | head -n 1");
    let ran = cli::run(&daemon.home, Path::new("/bin/sh"), &["-c", &script], "").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
}

#[tokio::test]
async fn russian_when_asked() {
    let daemon = Setup::dry_run().keys(&["alpha"]).env("KMI_LOCALE", "ru").start().await;
    let ran = daemon.kmi(&["status"]).await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.chars().any(|c| ('\u{430}'..='\u{44f}').contains(&c)), "{}", ran.out);
    assert!(daemon.kmi(&["status", "--json"]).await.json()["proxy"]["running"].as_bool().unwrap());
}
