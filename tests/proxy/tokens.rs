//! Tokens: with names, withdrawn, wrong ones slowed down; and what those who are not let in get to see.

use std::time::{Duration, Instant};

use kmi_tests::harness::{Answer, Daemon, Request, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::json;

const LAPTOP: &str = "token-of-the-laptop-0001";
const DESKTOP: &str = "token-of-the-desktop-0002";

fn with(token: &str) -> Request {
    Request::chat().field("x-kmi-proxy-token", token)
}

async fn two_clients(upstream: &Upstream) -> Daemon {
    let tokens = format!("KMI_PROXY_TOKENS=laptop:{LAPTOP},desktop:{DESKTOP}\n");
    Setup::live(upstream).keys(&["alpha"]).file(".kmi/.env", tokens).start().await
}

#[tokio::test]
async fn traces_logs_usage_and_metrics_say_whose_request_it_was() {
    let upstream = Upstream::start().await;
    let daemon = two_clients(&upstream).await;
    for token in [LAPTOP, DESKTOP, LAPTOP] {
        assert_eq!(daemon.send(with(token)).await.status, 200);
    }
    let traces = daemon.traces(3).await;
    let names: Vec<_> = traces.iter().map(|trace| trace["client_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["laptop", "desktop", "laptop"]);
    let usage = daemon.rpc("usage.get", json!({"by": "client"})).await.unwrap();
    let rows: Vec<_> =
        usage["rows"].as_array().unwrap().iter().map(|row| (&row["name"], &row["requests"])).collect();
    assert_eq!(rows, [(&json!("laptop"), &json!(2)), (&json!("desktop"), &json!(1))], "{usage}");
    let metrics = daemon.rpc("metrics.get", json!({})).await.unwrap();
    let metrics = metrics["text"].as_str().unwrap();
    let figure = "kmid_client_requests_total{client=\"laptop\",outcome=\"completed\"} 2";
    assert!(metrics.contains(figure), "{metrics}");
    let id = traces[1]["request_id"].as_str().unwrap();
    for args in [
        &["trace", "--no-follow", "--plain"][..],
        &["why", id],
        &["proxy-logs", "--no-follow"],
        &["usage", "--by", "client"],
    ] {
        let ran = daemon.kmi(args).await;
        assert!(ran.out.contains("desktop"), "{args:?}: {ran:?}");
        assert!(!ran.out.contains("token-of-the"), "{args:?}: {ran:?}");
    }
    assert!(
        upstream.requests().iter().all(|seen| !format!("{:?}", seen.head.fields).contains("token-of-the"))
    );
}

#[tokio::test]
async fn one_token_is_withdrawn_without_a_restart_and_the_other_stays() {
    let upstream = Upstream::start().await;
    let daemon = two_clients(&upstream).await;
    let (mut laptop, mut desktop) = (daemon.connect().await, daemon.connect().await);
    assert_eq!(laptop.exchange(with(LAPTOP)).await.status, 200);
    assert_eq!(desktop.exchange(with(DESKTOP)).await.status, 200);
    daemon.home.write(".kmi/.env", format!("KMI_PROXY_TOKENS=desktop:{DESKTOP}\n"));
    // When this is answered the file is in force, whoever was quicker: the watcher or the question.
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert_eq!((&reloaded["issues"], &reloaded["needs_restart"]), (&json!([]), &json!([])), "{reloaded}");
    assert_eq!(laptop.exchange(with(LAPTOP)).await.status, 401, "also on a connection that is open");
    assert_eq!(desktop.exchange(with(DESKTOP)).await.status, 200);
    // Those that are left cannot be lost by a mistake.
    daemon.home.write(".kmi/.env", "KMI_PROXY_TOKENS=desktop\n");
    let reloaded = daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert!(reloaded["issues"].to_string().contains("KMI_PROXY_TOKENS"), "{reloaded}");
    assert_eq!(daemon.send(with("wrong")).await.status, 401);
    assert_eq!(desktop.exchange(with(DESKTOP)).await.status, 200);
}

#[tokio::test]
async fn wrong_tokens_are_slowed_down_and_the_right_one_of_this_machine_is_not() {
    let upstream = Upstream::start().await;
    let daemon = two_clients(&upstream).await;
    let started = Instant::now();
    for _ in 0..6 {
        assert_eq!(daemon.send(with("wrong")).await.status, 401);
    }
    // Three are free; then a quarter of a second, half of one and one, less what the requests took by themselves.
    assert!(started.elapsed() > Duration::from_millis(1500), "{:?}", started.elapsed());
    let mut many = Vec::new();
    for _ in 0..40 {
        let mut connection = daemon.connect().await;
        connection.send(&with("wrong")).await;
        many.push(connection);
    }
    let started = Instant::now();
    assert_eq!(daemon.send(with(LAPTOP)).await.status, 200);
    let took = started.elapsed();
    let mut refused = 0;
    for connection in &mut many {
        let answer = connection.answer().await;
        assert!(matches!(answer.status, 401 | 429), "{answer:?}");
        if answer.status == 429 {
            assert!(
                answer.fields.get("retry-after").is_some_and(|wait| wait.parse::<u32>().is_ok()),
                "{answer:?}"
            );
            refused += 1;
        }
    }
    assert!(refused >= 30, "only {refused} were refused unseen");
    assert!(took < started.elapsed(), "the right token waited as long as the wrong ones");
    // One line for all of them, until their minute is over.
    let log = std::fs::read_to_string(daemon.state_path("logs/kmi.log")).unwrap();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("proxy_unauthorized")).collect();
    assert_eq!(lines.len(), 2, "one a reason: {lines:#?}");
    assert!(lines.iter().all(|line| line.contains("\"peer\":\"127.0.0.1\"")), "{lines:#?}");
    let refused = daemon.traces(3).await.iter().filter(|trace| trace["outcome"] == "refused").count();
    assert_eq!(refused, 2, "no one fills the trace from outside");
    let metrics = daemon.rpc("metrics.get", json!({})).await.unwrap();
    assert!(metrics["text"].as_str().unwrap().contains("kmid_refused_total{why=\"slowed\"}"), "{metrics}");
}

#[tokio::test]
async fn who_is_not_let_in_learns_nothing() {
    let upstream = Upstream::start().await;
    let daemon = two_clients(&upstream).await;
    assert_eq!(daemon.send(with(LAPTOP)).await.key(), Some("alpha"));
    let mut answers: Vec<Answer> = Vec::new();
    for request in [
        Request::chat(),
        with("wrong"),
        Request::get("/models").field("Origin", "https://evil.example"),
        Request::get("/models").field("Host", "evil.example"),
        Request::target("GET", "/"),
        Request::target("GET", "/kmi-rotor/v1/../x"),
        Request::get("/__kmi/other"),
    ] {
        answers.push(daemon.send(request).await);
    }
    let mut malformed = daemon.connect().await;
    malformed.send_raw(b"NONSENSE\r\n\r\n").await.unwrap();
    answers.push(malformed.answer().await);
    for answer in answers {
        assert!(matches!(answer.status, 400 | 401 | 403), "{answer:?}");
        let shown = format!("{answer:?}").to_lowercase();
        for secret in ["alpha", "0.1.0", "laptop", "hyper", "x-kmi-key", "x-kmi-decision", "server:"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[tokio::test]
async fn health_says_ok_or_not_and_nothing_else() {
    let upstream = Upstream::start().await;
    let daemon = two_clients(&upstream).await;
    for _ in 0..3 {
        let answer = daemon.send(Request::get("/__kmi/health")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
        let mut names: Vec<_> = answer.fields.names();
        names.sort();
        assert_eq!(names, ["content-length", "content-type", "date"]);
    }
    assert_eq!(daemon.send(Request::new("HEAD", "/__kmi/health")).await.status, 200);
    assert_eq!(daemon.send(Request::new("POST", "/__kmi/health")).await.status, 405);
    assert_eq!(daemon.send(Request::get("/__kmi/health").field("Host", "evil.example")).await.status, 403);
    // A load balancer that asks all day leaves no trace.
    assert_eq!(daemon.send(with(LAPTOP)).await.status, 200);
    let traces = daemon.traces(2).await;
    assert_eq!(traces.len(), 2, "the refused one and the chat: {traces:?}");
    // What is below it is kmid's own, whoever asks.
    for path in ["/__kmi/health/", "/__kmi/other"] {
        let answer = daemon.send(Request::get(path).field("x-kmi-proxy-token", LAPTOP)).await;
        assert_eq!((answer.status, answer.by_kmid()), (404, true), "{path}");
    }
    let outside = Request::target("GET", "/__kmi/health");
    assert_eq!(daemon.send(outside).await.status, 401, "outside the base path");
    std::fs::remove_file(daemon.home.auths_dir().join("alpha.env")).unwrap();
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    kmi_tests::harness::wait::eventually("health to notice", || async {
        let answer = daemon.send(Request::get("/__kmi/health")).await;
        (answer.status == 503 && answer.text() == "not ok\n").then_some(())
    })
    .await;
}
