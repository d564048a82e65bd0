//! Every endpoint and method goes to the same place below the key's own base URL.

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::{Upstream, api};
use serde_json::json;

#[tokio::test]
async fn every_endpoint_and_method_arrives() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let cases = [
        ("GET", "/models"),
        ("GET", "/models/k3"),
        ("GET", "/usages"),
        ("GET", "/me"),
        ("POST", "/search"),
        ("POST", "/fetch"),
        ("POST", "/files"),
        ("GET", "/files/file-1/content?x=1&y=%20z"),
        ("DELETE", "/files/file-1"),
        ("PUT", "/anything/new"),
        ("PATCH", "/anything/new"),
        ("OPTIONS", "/models"),
        ("POST", "/messages/count_tokens?beta=true"),
        ("GET", "/a%2Fb/c%20d?q=%2e%2e%2F"),
        ("PROPFIND", "/custom"),
    ];
    let mut connection = daemon.connect().await;
    for (method, endpoint) in cases {
        let answer = connection.exchange(Request::new(method, endpoint)).await;
        assert_eq!(answer.status, 200, "{method} {endpoint}: {}", answer.text());
        let seen = upstream.requests().into_iter().next_back().unwrap();
        assert_eq!(
            (seen.head.method.as_str(), seen.head.target.as_str()),
            (method, &*format!("/coding/v1{endpoint}"))
        );
        assert_eq!(seen.key(), Some(key_of("alpha")));
    }
}

#[tokio::test]
async fn answers_are_the_upstreams_own() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    assert_eq!(connection.exchange(Request::get("/models")).await.json(), api::models());
    assert_eq!(connection.exchange(Request::chat()).await.json(), api::chat());
    let message = Request::post("/messages", &json!({"model": "k3", "messages": []}));
    assert_eq!(connection.exchange(message).await.json(), api::message());
    assert_eq!(connection.exchange(Request::chat_stream()).await.text(), api::chat_events().concat());
    assert_eq!(connection.exchange(Request::message_stream()).await.text(), api::message_events().concat());

    let traces = daemon.traces(5).await;
    let tokens = |n: usize| traces[n]["tokens"].clone();
    for n in [1, 3] {
        assert_eq!(tokens(n), json!({"input": 12, "cached": 4, "output": 3}), "{}", traces[n]);
    }
    for n in [2, 4] {
        // The Anthropic wire counts cached tokens beside the others.
        assert_eq!(tokens(n), json!({"input": 12, "cached": 4, "output": 3}), "{}", traces[n]);
    }
    assert_eq!(traces[4]["endpoint"], "/messages");
}

#[tokio::test]
async fn a_key_goes_to_its_own_base_url_only() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let file =
        format!("KMI_API_KEY=sk-kimi-elsewhere-012345\nKMI_UPSTREAM_BASE_URL={}/\n", second.base_url());
    let setup = Setup::live(&first).keys(&["alpha"]).file(".kmi/_auths/beta.env", file);
    let both = format!("{}{}", first.ca_pem(), second.ca_pem());
    let daemon = setup.file("ca.pem", both).start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    assert_eq!(daemon.send(Request::get("/models")).await.key(), Some("beta"));
    assert_eq!(first.keys_at("/models"), [key_of("alpha")]);
    assert_eq!(second.keys_at("/models"), ["sk-kimi-elsewhere-012345"]);
    let strangers =
        |upstream: &Upstream, key: &str| upstream.requests().iter().any(|s| s.key().as_deref() == Some(key));
    assert!(!strangers(&first, "sk-kimi-elsewhere-012345") && !strangers(&second, &key_of("alpha")));
}

#[tokio::test]
async fn a_base_path_of_the_persons_choice() {
    let upstream = Upstream::start().await;
    let daemon =
        Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_BASE_PATH", "/my/kimi/").start().await;
    assert_eq!(daemon.send(Request::target("GET", "/my/kimi/models")).await.status, 200);
    let answer = daemon.send(Request::get("/models")).await;
    assert_eq!((answer.status, answer.by_kmid()), (404, true));
    assert_eq!(upstream.at("/models").len(), 1);
}
