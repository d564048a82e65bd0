//! The fake must not lie: it is checked here against a client that shows what is on the wire.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::harness::{Connection, End, Request};
use crate::http1::Framing;

async fn connect(upstream: &Upstream) -> Connection {
    Connection::open_tls(upstream.address(), upstream.ca_pem()).await
}

fn request(method: &str, endpoint: &str) -> Request {
    Request::target(method, &format!("{BASE_PATH}{endpoint}"))
}

fn chat(stream: bool) -> Request {
    request("POST", "/chat/completions").body(json!({"stream": stream}).to_string())
}

#[tokio::test]
async fn answers_by_itself_and_shows_what_came() {
    let upstream = Upstream::start().await;
    let mut connection = connect(&upstream).await;
    let ask = request("GET", "/models?a=1&b=%2F").field("X-Case", "Kept").field("Authorization", "Bearer k1");
    let answer = connection.exchange(ask).await;
    assert_eq!((answer.status, answer.end), (200, End::Proper));
    assert_eq!(answer.json()["data"][0]["id"], "k3");
    let seen = upstream.nth("/models", 1).await;
    assert_eq!(seen.head.target, "/coding/v1/models?a=1&b=%2F");
    assert_eq!(seen.head.fields.0[1], ("X-Case".into(), "Kept".into()));
    assert_eq!(seen.key().as_deref(), Some("k1"));
    assert_eq!(upstream.ended(&seen).await, Ended::Answered);

    let answer = connection.exchange(chat(true)).await;
    assert_eq!(answer.text(), api::chat_events().concat());
    let answer = connection.exchange(chat(false).chunked()).await;
    assert_eq!(answer.json()["usage"]["cached_tokens"], 4);
    assert_eq!(upstream.nth("/chat/completions", 2).await.body().unwrap(), Bytes::from("{\"stream\":false}"));
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn queued_replies_come_first_and_by_key() {
    let upstream = Upstream::start().await;
    upstream.next("k2", "/models", Reply::openai_error(429, "rate_limit_reached_error", "slow down"));
    upstream.always(ANY, "/models", |seen| Reply::json(200, &json!(seen.key())));
    let mut connection = connect(&upstream).await;
    for (key, status) in [("k1", 200), ("k2", 429), ("k2", 200)] {
        let answer = connection.exchange(request("GET", "/models").field("x-api-key", key)).await;
        assert_eq!(answer.status, status);
    }
    assert_eq!(upstream.keys_at("/models"), ["k1", "k2", "k2"]);
}

#[tokio::test]
async fn gates_and_feeds_decide_the_moment() {
    let upstream = Upstream::start().await;
    let (head, (feed, pieces)) = (Gate::closed(), Feed::new());
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::sse().head_after(&head).feed(pieces).trailer("x-end", "1"),
    );
    let mut connection = connect(&upstream).await;
    connection.send(&chat(true)).await;
    let seen = upstream.nth("/chat/completions", 1).await;
    assert_eq!(upstream.in_flight("/chat/completions"), 1);
    head.open();
    let head = connection.head().await;
    let mut framing = connection.framing(&head);
    for event in ["data: 1\n\n", "data: 22\n\n"] {
        feed.send(event).await;
        assert_eq!(connection.exactly(&mut framing, event.len()).await, event);
    }
    assert_eq!(seen.ended(), None);
    drop(feed);
    assert_eq!(connection.piece(&mut framing).await.unwrap(), None);
    assert_eq!(framing, Framing::Done);
    assert_eq!(upstream.ended(&seen).await, Ended::Answered);
}

#[tokio::test]
async fn every_way_to_end_badly_is_visible() {
    let upstream = Upstream::start().await;
    for ending in [Ending::CloseBeforeHead, Ending::ResetBeforeHead] {
        upstream.next(ANY, "/models", Reply::none(ending));
        let mut connection = connect(&upstream).await;
        connection.send(&request("GET", "/models")).await;
        assert!(connection.any_head().await.is_err(), "{ending:?}");
    }
    for ending in [Ending::Close, Ending::Reset] {
        for reply in [Reply::sse().send("data: x\n\n"), Reply::status(200).send("part").declared(99)] {
            upstream.next(ANY, "/models", reply.ending(ending));
            let answer = connect(&upstream).await.exchange(request("GET", "/models")).await;
            assert_eq!((answer.status, answer.end), (200, End::Broken), "{ending:?}");
        }
    }
    upstream.next(ANY, "/models", Reply::status(200).send("all").to_end());
    let answer = connect(&upstream).await.exchange(request("GET", "/models")).await;
    assert_eq!((answer.text().as_str(), answer.end), ("all", End::Proper));
}

#[tokio::test]
async fn sees_the_client_leave() {
    let upstream = Upstream::start().await;
    for (n, reset) in [(1, false), (2, true)] {
        upstream.next(ANY, "/models", Reply::sse().send("data: x\n\n").ending(Ending::Stall));
        let mut connection = connect(&upstream).await;
        connection.send(&request("GET", "/models")).await;
        connection.head().await;
        let seen = upstream.nth("/models", n).await;
        if reset {
            connection.reset();
        } else {
            drop(connection);
        }
        assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
    }
}

#[tokio::test]
async fn bodiless_answers_early_answers_and_continue() {
    let upstream = Upstream::start().await;
    let mut connection = connect(&upstream).await;
    upstream.next(ANY, "/models", Reply::json(200, &api::models()));
    let answer = connection.exchange(request("HEAD", "/models")).await;
    assert!(answer.body.is_empty() && answer.fields.has("content-length"));
    upstream.next(ANY, "/models", Reply::status(304).field("etag", "\"x\""));
    assert_eq!(connection.exchange(request("GET", "/models")).await.status, 304);

    let upload = request("POST", "/files").field("Expect", "100-continue").body(vec![b'x'; 100_000]);
    connection.send_head(&upload).await;
    assert_eq!(connection.any_head().await.unwrap().status, 100);
    connection.send_raw(&upload.framed_body()).await.unwrap();
    assert_eq!(connection.answer().await.status, 200);
    assert_eq!(upstream.nth("/files", 1).await.body().unwrap().len(), 100_000);

    upstream.next(ANY, "/files", Reply::status(413).early().ending(Ending::Close));
    assert_eq!(connection.exchange(upload).await.status, 413);
}

#[tokio::test]
async fn speaks_http2_when_asked() {
    use http_body_util::{BodyExt, Full};
    let upstream = Upstream::start_with(&[b"h2"]).await;
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").ending(Ending::Close));
    let stream = tokio::net::TcpStream::connect(upstream.address()).await.unwrap();
    let mut config = (*tls::client_config(upstream.ca_pem())).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = |body: &'static str| {
        let uri = format!("{}/chat/completions", upstream.base_url());
        sender.send_request(
            http::Request::post(uri).header("x-api-key", "k").body(Full::new(Bytes::from(body))).unwrap(),
        )
    };
    assert!(ask("{}").await.unwrap().collect().await.is_err());
    let whole = ask("{\"stream\":true}").await.unwrap().collect().await.unwrap().to_bytes();
    assert_eq!(whole, api::chat_events().concat());
    let seen = upstream.nth("/chat/completions", 2).await;
    assert!(seen.http2 && seen.key().as_deref() == Some("k"));
    connection.abort();
}
