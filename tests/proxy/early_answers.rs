//! Answers that kmid has before it has read the body, for clients that send all of it first and only then read. A
//! connection that is closed with bytes unread is reset: the client would see that in place of its answer.

use kmi_tests::harness::{Answer, Connection, Request, Setup};
use kmi_tests::upstream::tls::Authority;
use kmi_tests::upstream::{ANY, Ending, Reply, Upstream};

const TOKEN: &str = "a-token-of-some-length";
const WHOLE: usize = 8 << 20;

fn upload(endpoint: &str) -> Request {
    Request::new("POST", endpoint).body(vec![b'x'; WHOLE])
}

/// The answer to a request of which every byte could be sent before one of the answer was read.
async fn after_all(connection: &mut Connection, request: &Request) -> Answer {
    connection.send_raw(&request.head()).await.unwrap();
    connection.send_raw(&request.framed_body()).await.unwrap();
    connection.answer().await
}

#[tokio::test]
async fn refusals_reach_a_client_that_sends_all_of_its_body_first() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_TOKEN", TOKEN);
    let setup = setup.env("KMI_PROXY_MAX_BODY_MB", "2").env("KMI_PROXY_REPLAY_MB", "1");
    let daemon = setup.start().await;
    let right = format!("Bearer {TOKEN}");
    let let_in = |endpoint| upload(endpoint).field("Authorization", &right);
    let cases = [
        (upload("/files").field("Authorization", "Bearer wrong"), 401),
        (let_in("/files").field("Origin", "https://example.com"), 403),
        (let_in("/../files"), 400),
        (let_in("/files"), 413),
        (let_in("/files").chunked(), 413),
    ];
    for (request, status) in cases {
        let answer = after_all(&mut daemon.connect().await, &request).await;
        assert_eq!((answer.status, answer.by_kmid()), (status, true), "{answer:?}");
        assert!(answer.fields.lists("connection", "close"), "{answer:?}");
    }
    assert!(upstream.at("/files").iter().all(|seen| seen.body().is_none()));
}

#[tokio::test]
async fn so_they_do_over_tls() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let (certificate, key) = authority.issue();
    let setup = Setup::live(&upstream).keys(&["alpha"]).file("cert.pem", certificate).file("key.pem", key);
    let path = |name: &str| setup.home().path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let setup = setup.env("KMI_PROXY_TLS_CERT", &certificate).env("KMI_PROXY_TLS_KEY", &key);
    let daemon = setup.env("KMI_PROXY_TOKEN", TOKEN).start().await;
    let mut connection = Connection::open_tls(daemon.proxy(), &authority.pem()).await;
    let answer = after_all(&mut connection, &upload("/files")).await;
    assert_eq!((answer.status, answer.by_kmid()), (401, true), "{answer:?}");
}

#[tokio::test]
async fn a_rate_limit_leaves_the_connection_good_for_the_next_try() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_MAX_RPM", "1").start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let mut connection = daemon.connect().await;
    for _ in 0..3 {
        let answer = after_all(&mut connection, &upload("/files")).await;
        assert_eq!((answer.status, answer.by_kmid()), (429, true), "{answer:?}");
        assert!(!answer.fields.has("connection"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_early_answer_of_the_upstream_reaches_such_a_client_too() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_REPLAY_MB", "1").start().await;
    let refused = Reply::openai_error(413, "invalid_request_error", "too large");
    upstream.next(ANY, "/files", refused.early().ending(Ending::Close));
    let answer = after_all(&mut daemon.connect().await, &upload("/files")).await;
    assert_eq!((answer.status, answer.by_kmid()), (413, false), "{answer:?}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_in_words() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let long = "x".repeat(4 << 20);
    let mut connection = daemon.connect().await;
    connection
        .send_raw(format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").as_bytes())
        .await
        .unwrap();
    assert_eq!(connection.answer().await.status, 431);
}

/// A client that neither reads nor closes keeps its connection for seconds, and no drain waits for it.
#[tokio::test]
async fn a_client_that_does_not_close_is_left() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let web_page = upload("/files").field("Origin", "https://example.com");
    let mut silent = daemon.connect().await;
    silent.send_head(&web_page).await;
    assert_eq!(silent.answer().await.status, 403);
    assert!(silent.closed().await);
    let mut other = daemon.connect().await;
    other.send_head(&web_page).await;
    assert_eq!(other.answer().await.status, 403);
    daemon.stopped().await;
}
