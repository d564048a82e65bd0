//! Sockets that kmid is started with and cannot use. Those that it can use are in `running`.

use std::path::Path;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::cli::{self, Ran};
use kmi_tests::harness::home::Home;

/// Starts kmid with `/dev/null` as its only socket.
async fn started_with(home: &Home, variables: &str, args: &str) -> Ran {
    let kmid = binaries().kmid.display();
    let script = format!("export {variables}; exec '{kmid}' {args} 3</dev/null");
    cli::run(home, Path::new("/bin/bash"), &["-c", &script], "").await
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_reason() {
    let home = Home::new();
    for (names, says) in [
        ("LISTEN_FDS=1 LISTEN_FDNAMES=web", "a socket named \"web\", which it does not know"),
        ("LISTEN_FDS=1", "a socket named \"\""),
        ("LISTEN_FDS=1 LISTEN_FDNAMES=proxy:control", "1 sockets and 2 names"),
        ("LISTEN_FDS=1 LISTEN_FDNAMES=proxy", "is not a listening TCP socket"),
        ("LISTEN_FDS=1 LISTEN_FDNAMES=control LISTEN_PID=$$", "is not a listening Unix stream socket"),
    ] {
        let ran = started_with(&home, names, "").await;
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{names}: {ran:?}");
        assert!(ran.err.contains(says) && ran.err.lines().count() == 1, "{names}: {ran:?}");
    }
    assert!(!home.socket().exists() && !home.state_dir().join("kmid.lock").exists());
}

#[tokio::test]
async fn what_is_for_another_process_is_not_taken() {
    let home = Home::new();
    let variables = "LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID=1";
    let ran = started_with(&home, variables, "--detach").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let stopped = cli::kmi(&home, &["proxy-stop", "--yes"]).await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
}
