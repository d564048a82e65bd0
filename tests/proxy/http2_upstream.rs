//! An upstream that speaks HTTP/2: what only there can go wrong.

use std::time::Duration;

use kmi_tests::harness::{Answer, Daemon, End, Request, Setup};
use kmi_tests::upstream::{ANY, Ending, Feed, Reply, Upstream, api};
use serde_json::json;
use tokio::time::timeout;

async fn upstream() -> Upstream {
    Upstream::start_with(&[b"h2"]).await
}

fn setup(upstream: &Upstream) -> Setup {
    Setup::live(upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", "2")
}

async fn chat(daemon: &Daemon) -> Answer {
    daemon.send(Request::chat()).await
}

#[tokio::test]
async fn an_answer_is_complete_with_its_last_byte() {
    let upstream = upstream().await;
    let daemon = setup(&upstream).start().await;
    let body = api::chat().to_string();
    // The end of the stream comes in a frame of its own, after the last byte.
    let counted = || Reply::json(200, &api::chat()).field("content-length", &body.len().to_string());
    upstream.next(ANY, "/chat/completions", counted());
    assert_eq!(chat(&daemon).await.text(), body);
    upstream.next(ANY, "/files", counted());
    let answer = daemon.send(Request::new("HEAD", "/files")).await;
    assert_eq!((answer.status, answer.fields.get("content-length")), (200, Some(&*body.len().to_string())));
    for trace in daemon.traces(2).await {
        assert_eq!(trace["outcome"], "completed", "{trace}");
    }
}

#[tokio::test]
async fn a_request_whose_stream_was_reset_is_not_sent_again() {
    let upstream = upstream().await;
    let daemon = setup(&upstream).start().await;
    assert_eq!(chat(&daemon).await.status, 200);
    upstream.next(ANY, "/chat/completions", Reply::none(Ending::ResetBeforeHead));
    let answer = chat(&daemon).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
    assert_eq!(upstream.at("/chat/completions").len(), 2, "it may have been worked on");
    // The connection is as good as before.
    assert_eq!(chat(&daemon).await.status, 200);
    let seen = upstream.at("/chat/completions");
    assert_eq!(seen[0].connection, seen[2].connection);
}

#[tokio::test]
async fn a_hung_stream_ends_while_others_keep_the_connection_busy() {
    let upstream = upstream().await;
    let daemon = setup(&upstream).env("KMI_PROXY_IDLE_TIMEOUT_SECONDS", "1").start().await;
    // Else its connection and that of the first request could both be new.
    daemon.quotas_read().await;
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/files", Reply::status(200).feed(pieces));
    let mut busy = daemon.connect().await;
    busy.send(&Request::get("/files")).await;
    let head = busy.head().await;
    let mut framing = busy.framing(&head);
    let seen = upstream.nth("/files", 1).await;
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").ending(Ending::Stall));
    let hung = daemon.send(Request::chat_stream());
    let others = async {
        loop {
            feed.send("more").await;
            busy.exactly(&mut framing, "more".len()).await;
        }
    };
    let answer = tokio::select! {
        answer = hung => answer,
        () = others => unreachable!(),
    };
    assert_eq!((answer.status, answer.end), (200, End::Broken));
    assert_eq!(upstream.at("/chat/completions")[0].connection, seen.connection);
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_nobody_else() {
    let upstream = upstream().await;
    let daemon = setup(&upstream).start().await;
    daemon.quotas_read().await;
    let mut unread = Vec::new();
    for n in 1..=3 {
        let (feed, pieces) = Feed::new();
        upstream.next(ANY, "/files", Reply::status(200).feed(pieces));
        let mut connection = daemon.connect().await;
        connection.send(&Request::get("/files")).await;
        connection.head().await;
        let seen = upstream.nth("/files", n).await;
        assert_eq!(seen.connection, upstream.at("/files")[0].connection, "all share one");
        // It takes no more when every buffer on the way is full.
        let piece = vec![b'x'; 1 << 20];
        let full = Duration::from_millis(500);
        let mut taken = 0;
        while timeout(full, feed.send(piece.clone())).await.is_ok() {
            taken += 1;
            assert!(taken < 200, "more is kept here than there are buffers for");
        }
        unread.push((connection, feed));
    }
    let answer = chat(&daemon).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(upstream.at("/chat/completions")[0].connection, upstream.at("/files")[0].connection);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_the_clients_fault() {
    let upstream = upstream().await;
    let limits = [("KMI_PROXY_REPLAY_MB", "1"), ("KMI_PROXY_MAX_BODY_MB", "2")];
    let setup = limits.iter().fold(setup(&upstream), |setup, (name, value)| setup.env(name, value));
    let daemon = setup.start().await;
    let body = vec![b'x'; 3 << 20];
    let answer = daemon.send(Request::new("POST", "/files").body(body).chunked()).await;
    assert_eq!((answer.status, answer.by_kmid()), (413, true), "{answer:?}");
    let trace = &daemon.traces(1).await[0];
    assert_eq!(
        (&trace["error_code"], &trace["attempts"][0]["outcome"]),
        (&json!("body_too_large"), &json!("client_left"))
    );
}
