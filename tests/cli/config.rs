//! Where `kmi` looks for its daemon.

use kmi_tests::harness::{Setup, cli};

#[tokio::test]
async fn the_socket_can_be_named() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let socket = daemon.home.socket().display().to_string();
    let elsewhere = kmi_tests::harness::home::Home::new();
    let ran = cli::kmi(&elsewhere, &["status", "--json", "--socket", &socket]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["daemon"]["pid"], daemon.pid());
    let elsewhere = elsewhere.env("KMI_SOCKET", &socket);
    assert_eq!(cli::kmi(&elsewhere, &["status"]).await.code, 0);
}

#[tokio::test]
async fn a_state_directory_of_the_persons_choice() {
    let home = kmi_tests::harness::home::Home::new();
    let dir = home.path().join("elsewhere");
    let home = home.env("KMI_STATE_DIR", dir.as_os_str());
    let ran = cli::kmid(&home, &["--check-config"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(dir.join("kmid.sock").to_str().unwrap()), "{}", ran.out);
}

#[tokio::test]
async fn bad_settings_exit_2_with_the_list() {
    let home =
        kmi_tests::harness::home::Home::new().env("KMI_LOCALE", "klingon").env("KMI_TIMEZONE", "Mars/X");
    let ran = cli::kmi(&home, &["status"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("KMI_LOCALE") && ran.err.contains("KMI_TIMEZONE"), "{}", ran.err);
}

#[tokio::test]
async fn a_socket_path_that_is_too_long_says_so() {
    let home = kmi_tests::harness::home::Home::new();
    let dir = home.path().join("d".repeat(120));
    let home = home.env("KMI_STATE_DIR", dir.as_os_str());
    let ran = cli::kmid(&home, &[]).await;
    assert!(ran.code != 0 && ran.err.contains("KMI_SOCKET"), "{ran:?}");
}
