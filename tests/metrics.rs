//! Figures for Prometheus: over HTTP and on the control socket.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::downstream::Connection;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::json;

/// The value of a figure, by its name with its labels as they stand in the text.
fn value(text: &str, figure: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(' ')?.parse().ok())
}

async fn by_socket(daemon: &Daemon) -> String {
    let answer = daemon.rpc("metrics.get", json!({})).await.unwrap();
    answer["text"].as_str().unwrap().to_owned()
}

/// Where the metrics are, as the daemon says at its start.
async fn url(daemon: &Daemon) -> String {
    eventually("the metrics' address", || async {
        let output = daemon.output();
        let at = output.find("http://")?;
        let rest = output[at..].lines().next()?;
        let url = rest.split("/metrics").next().filter(|url| url.len() < rest.len())?;
        Some(url.trim_start_matches("http://").to_owned())
    })
    .await
}

#[tokio::test]
async fn requests_attempts_tokens_and_quotas_are_counted() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    upstream.next(&key_of("alpha"), "/chat/completions", Reply::status(402));
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    assert_eq!(daemon.send(Request::get("/made/up?x=1")).await.status, 200);
    daemon.traces(2).await;
    let text = by_socket(&daemon).await;
    let is =
        |figure: &str, expected: f64| assert_eq!(value(&text, figure), Some(expected), "{figure}\n{text}");
    is("kmid_requests_total{key=\"beta\",endpoint=\"/chat/completions\",outcome=\"completed\"}", 1.0);
    is("kmid_requests_total{key=\"beta\",endpoint=\"other\",outcome=\"completed\"}", 1.0);
    is("kmid_attempts_total{key=\"alpha\",outcome=\"payment\"}", 1.0);
    is("kmid_request_duration_seconds_count{endpoint=\"/chat/completions\"}", 1.0);
    is("kmid_time_to_first_byte_seconds_count{endpoint=\"/chat/completions\"}", 1.0);
    is("kmid_key_state{key=\"alpha\",state=\"blocked\"}", 1.0);
    is("kmid_key_state{key=\"beta\",state=\"ready\"}", 1.0);
    is("kmid_quota_left_ratio{key=\"beta\",window=\"5h\"}", 0.97);
    is("kmid_requests_in_flight", 0.0);
    is("kmid_quota_refresh_failures_total", 0.0);
    assert!(value(&text, "kmid_tokens_total{key=\"beta\",kind=\"input\"}").is_some_and(|count| count > 0.0));
    if cfg!(target_os = "linux") {
        assert!(value(&text, "process_resident_memory_bytes").unwrap() > 1e6, "{text}");
        assert!(value(&text, "process_open_fds").unwrap() > 5.0, "{text}");
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
    for label in ["alpha", "beta"] {
        assert!(!text.contains(&key_of(label)), "a key in the metrics");
    }
    upstream.next(ANY, "/usages", Reply::status(500));
    daemon.rpc("quota.refresh", json!({"label": "beta"})).await.unwrap();
    assert_eq!(value(&by_socket(&daemon).await, "kmid_quota_refresh_failures_total"), Some(1.0));
}

#[tokio::test]
async fn over_http_for_this_machines_programs_only() {
    let upstream = Upstream::start().await;
    let daemon =
        Setup::live(&upstream).keys(&["alpha"]).env("KMI_METRICS_LISTEN", "127.0.0.1:0").start().await;
    let address = url(&daemon).await.parse().unwrap();
    let answer = Connection::open(address).await.exchange(Request::target("GET", "/metrics")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("# TYPE kmid_requests_in_flight gauge"), "{}", answer.text());
    for (request, status) in [
        (Request::target("GET", "/"), 404),
        (Request::target("POST", "/metrics"), 405),
        (Request::target("GET", "/metrics").field("Host", "evil.example"), 403),
        (Request::target("GET", "/metrics").field("Origin", "https://evil.example"), 403),
    ] {
        assert_eq!(Connection::open(address).await.exchange(request).await.status, status);
    }
}

#[tokio::test]
async fn off_unless_asked_for_and_never_open_to_others_by_accident() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    assert!(!daemon.output().contains("/metrics"), "{}", daemon.output());
    let (ran, _home) =
        Setup::live(&upstream).keys(&["alpha"]).env("KMI_METRICS_LISTEN", "0.0.0.0:0").fails().await;
    assert!(ran.err.contains("KMI_METRICS_LISTEN"), "{}", ran.err);
    assert!(ran.err.contains("KMI_PROXY_ALLOW_REMOTE=1"), "{}", ran.err);
}
