//! Outages: what every account meets together, and the breaker of the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Answer, Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Reply, Upstream, api};
use serde_json::{Value, json};
use tokio::task::JoinSet;

async fn breaker(daemon: &Daemon) -> Value {
    daemon.rpc("daemon.status", json!({})).await.unwrap()["upstreams"][0].clone()
}

async fn states(daemon: &Daemon) -> Vec<Value> {
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    list["keys"].as_array().unwrap().iter().map(|key| key["state"].clone()).collect()
}

fn is_upstream_down(answer: &Answer) -> bool {
    answer.by_kmid() && answer.text().contains("is down for every key")
}

#[tokio::test]
async fn the_same_refusal_of_two_accounts_costs_no_key_and_no_third_one() {
    for (status, kind, text) in [
        (429, "rate_limit_reached_error", "We're receiving too many requests at the moment."),
        (402, "", "We are unable to verify your membership benefits at this time."),
    ] {
        for anthropic in [false, true] {
            let upstream = Upstream::start().await;
            upstream.always(ANY, "/chat/completions", move |_| Reply::openai_error(status, kind, text));
            upstream.always(ANY, "/messages", move |_| Reply::anthropic_error(status, kind, text));
            let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).may_switch().start().await;
            daemon.quotas_read().await;
            let endpoint = if anthropic { "/messages" } else { "/chat/completions" };
            let request = || if anthropic { Request::message_stream() } else { Request::chat() };
            let answer = daemon.send(request()).await;
            assert_eq!((answer.status, answer.by_kmid()), (status, false), "the upstream's own answer");
            assert_eq!(answer.json()["error"]["message"], text);
            assert_eq!(upstream.keys_at(endpoint), ["alpha", "beta"].map(key_of));
            assert_eq!(states(&daemon).await, ["ready"; 3], "{status}");
            let first = Instant::now();
            let answer = daemon.send(request()).await;
            // unless a second has passed, and this was the probe
            if first.elapsed().as_millis() < 500 {
                assert_eq!(answer.status, status);
                assert!(is_upstream_down(&answer), "{}", answer.text());
                let wait: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait));
                assert_eq!(answer.json()["type"] == "error", anthropic, "the client's wire");
            }
            assert_eq!(states(&daemon).await, ["ready"; 3], "{status}");
        }
    }
}

#[tokio::test]
async fn two_keys_of_one_account_are_not_two_accounts() {
    let upstream = Upstream::start().await;
    for label in ["alpha", "beta"] {
        let usages = Usages::of("").account("shared").json();
        upstream.always(&key_of(label), "/usages", move |_| Reply::json(200, &usages));
        upstream.always(&key_of(label), "/chat/completions", |_| {
            Reply::openai_error(429, "rate_limit_reached_error", "We're receiving too many requests")
                .field("retry-after", "120")
        });
    }
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.send(Request::chat()).await;
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha")], "beta cools with it");
    assert_eq!(states(&daemon).await, ["cooling"; 2]);
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
}

#[tokio::test]
async fn an_outage_with_fifty_clients_costs_no_key_and_leaves_the_upstream_in_peace() {
    const CLIENTS: usize = 50;
    let upstream = Upstream::start().await;
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    upstream.always(ANY, "/chat/completions", move |_| {
        if is_down.load(Ordering::SeqCst) {
            Reply::openai_error(503, "server_error", "Unavailable")
        } else {
            Reply::json(200, &api::chat())
        }
    });
    let daemon = Setup::live(&upstream).keys(&["a", "b", "c"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let rush = |rounds: usize| {
        let daemon = &daemon;
        async move {
            let mut clients = JoinSet::new();
            for _ in 0..CLIENTS {
                let mut connection = daemon.connect().await;
                clients.spawn(async move {
                    let mut answers = Vec::new();
                    for _ in 0..rounds {
                        answers.push(connection.exchange(Request::chat()).await);
                    }
                    answers
                });
            }
            clients.join_all().await.into_iter().flatten().collect::<Vec<Answer>>()
        }
    };
    rush(1).await;
    let status = breaker(&daemon).await;
    assert!(matches!(status["breaker"].as_str(), Some("open" | "half-open")), "{status}");
    assert_eq!((&status["trouble"], &status["status"]), (&json!("failure"), &json!(503)));
    let (before, began) = (upstream.at("/chat/completions").len(), Instant::now());
    let answers = rush(10).await;
    let probes = upstream.at("/chat/completions").len() - before;
    assert!(probes as u64 <= began.elapsed().as_secs() + 1, "{probes} in {:?}", began.elapsed());
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert_eq!(answers.iter().filter(|answer| !is_upstream_down(answer)).count(), probes);
    assert_eq!(states(&daemon).await, ["ready"; 3]);

    down.store(false, Ordering::SeqCst);
    eventually("a probe to find it well again", || async {
        (daemon.send(Request::chat()).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
    assert!(rush(1).await.iter().all(|answer| answer.status == 200));
    assert_eq!(states(&daemon).await, ["ready"; 3]);
    for event in ["upstream_breaker_open", "upstream_breaker_closed"] {
        eventually(event, || async {
            let log = std::fs::read_to_string(daemon.state_path("logs/kmi.log")).unwrap_or_default();
            log.contains(event).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_models_list_answers_proves_no_key() {
    let upstream = Upstream::start().await;
    let dead = || Reply::openai_error(401, "invalid_authentication_error", "Invalid Authentication");
    upstream.next(ANY, "/chat/completions", dead());
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    assert_eq!(daemon.send(Request::chat()).await.status, 401);
    daemon.key_is("alpha", "blocked").await;
    let recheck = daemon.rpc("keys.recheck", json!({})).await.unwrap();
    assert_eq!(recheck["cleared"], json!(["alpha"]));
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let alpha = daemon.key("alpha").await;
    assert_eq!((&alpha["state"], &alpha["reason"]), (&json!("blocked"), &json!("half_open")));
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    assert_eq!(daemon.key("alpha").await["state"], "ready");
}

#[tokio::test]
async fn unknown_errors_pass_and_are_logged_once_without_what_the_user_wrote() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |_| {
        Reply::openai_error(418, "odd_error", "my secret plan for sk-kimi-abcdefghijkl")
    });
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    for _ in 0..3 {
        assert_eq!(daemon.send(Request::chat()).await.status, 418);
    }
    assert_eq!(states(&daemon).await, ["ready"; 2]);
    assert_eq!(upstream.keys_at("/chat/completions"), vec![key_of("alpha"); 3]);
    let home = daemon.stopped().await;
    let log = std::fs::read_to_string(home.state_dir().join("logs/kmi.log")).unwrap();
    let about: Vec<&str> = log.lines().filter(|line| line.contains("upstream_unknown_error")).collect();
    assert_eq!(about.len(), 1, "{about:?}");
    assert!(about[0].contains("odd_error") && about[0].contains("418"), "{about:?}");
    assert!(!log.contains("secret plan") && !log.contains("abcdefghijkl"));
}
