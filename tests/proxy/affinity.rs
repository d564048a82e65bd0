//! Sessions and their keys (KMI_SESSION_AFFINITY), in auto mode.

use std::collections::{BTreeMap, BTreeSet};

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

use super::gzip;

async fn auto(setup: Setup) -> Daemon {
    let daemon = setup.may_switch().start().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    daemon
}

async fn three_keys(upstream: &Upstream) -> Daemon {
    auto(Setup::live(upstream).keys(&["a", "b", "c"])).await
}

fn openai(session: &str) -> Request {
    Request::post("/chat/completions", &json!({"messages": [], "prompt_cache_key": session}))
}

fn anthropic(session: &str) -> Request {
    Request::post("/messages", &json!({"messages": [], "metadata": {"user_id": session}}))
}

async fn key(daemon: &Daemon, request: Request) -> String {
    let answer = daemon.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.key().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_stays_with_its_key() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for _ in 0..4 {
        // Two sessions on three keys: round robin alone would move both.
        for session in ["s1", "s2"] {
            keys.entry(session.into()).or_default().push(key(&daemon, openai(session)).await);
        }
        keys.entry("m1".into()).or_default().push(key(&daemon, anthropic("m1")).await);
        // And one request that belongs to none.
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    }
    for (session, keys) in &keys {
        assert!(keys.iter().all(|key| key == &keys[0]), "{session}: {keys:?}");
    }
    let used: BTreeSet<_> = keys.values().map(|keys| keys[0].clone()).collect();
    assert_eq!(used.len(), 3, "sessions are spread: {keys:?}");

    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["sessions"], json!({"affinity": true, "known": 3}));
    for label in ["a", "b", "c"] {
        assert_eq!(daemon.key(label).await["sessions"], 1);
    }
    // The trace tells sessions apart without telling what the client calls them.
    let traces = daemon.traces(16).await;
    let hashes: BTreeSet<&str> = traces.iter().filter_map(|trace| trace["session"].as_str()).collect();
    assert_eq!(hashes.len(), 3, "{hashes:?}");
    assert!(hashes.iter().all(|hash| hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit())));
    assert_eq!(traces.iter().filter(|trace| trace["session"].is_null()).count(), 4);
}

#[tokio::test]
async fn a_session_stays_with_its_key_across_a_restart() {
    let upstream = Upstream::start().await;
    let mut daemon = three_keys(&upstream).await;
    let names: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let mut homes = BTreeMap::new();
    for name in &names {
        homes.insert(name, key(&daemon, openai(name)).await);
    }
    assert_eq!(homes.values().collect::<BTreeSet<_>>().len(), 3, "{homes:?}");
    for _ in 0..2 {
        let ran = daemon.kmi(&["proxy-restart"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        daemon.followed().await;
        daemon.those_before_ended().await;
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        assert_eq!(status["sessions"], json!({"affinity": true, "known": names.len()}));
        // Not in the order in which round robin dealt them out.
        for name in names.iter().rev() {
            assert_eq!(key(&daemon, openai(name)).await, homes[name], "{name}");
        }
    }
}

#[tokio::test]
async fn switched_off_sessions_go_round() {
    let upstream = Upstream::start().await;
    let daemon = auto(Setup::live(&upstream).keys(&["a", "b", "c"]).env("KMI_SESSION_AFFINITY", "0")).await;
    let mut used = BTreeSet::new();
    for _ in 0..3 {
        used.insert(key(&daemon, openai("s")).await);
    }
    assert_eq!(used.len(), 3);
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["sessions"], json!({"affinity": false, "known": 0}));
}

#[tokio::test]
async fn an_empty_quota_moves_a_session_for_good() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    assert_eq!(key(&daemon, openai("s")).await, "a");
    let full = "You've reached your usage limit for this billing cycle.";
    upstream.next(
        &key_of("a"),
        "/chat/completions",
        Reply::openai_error(403, "access_terminated_error", full),
    );
    // The very request that met it moves on.
    assert_eq!(key(&daemon, openai("s")).await, "b");
    daemon.rpc("keys.unblock", json!({"label": "a"})).await.unwrap();
    daemon.key_is("a", "ready").await;
    for _ in 0..3 {
        assert_eq!(key(&daemon, openai("s")).await, "b");
    }
}

#[tokio::test]
async fn a_concurrency_refusal_lends_a_session_out() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    assert_eq!(key(&daemon, anthropic("m")).await, "a");
    let busy = "You have reached your concurrent request limit.";
    upstream.next(&key_of("a"), "/messages", Reply::anthropic_error(403, "permission_error", busy));
    assert_eq!(key(&daemon, anthropic("m")).await, "b");
    for _ in 0..3 {
        assert_eq!(key(&daemon, anthropic("m")).await, "a");
    }
}

#[tokio::test]
async fn a_rate_limit_lends_a_session_out_until_it_is_over() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    assert_eq!(key(&daemon, openai("s")).await, "a");
    let reply = Reply::openai_error(429, "rate_limit_reached_error", "We're receiving too many requests");
    upstream.next(&key_of("a"), "/chat/completions", reply.field("retry-after", "2"));
    assert_eq!(key(&daemon, openai("s")).await, "b");
    daemon.key_is("a", "ready").await;
    assert_eq!(key(&daemon, openai("s")).await, "a");
}

/// A body as the clients send it, with the session's name behind everything else.
fn large(field: &str, value: &Value) -> String {
    let text = "fn main() { println!(\"{}\", \"prompt_cache_key\"); }\n".repeat(30_000);
    let inner =
        json!({"role": "user", "content": text, "prompt_cache_key": "no", "metadata": {"user_id": "no"}});
    let body = format!(r#"{{"messages":[{inner}],"stream":false,"{field}":{value}}}"#);
    assert!(body.len() > 1 << 20);
    body
}

#[tokio::test]
async fn the_name_may_stand_behind_a_megabyte() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    let json = |endpoint: &str| Request::new("POST", endpoint).field("content-type", "application/json");
    for session in ["one", "two"] {
        let body = large("prompt_cache_key", &json!(session));
        let home = key(&daemon, openai(session)).await;
        assert_eq!(key(&daemon, json("/chat/completions").body(body.clone())).await, home);
        assert_eq!(key(&daemon, json("/chat/completions").body(body.clone()).chunked()).await, home);
        let seen = upstream.at("/chat/completions");
        assert!(upstream.body(seen.last().unwrap()).await == body, "the body is as it came");

        let body = large("metadata", &json!({"user_id": session}));
        let home = key(&daemon, anthropic(session)).await;
        assert_eq!(key(&daemon, json("/messages").body(body.clone())).await, home);
        assert_eq!(key(&daemon, json("/messages").body(body).chunked()).await, home);
    }
}

#[tokio::test]
async fn what_cannot_be_read_has_no_session() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["a", "b", "c"]).env("KMI_PROXY_REPLAY_MB", "1");
    let daemon = auto(setup).await;
    let plain = json!({"messages": [], "prompt_cache_key": "s"}).to_string();
    let post = || Request::new("POST", "/chat/completions");
    // Each goes to the next key: compressed, said to be, too large to collect, no JSON.
    let requests = [
        post().field("content-encoding", "gzip").body(gzip(&plain)),
        post().field("content-encoding", "br").body(plain.clone()),
        post().body(large("prompt_cache_key", &json!("s"))),
        post().body(plain.replace('}', "")),
    ];
    for (request, expected) in requests.into_iter().zip(["a", "b", "c", "a"]) {
        assert_eq!(key(&daemon, request).await, expected);
    }
    assert!(daemon.traces(4).await.iter().all(|trace| trace["session"].is_null()));
}

#[tokio::test]
async fn cached_tokens_are_counted_by_key() {
    let upstream = Upstream::start().await;
    let daemon = three_keys(&upstream).await;
    let usage = |cached: u64| {
        json!({"id": "1", "choices": [],
            "usage": {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": cached}})
    };
    for cached in [0, 90] {
        upstream.next(&key_of("a"), "/chat/completions", Reply::json(200, &usage(cached)));
        assert_eq!(key(&daemon, openai("s")).await, "a");
    }
    daemon.traces(2).await;
    let a = daemon.key("a").await;
    assert_eq!(a["tokens"], json!({"input": 200, "cached": 90, "output": 10}));
    assert_eq!(a["cache_share"], json!(0.45));
    assert_eq!(daemon.key("b").await["cache_share"], Value::Null);
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!((&status["tokens"], &status["cache_share"]), (&a["tokens"], &json!(0.45)));
    let shown = daemon.kmi(&["status"]).await;
    assert!(shown.out.contains("1 session"), "{}", shown.out);
    assert!(shown.out.contains("45 % of prompt tokens from the cache"), "{}", shown.out);
}
