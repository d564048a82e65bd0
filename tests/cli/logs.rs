//! `proxy-logs` and `trace`.

use kmi_tests::harness::{Request, Setup, cli};
use serde_json::Value;

#[tokio::test]
async fn logs_with_and_without_a_daemon() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let answer = daemon.send(Request::get("/models")).await;
    let id = answer.fields.get("x-kmi-request-id").unwrap().to_owned();
    daemon.traces(1).await;
    for args in [
        &["proxy-logs", "--no-follow"][..],
        &["proxy-logs", "--no-follow", "--app"],
        &["proxy-logs", "--no-follow", "--daemon", "--since", "10m"],
        &["proxy-logs", "--no-follow", "--app", "--since", "1h", "-n", "500"],
    ] {
        let ran = daemon.kmi(args).await;
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        assert!(ran.out.contains(&id), "{args:?}: {}", ran.out);
    }
    let ran = daemon.kmi(&["proxy-logs", "--no-follow", "-n", "1"]).await;
    assert_eq!(ran.out.lines().count(), 1, "{}", ran.out);
    let home = daemon.stopped().await;
    let ran = cli::kmi(&home, &["proxy-logs", "--no-follow"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(&id), "{}", ran.out);
    assert!(!home.socket().exists(), "reading logs started a daemon");
}

#[tokio::test]
async fn trace_in_a_pipe_is_the_objects_of_the_trace() {
    use kmi_tests::harness::binaries::binaries;
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let mut command = daemon.home.command(&binaries().kmi);
    let mut child =
        command.args(["trace", "--json"]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answer = daemon.send(Request::get("/models")).await;
    let line = tokio::task::spawn_blocking(move || lines.next().unwrap().unwrap());
    let line = kmi_tests::harness::wait::within("a line of kmi trace", line).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
    assert_eq!(entry["request_id"].as_str(), answer.fields.get("x-kmi-request-id"));
    assert_eq!(entry, daemon.traces(1).await[0]);
}

#[tokio::test]
async fn what_is_followed_ends_with_its_reader() {
    use kmi_tests::harness::binaries::binaries;
    use kmi_tests::harness::wait::within;
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    daemon.send(Request::get("/models")).await;
    daemon.traces(1).await;
    for args in [&["trace"][..], &["proxy-logs", "-n", "2"]] {
        let mut command = daemon.home.command(&binaries().kmi);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let first = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next().unwrap());
        assert!(!within("a line", first).await.unwrap().unwrap().is_empty(), "{args:?}");
        // Its reader is gone with that, and nothing new comes that could not be written.
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let ran = within("its end", ended).await.unwrap();
        assert_eq!(
            (ran.status.code(), String::from_utf8_lossy(&ran.stderr).as_ref()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}
