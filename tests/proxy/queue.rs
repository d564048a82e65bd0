//! Requests that wait for a key: a cap of the account, its queue, and who leaves it.

use std::collections::BTreeSet;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Answer, Connection, Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const CHAT: &str = "/chat/completions";

/// An upstream whose accounts may have so many requests in flight, all keys of one account.
async fn upstream_with_cap(cap: u32) -> Upstream {
    let upstream = Upstream::start().await;
    let mut usages = Usages::of("one").account("one");
    usages.parallel = Some(cap);
    upstream.always(ANY, "/usages", move |_| Reply::json(200, &usages.json()));
    upstream
}

/// Replies that come one by one, as their gates are opened, in the order of the requests' arrival.
fn gated(upstream: &Upstream, replies: usize) -> Vec<Gate> {
    let gates: Vec<Gate> = (0..replies).map(|_| Gate::closed()).collect();
    for gate in &gates {
        upstream.next(ANY, CHAT, Reply::status(200).head_after(gate));
    }
    gates
}

async fn started(setup: Setup) -> Daemon {
    let daemon = setup.start().await;
    daemon.quotas_read().await;
    daemon
}

async fn status(daemon: &Daemon) -> Value {
    daemon.rpc("daemon.status", json!({})).await.unwrap()
}

async fn metrics(daemon: &Daemon) -> String {
    daemon.rpc("metrics.get", json!({})).await.unwrap()["text"].as_str().unwrap().to_owned()
}

async fn waiting(daemon: &Daemon, length: usize) {
    let what = format!("{length} requests to wait");
    eventually(what, || async { (status(daemon).await["queue"]["length"] == length).then_some(()) }).await;
}

/// A request that is on its way.
async fn sent(daemon: &Daemon) -> Connection {
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat()).await;
    connection
}

fn queued(answer: &Answer) -> Option<u64> {
    answer.fields.get("x-kmi-queue-ms").map(|millis| millis.parse().unwrap())
}

#[tokio::test]
async fn sixty_four_of_one_session_against_a_cap_of_four() {
    const ALL: usize = 64;
    const CAP: usize = 4;
    let upstream = upstream_with_cap(4).await;
    let gates = gated(&upstream, ALL);
    let daemon = started(Setup::live(&upstream).keys(&["alpha"])).await;
    let mut clients = JoinSet::new();
    for _ in 0..ALL {
        let mut connection = daemon.connect().await;
        let body = json!({"messages": [], "prompt_cache_key": "one"});
        clients.spawn(async move { connection.exchange(Request::post(CHAT, &body)).await });
    }
    waiting(&daemon, ALL - CAP).await;
    let account = &status(&daemon).await["accounts"][0];
    assert_eq!(account, &json!({"keys": ["alpha"], "in_flight": 4, "cap": 4, "ramp": null}));
    let metrics = metrics(&daemon).await;
    for line in ["kmid_queue_length 60", "kmid_key_cap{key=\"alpha\"} 4", "kmid_key_slots{key=\"alpha\"} 4"] {
        assert!(metrics.lines().any(|other| other == line), "{line}\n{metrics}");
    }
    // Each answer that ends lets one more in, and never two.
    for (answered, gate) in gates.iter().enumerate() {
        upstream.nth(CHAT, (answered + CAP).min(ALL)).await;
        assert!(upstream.at(CHAT).len() <= answered + CAP, "more than {CAP} at once");
        gate.open();
    }
    let answers = clients.join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| queued(answer).is_none()).count(), CAP);
    assert_eq!(upstream.at(CHAT).len(), ALL);
    let traces = daemon.traces(ALL).await;
    let waits: Vec<Option<u64>> = traces.iter().map(|trace| trace["queue_ms"].as_u64()).collect();
    assert_eq!(waits.iter().filter(|wait| wait.is_none()).count(), CAP);
    let shown: BTreeSet<_> = answers.iter().map(queued).collect();
    assert_eq!(shown, waits.into_iter().collect(), "header and trace tell the same");
    assert_eq!(status(&daemon).await["queue"]["length"], 0);
    let metrics = self::metrics(&daemon).await;
    assert!(metrics.contains("\nkmid_queue_wait_seconds_count 60\n"), "{metrics}");
}

#[tokio::test]
async fn a_client_that_gives_up_frees_its_place() {
    let upstream = upstream_with_cap(1).await;
    let gates = gated(&upstream, 2);
    let daemon = started(Setup::live(&upstream).keys(&["alpha"]).env("KMI_QUEUE_MAX", "2")).await;
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let leaves = sent(&daemon).await;
    waiting(&daemon, 1).await;
    let mut second = sent(&daemon).await;
    waiting(&daemon, 2).await;
    leaves.close().await;
    waiting(&daemon, 1).await;
    gates[0].open();
    assert_eq!(first.answer().await.status, 200);
    upstream.nth(CHAT, 2).await;
    gates[1].open();
    let answer = second.answer().await;
    assert!(answer.status == 200 && queued(&answer).is_some(), "{answer:?}");
    assert_eq!(upstream.at(CHAT).len(), 2, "the one that left was never sent");
    assert_eq!(daemon.key("alpha").await["requests"], 2);
    let traces = daemon.traces(3).await;
    let left: Vec<_> = traces.iter().filter(|trace| trace["outcome"] == "client_left").collect();
    assert_eq!((left.len(), &left[0]["attempts"]), (1, &json!([])));
}

#[tokio::test]
async fn a_full_queue_says_so_at_once_in_both_wires() {
    let upstream = upstream_with_cap(1).await;
    let gates = gated(&upstream, 2);
    let daemon = started(Setup::live(&upstream).keys(&["alpha"]).env("KMI_QUEUE_MAX", "1")).await;
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let mut second = sent(&daemon).await;
    waiting(&daemon, 1).await;
    for request in [Request::chat(), Request::message_stream()] {
        let answer = daemon.send(request).await;
        assert_eq!((answer.status, answer.by_kmid()), (429, true), "{answer:?}");
        assert!(answer.text().contains("KMI_QUEUE_MAX"), "{}", answer.text());
        let seconds: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(queued(&answer), None);
    }
    let codes: Vec<Value> = daemon.traces(2).await.iter().map(|trace| trace["error_code"].clone()).collect();
    assert_eq!(codes, ["queue_full", "queue_full"]);
    gates.iter().for_each(Gate::open);
    assert_eq!((first.answer().await.status, second.answer().await.status), (200, 200));
}

#[tokio::test]
async fn two_keys_of_one_account_share_its_slots() {
    let upstream = upstream_with_cap(2).await;
    let gates = gated(&upstream, 3);
    let daemon = started(Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch()).await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let mut clients = Vec::new();
    for n in 1..=2 {
        clients.push(sent(&daemon).await);
        upstream.nth(CHAT, n).await;
    }
    clients.push(sent(&daemon).await);
    waiting(&daemon, 1).await;
    assert_eq!(upstream.keys_at(CHAT), ["alpha", "beta"].map(key_of));
    let account = json!([{"keys": ["alpha", "beta"], "in_flight": 2, "cap": 2, "ramp": null}]);
    assert_eq!(status(&daemon).await["accounts"], account);
    gates.iter().for_each(Gate::open);
    for mut client in clients {
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn a_drain_sends_those_who_wait_away_and_finishes_the_others() {
    let upstream = upstream_with_cap(1).await;
    let gates = gated(&upstream, 1);
    let mut daemon = started(Setup::live(&upstream).keys(&["alpha"])).await;
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let mut second = sent(&daemon).await;
    waiting(&daemon, 1).await;
    daemon.signal(Signal::TERM);
    let sent_away = second.answer().await;
    assert_eq!((sent_away.status, sent_away.by_kmid()), (503, true), "{sent_away:?}");
    assert!(sent_away.fields.has("retry-after") && queued(&sent_away).is_some(), "{sent_away:?}");
    gates[0].open();
    assert_eq!(first.answer().await.status, 200);
    assert!(daemon.ended().await.success());
    assert_eq!(upstream.at(CHAT).len(), 1);
}

#[tokio::test]
async fn whose_wait_is_over_is_refused_as_without_a_queue() {
    let upstream = upstream_with_cap(1).await;
    let gates = gated(&upstream, 1);
    let daemon =
        started(Setup::live(&upstream).keys(&["alpha"]).env("KMI_QUEUE_MAX_WAIT_SECONDS", "1")).await;
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let refused = daemon.send(Request::chat()).await;
    assert_eq!((refused.status, refused.by_kmid()), (429, true), "{refused:?}");
    assert!(queued(&refused).is_some_and(|millis| millis >= 1000), "{refused:?}");
    assert!(refused.text().contains("as many requests in flight as its account allows"));
    gates[0].open();
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test]
async fn a_reload_puts_another_wait_in_force() {
    let upstream = upstream_with_cap(1).await;
    let gates = gated(&upstream, 1);
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = started(setup.file(".kmi/.env", "KMI_QUEUE_MAX_WAIT_SECONDS=300\n")).await;
    daemon.home.write(".kmi/.env", "KMI_QUEUE_MAX_WAIT_SECONDS=0\nKMI_QUEUE_MAX=7\n");
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let queue = json!({"length": 0, "most": 7, "max_wait_seconds": 0});
    assert_eq!(status(&daemon).await["queue"], queue);
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let refused = daemon.send(Request::chat()).await;
    assert_eq!((refused.status, queued(&refused)), (429, None), "{refused:?}");
    gates[0].open();
    assert_eq!(first.answer().await.status, 200);
}

#[tokio::test]
async fn a_pause_that_ends_in_time_is_waited_for_and_then_taken_up_step_by_step() {
    let upstream = Upstream::start().await;
    let busy = Reply::openai_error(429, "rate_limit_reached_error", "We're receiving too many requests");
    upstream.next(ANY, CHAT, busy.field("retry-after", "2"));
    let daemon = started(Setup::live(&upstream).keys(&["alpha"])).await;
    let refused = daemon.send(Request::chat()).await;
    assert_eq!((refused.status, refused.by_kmid()), (429, false), "the refused one gets the upstream's word");
    let gates = gated(&upstream, 3);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(sent(&daemon).await);
    }
    waiting(&daemon, 3).await;
    // All go on their way though none is answered meanwhile: only time lets the second and the third go.
    upstream.nth(CHAT, 4).await;
    gates.iter().for_each(Gate::open);
    for mut client in clients {
        let answer = client.answer().await;
        assert!(answer.status == 200 && queued(&answer).is_some(), "{answer:?}");
    }
}

#[tokio::test]
async fn one_key_that_is_refused_for_being_too_many_waits_for_its_own_slot() {
    let upstream = upstream_with_cap(10).await;
    let daemon = started(Setup::live(&upstream).keys(&["alpha"])).await;
    let gate = Gate::closed();
    upstream.next(ANY, CHAT, Reply::status(200).head_after(&gate));
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    let busy = "You have reached your concurrent request limit.";
    upstream.next(ANY, CHAT, Reply::openai_error(403, "permission_error", busy));
    let mut second = sent(&daemon).await;
    // The cap is one now, and the slot is taken: nothing goes upstream until it is free.
    waiting(&daemon, 1).await;
    assert_eq!(upstream.at(CHAT).len(), 2);
    gate.open();
    assert_eq!(first.answer().await.status, 200);
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.key()), (200, Some("alpha")));
    assert!(queued(&answer).is_some());
    assert_eq!(upstream.at(CHAT).len(), 3);
}

#[tokio::test]
async fn an_account_that_is_full_from_elsewhere_costs_no_turn() {
    let upstream = upstream_with_cap(10).await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_FAILOVER_MAX", "2");
    let daemon = started(setup.env("KMI_PROXY_RETRY_BASE_MS", "1")).await;
    let busy = "You have reached your concurrent request limit.";
    upstream.always(ANY, CHAT, move |_| Reply::openai_error(403, "permission_error", busy));
    upstream.always(ANY, "/messages", move |_| Reply::anthropic_error(403, "permission_error", busy));
    for (request, endpoint) in [(Request::chat(), CHAT), (Request::message_stream(), "/messages")] {
        let answer = daemon.send(request).await;
        // Clients take any 403 for the end, and ask again after a 429.
        assert_eq!((answer.status, answer.by_kmid(), &*answer.error_type()), (429, true, "rate_limit_error"));
        assert_eq!(answer.fields.get("retry-after"), Some("5"));
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.contains("alpha has too many requests in flight"), "{said}");
        assert_eq!(upstream.at(endpoint).len(), 3);
    }
    for trace in daemon.traces(2).await {
        assert_eq!((&trace["status"], &trace["error_code"]), (&json!(429), &json!("keys_busy")), "{trace}");
        let attempts = trace["attempts"].as_array().unwrap();
        assert_eq!(attempts.len(), 3);
        for attempt in attempts {
            assert_eq!(
                (&attempt["status"], &attempt["outcome"]),
                (&json!(403), &json!("concurrent_limit")),
                "what the API said: {trace}"
            );
        }
    }
}

#[tokio::test]
async fn time_at_the_upstream_is_no_waiting_for_a_key() {
    let upstream = upstream_with_cap(1).await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_QUEUE_MAX_WAIT_SECONDS", "5");
    let daemon = started(setup).await;
    let busy = "You have reached your concurrent request limit.";
    let (refuse, serve) = (Gate::closed(), Gate::closed());
    let refusal = Reply::openai_error(403, "permission_error", busy);
    upstream.next(ANY, CHAT, refusal.head_after(&refuse));
    upstream.next(ANY, CHAT, Reply::status(200).head_after(&serve));
    let mut first = sent(&daemon).await;
    upstream.nth(CHAT, 1).await;
    // One that waits in vain shows that the first has been at the upstream for as long as anybody may wait.
    let in_vain = daemon.send(Request::chat()).await;
    assert_eq!((in_vain.status, in_vain.by_kmid()), (429, true), "{in_vain:?}");
    let mut next = sent(&daemon).await;
    waiting(&daemon, 1).await;
    refuse.open();
    // The slot goes to the one that waited; the first has waited for nothing so far.
    upstream.nth(CHAT, 2).await;
    waiting(&daemon, 1).await;
    serve.open();
    assert_eq!(next.answer().await.status, 200);
    let answer = first.answer().await;
    assert!(answer.status == 200 && queued(&answer).is_some(), "{answer:?}");
}
