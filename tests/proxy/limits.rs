//! Rate limits over all and a key.

use kmi_tests::harness::wait::eventually;
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
async fn limits_a_second_end_with_the_second() {
    let upstream = Upstream::start().await;
    let setup = || {
        let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
        setup.env("KMI_QUEUE_MAX_WAIT_SECONDS", "0")
    };
    for daemon in [
        setup().env("KMI_PROXY_MAX_RPS", "2").start().await,
        setup().env("KMI_PROXY_MAX_RPS_PER_KEY", "1").start().await,
    ] {
        let mut connection = daemon.connect().await;
        let mut limited = None;
        // More than two get through only where more than a second has passed meanwhile.
        let began = std::time::Instant::now();
        let mut passed = 0;
        while limited.is_none() {
            let answer = connection.exchange(Request::get("/models")).await;
            if answer.status == 200 {
                passed += 1;
                assert!(passed <= 2 * (began.elapsed().as_secs() + 1), "{passed} in {:?}", began.elapsed());
            } else {
                limited = Some(answer);
            }
        }
        let limited = limited.unwrap();
        is_limited(&limited);
        assert_eq!(limited.fields.get("retry-after"), Some("1"));
        let again = eventually("the next second", async || {
            Some(daemon.send(Request::get("/models")).await).filter(|answer| answer.status == 200)
        });
        again.await;
    }
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_sends_its_body() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_MAX_RPM", "1").start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    for _ in 0..5 {
        is_limited(&daemon.send(Request::new("POST", "/files").body(vec![b'x'; 8 << 20])).await);
    }
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
