//! Streams and log files.

use serde_json::json;

use crate::daemon::{Answer, Daemon, dropped, end, item};
use crate::kmi::{Home, output};

#[test]
fn logs_without_a_daemon_come_from_the_files() {
    let home = Home::new();
    let logs = home.state().join("logs");
    std::fs::create_dir(&logs).unwrap();
    std::fs::write(logs.join("proxy.out.1"), "2026-11-23 08:00:00.000 +0000 one\n").unwrap();
    std::fs::write(logs.join("proxy.out"), "2026-11-23 09:00:00.000 +0000 two\n").unwrap();
    std::fs::write(logs.join("kmi.log"), "{\"ts\":\"2026-11-23 08:00:00.000 +0000\",\"level\":\"INFO\"}\n")
        .unwrap();
    let both = "2026-11-23 08:00:00.000 +0000 one\n2026-11-23 09:00:00.000 +0000 two\n";
    assert_eq!(home.kmi("proxy-logs --no-follow").code(0).out, both);
    assert_eq!(home.kmi("proxy-logs --no-follow -n 1 --daemon").code(0).out, &both[34..]);
    assert_eq!(home.kmi("proxy-logs --no-follow --since 2026-11-23T08:30:00Z").code(0).out, &both[34..]);
    let json = home.kmi("proxy-logs --no-follow --json -n 1").code(0).json();
    assert_eq!(json, json!({"line": "2026-11-23 09:00:00.000 +0000 two"}));
    assert_eq!(home.kmi("proxy-logs --no-follow --app").code(0).json()["level"], "INFO");
    let run = home.kmi("proxy-logs --no-follow --since yesterday").code(2);
    assert!(run.err.contains("30s, 10m, 1h, 2d"), "{}", run.err);
}

#[test]
fn logs_are_streamed_from_the_daemon() {
    let home = Home::new();
    let daemon = Daemon::new().on(
        "logs.tail",
        Answer::Stream(vec![item(json!("one")), dropped(3), item(json!("two")), end("complete")]),
    );
    daemon.listen(&home.socket());
    let run = home.kmi("proxy-logs --no-follow --since 10m --lines 5").code(0);
    assert_eq!(run.out, "one\ntwo\n");
    assert!(run.err.contains("3 entries were missed"), "{}", run.err);
    home.kmi("proxy-logs --app");
    let mut heard = daemon.heard("logs.tail");
    // The moment itself: kmid may be in another zone.
    let since = heard[0]["since"].take();
    assert!(since.as_str().is_some_and(|since| since.ends_with('Z')), "{since}");
    assert_eq!(
        heard,
        [
            json!({"source": "daemon", "since": null, "lines": 5, "follow": false}),
            json!({"source": "app", "lines": 200, "follow": true}),
        ]
    );
    // An ISO time without an offset is one of the person's zone.
    let asked = ["proxy-logs", "--no-follow", "--since", "2026-11-23T10:00"];
    output(home.command(asked).env("KMI_TIMEZONE", "Asia/Tokyo"));
    assert_eq!(daemon.heard("logs.tail")[2]["since"], "2026-11-23T01:00:00Z");
}

#[test]
fn a_stream_that_the_daemon_ends_is_a_failure() {
    let home = Home::new();
    Daemon::new()
        .on("logs.tail", Answer::Stream(vec![item(json!("one")), end("stopping")]))
        .listen(&home.socket());
    let run = home.kmi("proxy-logs").code(1);
    assert_eq!(run.out, "one\n");
    assert!(run.err.contains("kmid ended the stream: it is stopping"), "{}", run.err);
}

#[test]
fn trace_through_a_pipe_is_the_objects_as_they_come() {
    let home = Home::new();
    let daemon = Daemon::new().on(
        "requests.tail",
        Answer::Stream(vec![item(json!({"request_id": "r1", "of": "tomorrow"})), end("complete")]),
    );
    daemon.listen(&home.socket());
    assert_eq!(home.kmi("trace --no-follow").code(0).json(), json!({"request_id": "r1", "of": "tomorrow"}));
    home.kmi("--trace").code(0);
    assert_eq!(
        daemon.heard("requests.tail"),
        [json!({"limit": 20, "follow": false}), json!({"limit": 20, "follow": true})]
    );
    home.kmi("trace --since 5x").code(2);
}
