//! Rate limits over all and a key.

use kmi_tests::harness::{Answer, Request, Setup};
use kmi_tests::upstream::Upstream;

fn is_limited(answer: &Answer) {
    assert_eq!((answer.status, answer.by_kmid()), (429, true), "{answer:?}");
    let seconds: u64 = answer.fields.get("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn over_all_a_minute_in_both_wires() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_PROXY_MAX_RPM", "3")
        .start()
        .await;
    let mut connection = daemon.connect().await;
    for n in 0..3 {
        assert_eq!(connection.exchange(Request::get("/models")).await.status, 200, "{n}");
    }
    let openai = connection.exchange(Request::chat()).await;
    is_limited(&openai);
    assert!(openai.json()["error"]["message"].is_string(), "{}", openai.text());
    let anthropic = connection.exchange(Request::message_stream()).await;
    is_limited(&anthropic);
    assert_eq!(anthropic.json()["type"], "error");
    assert!(anthropic.json()["error"]["type"].is_string(), "{}", anthropic.text());
    assert!(upstream.at("/chat/completions").is_empty() && upstream.at("/messages").is_empty());
}

#[tokio::test]
async fn a_key_at_its_limit_gives_way_to_another() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_PROXY_MAX_RPM_PER_KEY", "2")
        .start()
        .await;
    let mut connection = daemon.connect().await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let answer = connection.exchange(Request::get("/models")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        served.push(answer.key().unwrap().to_owned());
    }
    assert_eq!(served, ["alpha", "alpha", "beta", "beta"]);
    is_limited(&connection.exchange(Request::get("/models")).await);
    // A limit of ours is no cooldown of the key.
    assert_eq!(daemon.key("alpha").await["state"], "ready");
}

#[tokio::test]
async fn a_key_at_its_limit_is_the_end_when_switching_is_not_allowed() {
    let upstream = Upstream::start().await;
    let daemon =
        Setup::live(&upstream).keys(&["alpha", "beta"]).env("KMI_PROXY_MAX_RPM_PER_KEY", "1").start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    is_limited(&daemon.send(Request::get("/models")).await);
    assert_eq!(upstream.at("/models").len(), 1);
}
