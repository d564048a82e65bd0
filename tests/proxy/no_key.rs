//! What a client is told when no key can serve.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Answer, Daemon, Request, Setup};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Reply, Upstream, api};
use serde_json::json;

async fn both(daemon: &Daemon) -> (Answer, Answer) {
    let (openai, anthropic) =
        (daemon.send(Request::chat()).await, daemon.send(Request::message_stream()).await);
    for answer in [&openai, &anthropic] {
        assert!(answer.by_kmid(), "{answer:?}");
        assert!(answer.fields.has("x-kmi-request-id"), "{answer:?}");
        assert_eq!(answer.fields.get("content-type").map(|t| t.starts_with("application/json")), Some(true));
    }
    assert_eq!(anthropic.json()["type"], "error");
    assert!(openai.json()["error"]["message"].is_string());
    (openai, anthropic)
}

#[tokio::test]
async fn no_keys_at_all() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).start().await;
    let (openai, anthropic) = both(&daemon).await;
    assert_eq!((openai.status, anthropic.status), (403, 403));
    assert!(openai.text().contains("_auths"), "it says where keys go: {}", openai.text());
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn all_blocked_or_disabled() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |_| {
        Reply::openai_error(401, "invalid_authentication_error", "Invalid Authentication")
    });
    let off = "KMI_API_KEY=sk-kimi-off-0123456789\nKMI_KEY_DISABLED=1\n";
    let setup = Setup::live(&upstream).keys(&["alpha"]).file(".kmi/_auths/off.env", off);
    let daemon = setup.may_switch().start().await;
    daemon.send(Request::chat()).await;
    daemon.key_is("alpha", "blocked").await;
    let (openai, anthropic) = both(&daemon).await;
    assert_eq!((openai.status, anthropic.status), (403, 403));
    for word in ["alpha", "blocked", "off", "disabled"] {
        assert!(openai.text().contains(word), "{word}: {}", openai.text());
    }
    assert!(upstream.requests().iter().all(|s| s.key().as_deref() != Some("sk-kimi-off-0123456789")));
}

#[tokio::test]
async fn all_switched_off() {
    let off = "KMI_API_KEY=sk-kimi-off-0123456789\nKMI_KEY_DISABLED=1\n";
    let daemon = Setup::dry_run().file(".kmi/_auths/off.env", off).may_switch().start().await;
    let (openai, anthropic) = both(&daemon).await;
    for answer in [&openai, &anthropic] {
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.text().contains("`kmi keys enable LABEL`"), "{}", answer.text());
    }
}

#[tokio::test]
async fn ready_again_within_a_minute() {
    let upstream = Upstream::start().await;
    let reply = || Reply::openai_error(429, "rate_limit_reached_error", "organization TPD rate limit");
    upstream.always(ANY, "/chat/completions", move |_| reply().field("retry-after", "20"));
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
    let daemon = setup.env("KMI_QUEUE_MAX_WAIT_SECONDS", "0").start().await;
    daemon.send(Request::chat()).await;
    daemon.key_is("beta", "cooling").await;
    let (openai, anthropic) = both(&daemon).await;
    for answer in [&openai, &anthropic] {
        assert_eq!(answer.status, 429, "{answer:?}");
        let seconds: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&seconds), "{seconds}");
    }
    assert_ne!(openai.error_type(), "exceeded_current_quota_error");
}

#[tokio::test]
async fn dry_for_long() {
    let upstream = Upstream::start().await;
    for label in ["alpha", "beta"] {
        upstream.always(&key_of(label), "/usages", |seen| {
            Reply::json(200, &Usages::of(&seen.key().unwrap()).used(100, 40).json())
        });
    }
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.key_is("alpha", "cooling").await;
    daemon.key_is("beta", "cooling").await;
    let (openai, anthropic) = both(&daemon).await;
    assert_eq!((openai.status, &*openai.error_type()), (429, "exceeded_current_quota_error"));
    assert_eq!((anthropic.status, &*anthropic.error_type()), (403, "permission_error"));
    let reset = api::reset().strftime("%Y-%m-%d %H:%M:%S").to_string();
    for answer in [&openai, &anthropic] {
        assert!(answer.text().contains("alpha") && answer.text().contains(&reset), "{}", answer.text());
    }
    assert!(upstream.at("/chat/completions").is_empty() && upstream.at("/messages").is_empty());
    let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
    assert_eq!(status["keys"]["exhausted"], 2);
}

#[tokio::test]
async fn strict_serves_only_with_a_good_reading() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/usages", |_| Reply::status(500));
    let setup = || {
        let setup = Setup::live(&upstream).keys(&["alpha"]).may_switch();
        setup.env("KMI_REQUIRE_USAGE_BEFORE_REQUEST", "1")
    };
    let closed = setup().env("KMI_FAIL_OPEN_ON_EMPTY_CACHE", "0").start().await;
    closed.quotas_read().await;
    assert!(closed.send(Request::chat()).await.by_kmid());
    assert!(upstream.at("/chat/completions").is_empty());
    drop(closed);
    let open = setup().start().await;
    assert_eq!(open.send(Request::chat()).await.status, 200);
}
