//! Settings as `kmid` takes them: everything wrong at once, nothing by guess, no secret shown.

use kmi_tests::harness::{Setup, cli};

#[tokio::test]
async fn every_problem_is_named_and_nothing_is_served() {
    let (ran, home) = Setup::dry_run()
        .keys(&["alpha"])
        .env("KMI_DRY_RUN", "maybe")
        .env("KMI_PROXY_LISTEN", "nowhere")
        .env("KMI_PAYMENT_BLOCK_SECONDS", "-1")
        .env("KMI_UPSTREAM_BASE_URL", "http://api.kimi.com/coding/v1")
        .env("KMI_UPSTREAM_HTTP", "3")
        .env("KMI_TIMEZONE", "Mars/Olympus")
        .env("KMI_LOCALE", "de")
        .fails()
        .await;
    assert_eq!(ran.code, 64, "{ran:?}");
    for name in [
        "KMI_DRY_RUN",
        "KMI_PROXY_LISTEN",
        "KMI_PAYMENT_BLOCK_SECONDS",
        "KMI_UPSTREAM_BASE_URL",
        "KMI_UPSTREAM_HTTP",
        "KMI_TIMEZONE",
        "KMI_LOCALE",
    ] {
        assert!(ran.err.contains(name), "{name}: {}", ran.err);
    }
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn check_config_prints_where_everything_came_from() {
    let setup = Setup::dry_run()
        .keys(&["alpha"])
        .file(".kmi/.env", "KMI_ROTATE_ON_TIE=0\n")
        .env("KMI_PROXY_TOKEN", "a-secret-of-some-length")
        .env("KMI_PROXY_MAX_RSP", "3");
    let ran = cli::kmid(setup.home(), &["--check-config"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = |name: &str| {
        let lines: Vec<_> =
            ran.out.lines().filter(|l| l.split(['=', ' ', ':']).next() == Some(name)).collect();
        assert_eq!(lines.len(), 1, "{name}: {}", ran.out);
        lines[0].to_owned()
    };
    assert!(line("KMI_ROTATE_ON_TIE").contains('0') && line("KMI_ROTATE_ON_TIE").contains(".env"));
    assert!(line("KMI_PROXY_TOKEN").contains("set"));
    assert!(!format!("{ran:?}").contains("a-secret"));
    // A name that is not known: a warning with the nearest one that is.
    assert!(format!("{ran:?}").contains("KMI_PROXY_MAX_RPS"), "{ran:?}");
    assert!(!setup.home().socket().exists());
}

#[tokio::test]
async fn the_strongest_source_wins() {
    let setup =
        Setup::dry_run().keys(&["alpha"]).file(".kmi/.env", "KMI_PAYMENT_BLOCK_SECONDS=1\nKMI_RETRY=x\n");
    let named = setup.home().write("named.env", "KMI_PAYMENT_BLOCK_SECONDS=3\n");
    let seconds = |daemon: kmi_tests::harness::Daemon| async move {
        let status = daemon.rpc("daemon.status", serde_json::json!({})).await.unwrap();
        (status["payment_block_seconds"].as_u64().unwrap(), daemon.stopped().await)
    };
    let (from_file, home) = seconds(setup.start().await).await;
    let (from_process, home) =
        seconds(Setup::in_home(home).env("KMI_PAYMENT_BLOCK_SECONDS", "2").start().await).await;
    let setup = Setup::in_home(home).env("KMI_ENV_PATH", named.to_str().unwrap());
    let (from_named, home) = seconds(setup.start().await).await;
    assert_eq!((from_file, from_process, from_named), (1, 2, 3));
    let (ran, _home) = Setup::in_home(home).env("KMI_ENV_PATH", "/nowhere/at/all.env").fails().await;
    assert_eq!(ran.code, 64);
    assert!(ran.err.contains("/nowhere/at/all.env"), "{}", ran.err);
}

#[tokio::test]
async fn a_strange_folders_env_file_cannot_redirect_keys() {
    let setup = Setup::dry_run()
        .keys(&["alpha"])
        .file("work/.env", "KMI_PAYMENT_BLOCK_SECONDS=1\nKMI_STATE_DIR=/tmp/x\n");
    let daemon = setup.start().await;
    let status = daemon.rpc("daemon.status", serde_json::json!({})).await.unwrap();
    assert_eq!(
        status["payment_block_seconds"], 3600,
        "the folder's .env was read although the keys live elsewhere"
    );
}
