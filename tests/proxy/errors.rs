//! The error table of the API, row by row: what reaches the client, and which key is touched.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Answer, Daemon, Request, Setup};
use kmi_tests::upstream::{ANY, Ending, Reply, Upstream, api};
use serde_json::{Value, json};

use super::gzip;

/// What one refusal of the first key must lead to.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// The answer goes to the client as it is; no key is touched, no second key is used.
    PassesThrough,
    /// Another key serves; the first is afterwards in this state.
    OtherKeyServes(&'static str),
    /// It passes through while KMI_PROXY_RETRY_MAX is 0; what it does to the key is the pool's affair.
    UpstreamsFault,
}
use Expect::{OtherKeyServes, PassesThrough, UpstreamsFault};

/// Status, `error.type`, text and expectation; from the table in the facts about the API (2026-11).
const TABLE: &[(u16, &str, &str, Expect)] = &[
    (
        401,
        "invalid_authentication_error",
        "The API Key appears to be invalid or may have expired.",
        OtherKeyServes("blocked"),
    ),
    (401, "invalid_authentication_error", "Invalid Authentication", OtherKeyServes("blocked")),
    (401, "authentication_error", "Your model id does not exist", PassesThrough),
    (402, "", "We are unable to verify your membership benefits at this time.", OtherKeyServes("blocked")),
    (402, "", "Something new", OtherKeyServes("blocked")),
    (
        403,
        "access_terminated_error",
        "You've reached your usage limit for this billing cycle.",
        OtherKeyServes("cooling"),
    ),
    (403, "permission_error", "You have reached your weekly (7-day) usage limit.", OtherKeyServes("cooling")),
    (
        403,
        "access_terminated_error",
        "You've reached your monthly usage limit for this billing cycle.",
        OtherKeyServes("cooling"),
    ),
    (403, "permission_error", "You have reached your concurrent request limit.", OtherKeyServes("ready")),
    (
        403,
        "access_terminated_error",
        "Kimi For Coding is currently only available for Coding Agents.",
        PassesThrough,
    ),
    (
        403,
        "access_terminated_error",
        "Access terminated. Review our Community Guidelines.",
        OtherKeyServes("blocked"),
    ),
    (
        429,
        "rate_limit_reached_error",
        "We're receiving too many requests at the moment.",
        OtherKeyServes("cooling"),
    ),
    (429, "engine_overloaded", "The engine is currently overloaded, please try again later", UpstreamsFault),
    (
        429,
        "rate_limit_reached_error",
        "You've reached your usage limit for this period.",
        OtherKeyServes("cooling"),
    ),
    (429, "rate_limit_reached_error", "kimi monthly usage limit reached", OtherKeyServes("cooling")),
    (
        429,
        "exceeded_current_quota_error",
        "You exceeded your current quota, please check your account balance",
        OtherKeyServes("blocked"),
    ),
    (429, "exceeded_current_quota_error", "Your account has insufficient balance", OtherKeyServes("blocked")),
    (429, "rate_limit_reached_error", "insufficient balance", OtherKeyServes("blocked")),
    (
        429,
        "rate_limit_reached_error",
        "Your account reached organization TPD rate limit",
        OtherKeyServes("cooling"),
    ),
    (400, "invalid_request_error", "total message size 4194305 exceeds limit 4194304", PassesThrough),
    (400, "invalid_request_error", "Your request exceeded model token limit: 262144", PassesThrough),
    (
        400,
        "invalid_request_error",
        "reasoning_content is missing in assistant tool call message",
        PassesThrough,
    ),
    (400, "content_filter", "The request was rejected because it was considered high risk", PassesThrough),
    (404, "resource_not_found_error", "Not found the model k3 or Permission denied", OtherKeyServes("ready")),
    (500, "server_error", "Internal error", UpstreamsFault),
    (502, "server_error", "Bad gateway", UpstreamsFault),
    (503, "server_error", "Unavailable", UpstreamsFault),
    (529, "overloaded_error", "Overloaded", UpstreamsFault),
];

async fn check(status: u16, kind: &str, text: &str, expect: Expect, anthropic: bool) {
    let case = format!("{status} {text} (anthropic: {anthropic})");
    let upstream = Upstream::start().await;
    let endpoint = if anthropic { "/messages" } else { "/chat/completions" };
    let reply = || {
        let error = if anthropic { Reply::anthropic_error } else { Reply::openai_error };
        error(status, kind, text).field("x-trace-id", "trace-of-the-refusal")
    };
    upstream.always(&key_of("alpha"), endpoint, move |_| {
        // Only the first attempt is scripted; the same key again would be an answer of its own.
        reply_once(status)
    });
    upstream.next(&key_of("alpha"), endpoint, reply());
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    let request = if anthropic { Request::message_stream() } else { Request::chat() };
    let answer = daemon.send(request).await;
    let keys = upstream.keys_at(endpoint);
    match expect {
        PassesThrough | UpstreamsFault => {
            assert_eq!(answer.status, status, "{case}");
            assert_eq!(keys, [key_of("alpha")], "{case}");
            assert_eq!(answer.json()["error"]["message"], text, "{case}");
            assert_eq!(answer.fields.get("x-trace-id"), Some("trace-of-the-refusal"), "{case}");
            assert_eq!(answer.key(), Some("alpha"), "{case}");
            assert!(!answer.by_kmid(), "{case}");
            if matches!(expect, PassesThrough) {
                assert_eq!(daemon.key("alpha").await["state"], "ready", "{case}");
            }
        }
        OtherKeyServes(state) => {
            assert_eq!(answer.status, 200, "{case}: {}", answer.text());
            assert_eq!(keys, [key_of("alpha"), key_of("beta")], "{case}");
            assert_eq!(answer.key(), Some("beta"), "{case}");
            let alpha = daemon.key("alpha").await;
            assert_eq!(alpha["state"], state, "{case}: {alpha}");
            if state != "ready" {
                assert!(alpha["reason"].is_string(), "{case}: {alpha}");
            }
        }
    }
    assert_eq!(daemon.key("beta").await["state"], "ready", "{case}");
}

fn reply_once(status: u16) -> Reply {
    Reply::openai_error(status, "second_try", "the same key was tried twice")
}

#[tokio::test]
async fn every_row_on_the_openai_wire() {
    for &(status, kind, text, expect) in TABLE {
        check(status, kind, text, expect, false).await;
    }
}

#[tokio::test]
async fn every_row_on_the_anthropic_wire() {
    for &(status, kind, text, expect) in TABLE {
        check(status, kind, text, expect, true).await;
    }
}

/// The same error as an event of a stream that has begun well: what it does to the keys.
async fn check_inside_a_stream(status: u16, kind: &str, text: &str, expect: Expect, anthropic: bool) {
    let case = format!("{status} {text} inside a stream (anthropic: {anthropic})");
    let upstream = Upstream::start().await;
    let endpoint = if anthropic { "/messages" } else { "/chat/completions" };
    let error = json!({"message": text, "type": kind, "code": status.to_string()});
    let event = if anthropic {
        format!("event: error\ndata: {}\n\n", json!({"type": "error", "error": error}))
    } else {
        format!("data: {}\n\n", json!({"error": error}))
    };
    upstream.next(&key_of("alpha"), endpoint, Reply::sse().send(event));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    let request = if anthropic { Request::message_stream() } else { Request::chat_stream() };
    let answer = daemon.send(request).await;
    let trace = &daemon.traces(1).await[0];
    let state = match expect {
        PassesThrough | UpstreamsFault => {
            assert!(answer.text().contains(text), "{case}: {}", answer.text());
            assert_eq!(upstream.keys_at(endpoint), [key_of("alpha")], "{case}");
            "ready"
        }
        OtherKeyServes(state) => {
            assert_eq!(upstream.keys_at(endpoint), ["alpha", "beta"].map(key_of), "{case}");
            assert_eq!((answer.status, answer.key()), (200, Some("beta")), "{case}: {}", answer.text());
            let whole = if anthropic { api::message_events() } else { api::chat_events() };
            assert_eq!(answer.text(), whole.concat(), "{case}: the other key's answer and nothing else");
            state
        }
    };
    assert_eq!(daemon.key("alpha").await["state"], state, "{case}: {trace}");
    assert_eq!(daemon.key("beta").await["state"], "ready", "{case}");
    assert_ne!(trace["attempts"][0]["outcome"], "completed", "{case}: {trace}");
    assert_ne!(trace["attempts"][0]["outcome"], "unknown", "{case}: {trace}");
}

#[tokio::test]
async fn every_row_inside_a_stream_of_the_openai_wire() {
    for &(status, kind, text, expect) in TABLE {
        check_inside_a_stream(status, kind, text, expect, false).await;
    }
}

#[tokio::test]
async fn every_row_inside_a_stream_of_the_anthropic_wire() {
    for &(status, kind, text, expect) in TABLE {
        check_inside_a_stream(status, kind, text, expect, true).await;
    }
}

/// A ban is for a person to settle, so it is said where a person looks.
#[tokio::test]
async fn a_ban_is_said_loudly() {
    let upstream = Upstream::start().await;
    let reply = Reply::openai_error(
        403,
        "access_terminated_error",
        "Access terminated. Review our Community Guidelines.",
    );
    upstream.next(&key_of("alpha"), "/chat/completions", reply);
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    assert_eq!(ask(&daemon).await.key(), Some("beta"));
    let alpha = daemon.key_is("alpha", "blocked").await;
    assert_eq!(alpha["reason"], "banned", "{alpha}");
    let log = daemon.log_with("proxy_key_blocked").await;
    let event = log.lines().find(|line| line.contains("proxy_key_blocked")).unwrap();
    let event: Value = serde_json::from_str(event).unwrap();
    assert_eq!(
        (&event["level"], &event["key"], &event["reason"]),
        (&json!("ERROR"), &json!("alpha"), &json!("banned"))
    );
    let ran = daemon.kmi(&["health"]).await;
    assert!(ran.out.contains("the account is banned"), "{ran:?}");
    assert!(daemon.output().contains("proxy_key_blocked"), "{}", daemon.output());
}

async fn ask(daemon: &Daemon) -> Answer {
    daemon.send(Request::chat()).await
}

#[tokio::test]
async fn an_upstreams_fault_is_tried_again_when_that_is_on() {
    let upstream = Upstream::start().await;
    for _ in 0..2 {
        upstream.next(ANY, "/chat/completions", Reply::openai_error(503, "server_error", "Unavailable"));
    }
    let daemon = Setup::live(&upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_PROXY_RETRY_MAX", "2")
        .env("KMI_PROXY_RETRY_BASE_MS", "1")
        .start()
        .await;
    assert_eq!(ask(&daemon).await.status, 200);
    assert_eq!(upstream.at("/chat/completions").len(), 3);
    let trace = &daemon.traces(1).await[0];
    let attempts = trace["attempts"].as_array().unwrap();
    assert_eq!(
        attempts.iter().map(|a| a["status"].as_u64()).collect::<Vec<_>>(),
        [Some(503), Some(503), Some(200)]
    );
    assert_eq!(trace["status"], 200);
    // Another account at the same host would meet the same and has no cache.
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha"), key_of("alpha"), key_of("alpha")]);
}

/// The first two keys at one host, the last at another, which is the same machine by another name.
fn at_two_hosts(upstream: &Upstream, [first, second, elsewhere]: [&str; 3]) -> Setup {
    let other_url = upstream.base_url().replace("localhost", "127.0.0.1");
    let other = format!("KMI_API_KEY={}\nKMI_UPSTREAM_BASE_URL={other_url}\n", key_of(elsewhere));
    Setup::live(upstream)
        .keys(&[first, second])
        .file(&format!(".kmi/_auths/{elsewhere}.env"), other)
        .may_switch()
        .env("KMI_PROXY_RETRY_BASE_MS", "1")
}

#[tokio::test]
async fn a_host_that_fails_is_left_for_another_one() {
    let upstream = Upstream::start().await;
    upstream.next(ANY, "/chat/completions", Reply::openai_error(503, "server_error", "Unavailable"));
    let setup = at_two_hosts(&upstream, ["alpha", "gamma", "beta"]);
    let daemon = setup.env("KMI_PROXY_RETRY_MAX", "1").start().await;
    assert_eq!(ask(&daemon).await.status, 200);
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha"), key_of("beta")]);
}

#[tokio::test]
async fn a_key_that_refused_is_not_asked_again_when_its_host_fails() {
    let upstream = Upstream::start().await;
    let refused =
        Reply::openai_error(404, "resource_not_found_error", "Not found the model k3 or Permission denied");
    upstream.next(&key_of("alpha"), "/chat/completions", refused);
    // Both hosts fail after that, whatever connection is taken, and so every key that may be asked again is.
    for label in ["beta", "gamma"] {
        upstream.always(&key_of(label), "/chat/completions", |_| Reply::none(Ending::ResetBeforeHead));
    }
    let setup = at_two_hosts(&upstream, ["alpha", "beta", "gamma"]);
    let daemon = setup.env("KMI_PROXY_RETRY_MAX", "3").start().await;
    daemon.quotas_read().await;
    let answer = ask(&daemon).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let trace = &daemon.traces(1).await[0];
    let attempts = trace["attempts"].as_array().unwrap();
    let asked: Vec<&str> = attempts.iter().map(|attempt| attempt["key_label"].as_str().unwrap()).collect();
    assert_eq!(asked, ["alpha", "beta", "gamma", "beta", "gamma"], "{trace}");
    assert_eq!(daemon.key("alpha").await["state"], "ready", "it was not left for being in a pause");
}

#[tokio::test]
async fn a_long_wait_is_not_passed_on() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    let limited = || {
        Reply::openai_error(
            429,
            "rate_limit_reached_error",
            "Your account reached organization TPD rate limit",
        )
    };
    upstream.next(ANY, "/chat/completions", limited().field("retry-after", "1152"));
    let answer = ask(&daemon).await;
    assert_eq!((answer.status, answer.by_kmid()), (429, false), "{answer:?}");
    assert_eq!(answer.fields.get("retry-after"), None, "kimi-code would hang");
    // The next one is told when.
    let answer = ask(&daemon).await;
    assert!(answer.by_kmid() && answer.text().contains("alpha"), "{answer:?}");
}

#[tokio::test]
async fn a_prompt_echoed_in_an_error_touches_no_key() {
    let upstream = Upstream::start().await;
    let echo = json!({"error": {"message": "bad request", "type": "invalid_request_error"},
        "request": {"prompt": "The API Key appears to be invalid or may have expired; reached your usage limit"}});
    upstream.next(ANY, "/chat/completions", Reply::json(400, &echo));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    let answer = ask(&daemon).await;
    assert_eq!((answer.status, answer.json()), (400, echo));
    assert_eq!(daemon.key("alpha").await["state"], "ready");
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha")]);
}

#[tokio::test]
async fn compressed_errors_are_understood_and_pass_as_they_are() {
    let upstream = Upstream::start().await;
    let packed = |text: &str| {
        let body = json!({"error": {"message": text, "type": "invalid_authentication_error"}}).to_string();
        gzip(&body)
    };
    let reply = |text: &str| Reply::status(401).field("content-encoding", "gzip").send(packed(text));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    // The text says that it is the request's fault, the status alone would say that it is the key's.
    let model = "Your model id does not exist";
    upstream.next(&key_of("alpha"), "/chat/completions", reply(model));
    let answer = ask(&daemon).await;
    assert_eq!((answer.status, &answer.body[..]), (401, &packed(model)[..]));
    assert_eq!(answer.fields.get("content-encoding"), Some("gzip"));
    assert_eq!(daemon.key("alpha").await["state"], "ready");
    upstream.next(&key_of("alpha"), "/chat/completions", reply("Invalid Authentication"));
    assert_eq!(ask(&daemon).await.key(), Some("beta"));
    assert_eq!(daemon.key("alpha").await["state"], "blocked");
}

#[tokio::test]
async fn failover_ends_when_every_key_was_tried() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |_| {
        Reply::openai_error(
            403,
            "access_terminated_error",
            "You've reached your usage limit for this billing cycle.",
        )
    });
    let labels = ["a", "b", "c", "d", "e", "f"];
    let daemon =
        Setup::live(&upstream).keys(&labels).may_switch().env("KMI_PROXY_FAILOVER_MAX", "3").start().await;
    let answer = ask(&daemon).await;
    assert_eq!(upstream.keys_at("/chat/completions"), ["a", "b", "c", "d"].map(key_of));
    assert!(matches!(answer.status, 403 | 429), "{answer:?}");
}

#[tokio::test]
async fn without_permission_to_switch_the_refusal_goes_to_the_client() {
    let upstream = Upstream::start().await;
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::openai_error(401, "invalid_authentication_error", "Invalid Authentication"),
    );
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    let answer = ask(&daemon).await;
    assert_eq!((answer.status, answer.by_kmid()), (401, false));
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha")]);
    daemon.key_is("alpha", "blocked").await;
    // From now on kmid says so itself, names the key and the way out.
    let answer = ask(&daemon).await;
    assert!(answer.by_kmid(), "{answer:?}");
    assert!(answer.text().contains("alpha") && answer.text().contains("kmi rotate"), "{}", answer.text());
    assert_eq!(upstream.at("/chat/completions").len(), 1);
}

#[tokio::test]
async fn keys_of_one_account_fall_together() {
    use kmi_tests::upstream::api::Usages;
    let upstream = Upstream::start().await;
    for label in ["alpha", "beta"] {
        upstream.always(&key_of(label), "/usages", |_| {
            Reply::json(200, &Usages::of("").account("shared").json())
        });
    }
    upstream.next(
        &key_of("alpha"),
        "/chat/completions",
        Reply::openai_error(402, "", "unable to verify your membership benefits"),
    );
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta", "gamma"]).may_switch().start().await;
    daemon.quotas_read().await;
    let answer = ask(&daemon).await;
    assert_eq!((answer.status, answer.key()), (200, Some("gamma")));
    assert_eq!(upstream.keys_at("/chat/completions"), [key_of("alpha"), key_of("gamma")]);
    daemon.key_is("beta", "blocked").await;
}

#[tokio::test]
async fn retry_after_sets_the_cooldown() {
    let upstream = Upstream::start().await;
    let reply = Reply::openai_error(429, "rate_limit_reached_error", "organization TPD rate limit");
    upstream.next(ANY, "/chat/completions", reply.field("retry-after", "1152"));
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    assert_eq!(ask(&daemon).await.status, 200);
    let alpha = daemon.key_is("alpha", "cooling").await;
    let until: jiff::Timestamp = alpha["until"].as_str().unwrap().parse().unwrap();
    let seconds = until.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((1100..=1152).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn a_quota_refusal_cools_until_the_full_window_resets() {
    let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    for (five_hours, week) in [(100, 50), (50, 100)] {
        for other in [-days(3), days(3)] {
            full_window(five_hours, week, move || api::reset() + other).await;
        }
    }
}

async fn full_window(
    five_hours: u32,
    week: u32,
    week_resets: impl Fn() -> jiff::Timestamp + Copy + Send + Sync + 'static,
) {
    use kmi_tests::upstream::api::Usages;
    let upstream = Upstream::start().await;
    // The refusal comes first; the reading after it names the window that is full.
    upstream.next(
        &key_of("alpha"),
        "/chat/completions",
        Reply::openai_error(
            403,
            "access_terminated_error",
            "You've reached your usage limit for this billing cycle.",
        ),
    );
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    daemon.quotas_read().await;
    // The other window starts anew earlier or later: neither is to be taken for the full one.
    upstream.always(&key_of("alpha"), "/usages", move |_| {
        let usages = Usages::of("x").used(five_hours, week);
        Reply::json(200, &usages.week_resets(week_resets()).json())
    });
    assert_eq!(ask(&daemon).await.key(), Some("beta"));
    daemon.rpc("quota.refresh", json!({"label": "alpha"})).await.unwrap();
    let alpha = daemon.key("alpha").await;
    assert_eq!(alpha["state"], "cooling");
    let reset = if week == 100 { week_resets() } else { api::reset() };
    let reset = reset.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    assert!(alpha["until"].as_str().unwrap().starts_with(&reset), "{reset}: {alpha}");
}

#[tokio::test]
async fn one_fault_on_two_accounts_is_not_the_keys_fault() {
    let upstream = Upstream::start().await;
    upstream.always(ANY, "/chat/completions", |_| {
        Reply::openai_error(403, "access_terminated_error", "currently only available for Coding Agents")
    });
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    for _ in 0..3 {
        assert_eq!(ask(&daemon).await.status, 403);
    }
    assert_eq!(upstream.keys_at("/chat/completions"), vec![key_of("alpha"); 3]);
}
