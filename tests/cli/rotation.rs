//! `rotate`, `rotate auto`, `rotate off`, `e2e`.

use kmi_tests::harness::Setup;
use kmi_tests::upstream::Upstream;
use serde_json::json;

#[tokio::test]
async fn rotate_says_from_to_and_why() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    let ran = daemon.kmi(&["rotate", "--to", "beta"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("alpha") && ran.out.contains("beta"), "{}", ran.out);
    assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["active_key"], "beta");
    let ran = daemon.kmi(&["--rotate", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.json()["active"].is_string());
    let ran = daemon.kmi(&["rotate", "--to", "nobody"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.starts_with("error: no key is called nobody; known: alpha, beta\n"), "{}", ran.err);
}

#[tokio::test]
async fn auto_is_refused_with_the_reason_when_not_allowed() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    for args in [&["rotate", "auto"][..], &["--auto-rotate"], &["--auto_rotate"]] {
        let ran = daemon.kmi(args).await;
        assert_eq!(ran.code, 1, "{args:?}: {ran:?}");
        assert!(ran.err.contains("KMI_AUTO_ROTATE_ALLOWED"), "{}", ran.err);
    }
    assert_eq!(daemon.kmi(&["rotate", "off"]).await.code, 0);
}

#[tokio::test]
async fn auto_checks_the_distribution() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["a", "b", "c"]).may_switch().start().await;
    daemon.quotas_read().await;
    let ran = daemon.kmi(&["rotate", "auto"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(upstream.at("/models").len() >= 50, "e2e sent {} requests", upstream.at("/models").len());
    assert_eq!(daemon.rpc("daemon.status", json!({})).await.unwrap()["rotation"]["auto_rotate"], true);
    let ran = daemon.kmi(&["e2e", "-n", "30", "--batch", "10", "--pause", "0"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for label in ["a", "b", "c"] {
        assert!(ran.out.contains(label), "{}", ran.out);
    }
    // A choice is taken, and said to be none that requests follow now.
    let chosen = async || daemon.kmi(&["rotate", "--to", "b"]).await;
    let ran = chosen().await;
    assert!(ran.code == 0 && ran.out.contains("`kmi rotate off`"), "{ran:?}");
    assert_eq!(daemon.kmi(&["rotate", "off"]).await.code, 0);
    let ran = chosen().await;
    assert!(ran.code == 0 && !ran.out.contains("`kmi rotate off`"), "{ran:?}");
    // All to one key: the confidence is nothing, and the exit says so.
    let ran = daemon.kmi(&["e2e", "-n", "10", "--pause", "0"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[tokio::test]
async fn a_token_that_only_kmid_has_is_not_guessed_at() {
    let upstream = Upstream::start().await;
    let token = "a-token-of-some-length";
    let setup = Setup::live(&upstream).keys(&["a", "b"]).may_switch().env("KMI_PROXY_TOKEN", token);
    let mut daemon = setup.start().await;
    daemon.quotas_read().await;
    daemon.home.unset("KMI_PROXY_TOKEN");
    let before = upstream.at("/models").len();
    let ran = daemon.kmi(&["e2e"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("KMI_PROXY_TOKEN (the environment of kmid)"), "{}", ran.err);
    let ran = daemon.kmi(&["rotate", "auto", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["e2e_skipped"]), (0, &json!("token")), "{ran:?}");
    // A wrong one is presented once.
    daemon.home.set("KMI_PROXY_TOKEN", "another-token-of-some-length");
    let ran = daemon.kmi(&["e2e", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["failed"]), (1, &json!({"token": 1})), "{ran:?}");
    assert_eq!(upstream.at("/models").len(), before);
    let ran = daemon.kmi(&["doctor"]).await;
    assert!(ran.out.contains("kmid does not take kmi's token"), "{}", ran.out);
    daemon.home.set("KMI_PROXY_TOKEN", token);
    let ran = daemon.kmi(&["e2e", "--pause", "0"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}
