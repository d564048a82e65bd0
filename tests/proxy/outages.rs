//! Outages: what every account meets together, and the breaker of the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Answer, Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream, api};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

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
            let answer = daemon.send(request()).await;
            assert_eq!(answer.status, status);
            if upstream.at(endpoint).len() == 2 {
                assert!(is_upstream_down(&answer), "{}", answer.text());
                let wait: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
                assert!((1..=60).contains(&wait));
                assert_eq!(answer.json()["type"] == "error", anthropic, "the client's wire");
            } else {
                // The pause was over already: this was the probe, and the upstream answered it.
                assert!(!answer.by_kmid(), "{}", answer.text());
                assert_eq!(answer.json()["error"]["message"], text);
            }
            assert_eq!(states(&daemon).await, ["ready"; 3], "{status}");
        }
    }
}

/// Alpha and beta have just met a 402 together, gamma serves.
async fn with_two_lapsed(upstream: &Upstream) -> Daemon {
    for label in ["alpha", "beta"] {
        upstream.always(&key_of(label), "/chat/completions", |_| {
            Reply::openai_error(402, "", "We are unable to verify your membership benefits at this time.")
        });
    }
    let daemon = Setup::live(upstream).keys(&["alpha", "beta", "gamma"]).may_switch().start().await;
    daemon.quotas_read().await;
    assert_eq!(daemon.send(Request::chat()).await.status, 402, "it looks like an outage");
    daemon
}

#[tokio::test]
async fn two_lapsed_memberships_do_not_shut_out_a_third_account() {
    let upstream = Upstream::start().await;
    let daemon = with_two_lapsed(&upstream).await;
    let served = || async { Some(daemon.send(Request::chat()).await).filter(|answer| answer.status == 200) };
    let answer = eventually("the pause is over, and the third account decides", served).await;
    assert_eq!(answer.fields.get("x-kmi-key"), Some("gamma"));
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
    assert_eq!(upstream.keys_at("/chat/completions"), ["alpha", "beta", "gamma"].map(key_of));
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.fields.get("x-kmi-key")), (200, Some("gamma")));
    // Only the active key, beta by now, is asked before the one that serves.
    assert_eq!(states(&daemon).await, ["ready", "blocked", "ready"], "now it is its own");
}

#[tokio::test]
async fn a_third_account_that_thinks_for_long_holds_nobody_up() {
    let upstream = Upstream::start().await;
    let daemon = with_two_lapsed(&upstream).await;
    let is = async |state: &str| (breaker(&daemon).await["breaker"] == state).then_some(());
    eventually("the pause to be over", || is("half-open")).await;
    let gate = Gate::closed();
    let events = api::chat_events().concat();
    upstream.next(&key_of("gamma"), "/chat/completions", Reply::sse().wait(&gate).send(events.clone()));
    let mut thinks = daemon.connect().await;
    thinks.send(&Request::chat_stream()).await;
    eventually("the head of its answer", || is("closed")).await;
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.key()), (200, Some("gamma")));
    gate.open();
    assert_eq!(thinks.answer().await.text(), events);
}

#[tokio::test]
async fn retries_of_one_request_are_no_outage() {
    let upstream = Upstream::start().await;
    upstream
        .always(ANY, "/chat/completions", |_| Reply::openai_error(500, "server_error", "I cannot do that"));
    let setup = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).may_switch();
    let setup = setup.env("KMI_PROXY_RETRY_MAX", "2").env("KMI_PROXY_RETRY_BASE_MS", "1");
    let daemon = setup.start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.by_kmid()), (500, false), "{}", answer.text());
    assert_eq!(upstream.keys_at("/chat/completions"), ["alpha"; 3].map(key_of));
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
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

/// How long the upstream is down, by the clock on the wall.
const OUTAGE: Duration = Duration::from_secs(60);
const CLIENTS: usize = 50;
/// A client asks so often at most: what a person's tools do, and what leaves the machine room for other tests.
const PACE: Duration = Duration::from_millis(500);

/// One answer, and how long the client waited for it.
struct Waited {
    answer: Answer,
    took: Duration,
}

/// What fifty clients get at once, each on its own connection, until it has had `enough`.
async fn rush(daemon: &Daemon, enough: impl Fn(&Answer) -> bool + Clone + Send + 'static) -> Vec<Waited> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut connection, enough) = (daemon.connect().await, enough.clone());
        clients.spawn(async move {
            let (mut answers, mut pace) = (Vec::new(), interval(PACE));
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                let asked = Instant::now();
                let answer = connection.exchange(Request::chat()).await;
                let done = enough(&answer);
                answers.push(Waited { answer, took: asked.elapsed() });
                if done {
                    return answers;
                }
            }
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

#[tokio::test]
async fn an_outage_of_sixty_seconds_with_fifty_clients_costs_no_key_and_leaves_the_upstream_in_peace() {
    let upstream = Upstream::start().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    upstream.always(ANY, "/chat/completions", move |_| {
        if over.load(Ordering::SeqCst) {
            Reply::json(200, &api::chat())
        } else {
            Reply::openai_error(503, "server_error", "Unavailable")
        }
    });
    let daemon = Setup::live(&upstream).keys(&["a", "b", "c"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();

    // Those that were under way when the breaker opened are no probes: from here on it is open.
    let began = Instant::now();
    assert!(rush(&daemon, |_| true).await.iter().all(|waited| waited.answer.status == 503));
    let status = breaker(&daemon).await;
    assert!(matches!(status["breaker"].as_str(), Some("open" | "half-open")), "{status}");
    assert_eq!((&status["trouble"], &status["status"]), (&json!("failure"), &json!(503)));
    let before = upstream.at("/chat/completions").len();
    let answers = rush(&daemon, move |_| began.elapsed() >= OUTAGE).await;
    let probes: Vec<Instant> =
        upstream.at("/chat/completions")[before..].iter().map(|seen| seen.arrived).collect();
    let gaps: Vec<Duration> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The daemon counts whole milliseconds.
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(998)), "{gaps:?}");
    assert!(probes.len() >= 3, "the upstream is asked again: {gaps:?}");
    let of_the_upstream = answers.iter().filter(|waited| !is_upstream_down(&waited.answer)).count();
    assert_eq!(of_the_upstream, probes.len(), "one client an answer of the upstream, all others kmid's");
    for Waited { answer, took } in &answers {
        assert_eq!(answer.status, 503);
        // Far below the 30 s that a request may wait for a key, and far above what a loaded machine takes.
        assert!(*took < Duration::from_secs(10), "{took:?} for {}", answer.text());
        assert_eq!(answer.fields.get("x-kmi-queue-ms"), None, "nobody waits for what is down");
    }
    assert_eq!(states(&daemon).await, ["ready"; 3]);

    is_over.store(true, Ordering::SeqCst);
    let answers = rush(&daemon, |answer| answer.status == 200).await;
    assert!(answers.iter().all(|waited| matches!(waited.answer.status, 200 | 503)));
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
    assert!(rush(&daemon, |_| true).await.iter().all(|waited| waited.answer.status == 200));
    for label in ["a", "b", "c"] {
        let key = daemon.key(label).await;
        assert_eq!((&key["state"], &key["reason"]), (&json!("ready"), &Value::Null), "{key}");
        assert!(upstream.keys_at("/chat/completions").contains(&key_of(label)), "{label} serves");
    }
    for event in ["upstream_breaker_open", "upstream_breaker_closed"] {
        daemon.log_with(event).await;
    }
}

#[tokio::test]
async fn a_client_that_the_gate_refuses_stops_no_other_one() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |seen| {
        if seen.head.fields.get("user-agent") == Some("curl/8") {
            let text = "Kimi For Coding is currently only available for Coding Agents.";
            Reply::openai_error(403, "access_terminated_error", text)
        } else {
            Reply::json(200, &api::chat())
        }
    });
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let refused = || Request::chat().field("User-Agent", "curl/8");
    for _ in 0..2 {
        let answer = daemon.send(refused()).await;
        assert_eq!((answer.status, answer.by_kmid()), (403, false), "the upstream's own answer");
    }
    assert_eq!(upstream.keys_at("/chat/completions"), ["alpha", "beta"].map(key_of));
    // It may decide again each time a pause is over.
    let answer = eventually("an answer without asking the upstream", || async {
        Some(daemon.send(refused()).await).filter(Answer::by_kmid)
    })
    .await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("refuses this client program"), "{}", answer.text());
    assert_eq!(breaker(&daemon).await["trouble"], "gate");
    let other = daemon.send(Request::chat().field("User-Agent", "KimiCLI/1.50.0")).await;
    assert_eq!(other.status, 200, "{}", other.text());
    assert_eq!(breaker(&daemon).await["breaker"], "closed");
    assert_eq!(states(&daemon).await, ["ready"; 2]);
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
