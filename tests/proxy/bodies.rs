//! Bodies of every size and framing.

use bytes::Bytes;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{End, Request, Setup, process};
use kmi_tests::upstream::{ANY, Ending, Gate, Reply, Upstream};
use serde_json::json;

use super::two_keys;

/// Bytes that differ everywhere, so that a lost or doubled piece shows.
fn noise(length: usize) -> Bytes {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

#[tokio::test]
async fn eight_mib_both_ways() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let body = noise(8 << 20);
    for (n, chunked) in [(1, false), (2, true)] {
        let reply = Reply::status(200).send(body.clone());
        upstream.next(ANY, "/files", if chunked { reply.chunked() } else { reply });
        let mut request = Request::new("POST", "/files").body(body.clone());
        if chunked {
            request = request.chunked();
        }
        let answer = daemon.send(request).await;
        assert_eq!((answer.status, answer.end), (200, End::Proper));
        assert!(answer.body == body, "the answer's body differs");
        assert!(upstream.nth("/files", n).await.body().unwrap() == body, "the request's body differs");
    }
    let trace = &daemon.traces(2).await[0];
    assert_eq!((trace["bytes_up"].as_u64(), trace["bytes_down"].as_u64()), (Some(8 << 20), Some(8 << 20)));
}

#[tokio::test]
async fn eight_mib_is_replayed_whole_on_another_key() {
    let upstream = Upstream::start().await;
    upstream.next(ANY, "/chat/completions", Reply::openai_error(402, "", "membership"));
    let daemon = two_keys(&upstream).await;
    let body = noise(8 << 20);
    let answer = daemon.send(Request::new("POST", "/chat/completions").body(body.clone())).await;
    assert_eq!((answer.status, answer.key()), (200, Some("beta")));
    for n in [1, 2] {
        assert!(upstream.nth("/chat/completions", n).await.body().unwrap() == body, "attempt {n}");
    }
}

#[tokio::test]
async fn past_the_bound_a_body_streams_with_one_attempt() {
    let upstream = Upstream::start().await;
    let refused = || Reply::openai_error(402, "", "membership");
    let daemon = Setup::live(&upstream)
        .keys(&["alpha", "beta"])
        .may_switch()
        .env("KMI_PROXY_REPLAY_MB", "1")
        .start()
        .await;
    let body = noise(3 << 20);
    for (n, chunked) in [(1, false), (2, true)] {
        daemon.rpc("keys.unblock", serde_json::json!({})).await.unwrap();
        daemon.rpc("rotation.rotate", serde_json::json!({"to": "alpha"})).await.unwrap();
        upstream.next(ANY, "/files", refused());
        let mut request = Request::new("POST", "/files").body(body.clone());
        if chunked {
            request = request.chunked();
        }
        let answer = daemon.send(request).await;
        assert_eq!((answer.status, answer.by_kmid()), (402, false));
        let seen = upstream.nth("/files", n).await;
        assert!(upstream.body(&seen).await == body, "the streamed body differs");
        assert_eq!(seen.head.fields.has("content-length"), !chunked);
    }
    assert_eq!(upstream.keys_at("/files"), [key_of("alpha"), key_of("alpha")]);
}

#[tokio::test]
async fn a_streamed_body_arrives_while_it_is_sent() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = setup.env("KMI_PROXY_REPLAY_MB", "1").start().await;
    let body = noise(3 << 20);
    let request = Request::new("POST", "/files").body(body.clone());
    let mut connection = daemon.connect().await;
    connection.send_head(&request).await;
    connection.send_raw(&body[..2 << 20]).await.unwrap();
    // The upstream has the head although the last MiB has not been sent.
    let seen = upstream.nth("/files", 1).await;
    assert!(seen.body().is_none());
    connection.send_raw(&body[2 << 20..]).await.unwrap();
    assert_eq!(connection.answer().await.status, 200);
    assert!(seen.body().unwrap() == body);
}

/// An upload that stalls, or whose upstream gives it up for that, is the client's affair: five failures of an upstream
/// would open its breaker.
#[tokio::test]
async fn an_upload_that_stalls_is_no_failure_of_the_upstream() {
    for (alpn, http) in [(&b"http/1.1"[..], "1.1"), (b"h2", "2")] {
        let upstream = Upstream::start_with(&[alpn]).await;
        let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", http);
        let setup = setup.env("KMI_PROXY_REPLAY_MB", "1").env("KMI_PROXY_IDLE_TIMEOUT_SECONDS", "1");
        let daemon = setup.start().await;
        let upload = Request::new("POST", "/chat/completions").body(noise(3 << 20));
        let stalled = async || {
            let mut connection = daemon.connect().await;
            connection.send_head(&upload).await;
            connection.send_raw(b"five!").await.unwrap();
            let answer = connection.answer().await;
            assert_eq!((answer.status, answer.by_kmid()), (408, true), "HTTP {http}: {answer:?}");
        };
        tokio::join!(stalled(), stalled(), stalled(), stalled(), stalled(), stalled());
        for _ in 0..6 {
            upstream.next(ANY, "/chat/completions", Reply::none(Ending::CloseBeforeHead).early());
            stalled().await;
        }
        let answer = daemon.send(upload.clone()).await;
        assert_eq!(answer.status, 200, "HTTP {http}: {answer:?}");
        assert_eq!(daemon.key("alpha").await["errors"]["5xx"], 0);
        for trace in &daemon.traces(13).await[..12] {
            assert_eq!(trace["attempts"][0]["outcome"], "client_left", "{trace}");
        }
    }
}

/// And one that the upstream does not take is its failure, as before.
#[tokio::test]
async fn an_upload_that_the_upstream_does_not_take_is_its_failure() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_REPLAY_MB", "1");
    let daemon = setup.env("KMI_PROXY_IDLE_TIMEOUT_SECONDS", "1").start().await;
    upstream.next(ANY, "/files", Reply::none(Ending::Stall).head_after(&Gate::closed()).early());
    let answer = daemon.send(Request::new("POST", "/files").body(noise(64 << 20))).await;
    assert_eq!((answer.status, answer.by_kmid()), (504, true), "{answer:?}");
    assert_eq!(daemon.traces(1).await[0]["attempts"][0]["outcome"], "upstream_broke");
}

#[tokio::test]
async fn past_the_total_bodies_stream_as_well() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_REPLAY_MB", "1");
    let daemon = setup.env("KMI_PROXY_REPLAY_TOTAL_MB", "1").start().await;
    let request = Request::new("POST", "/files").body(noise(900 << 10));
    // The first holds most of the total while it is being sent; the second must not wait for it.
    let mut first = daemon.connect().await;
    first.send_head(&request).await;
    first.send_raw(&request.framed_body()[..800 << 10]).await.unwrap();
    let mut second = daemon.connect().await;
    assert_eq!(second.exchange(request.clone()).await.status, 200);
    first.send_raw(&request.framed_body()[800 << 10..]).await.unwrap();
    assert_eq!(first.answer().await.status, 200);
    for seen in upstream.at("/files") {
        assert!(seen.body().unwrap() == request.framed_body());
    }
}

#[tokio::test]
async fn what_is_only_announced_keeps_nobody_from_another_key() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
    let setup = setup.env("KMI_PROXY_REPLAY_MB", "1").env("KMI_PROXY_REPLAY_TOTAL_MB", "1");
    let daemon = setup.start().await;
    let large = Request::new("POST", "/files").body(noise(900 << 10));
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut connection = daemon.connect().await;
        connection.send_head(&large).await;
        connection.send_raw(b"five!").await.unwrap();
        slow.push(connection);
    }
    eventually("their heads", || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        (status["requests"]["in_flight"] == 3).then_some(())
    })
    .await;
    let missing = "Not found the model k3 or Permission denied";
    let refused = Reply::openai_error(404, "resource_not_found_error", missing);
    upstream.next(&key_of("alpha"), "/chat/completions", refused);
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.key()), (200, Some("beta")), "{}", answer.text());
}

/// What was read of a body that is too large to keep stays in memory until the upstream has begun to answer.
#[tokio::test]
async fn what_was_read_of_a_passing_body_counts_until_the_answer_begins() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
    let setup = setup.env("KMI_PROXY_REPLAY_MB", "1").env("KMI_PROXY_REPLAY_TOTAL_MB", "1");
    let daemon = setup.start().await;
    let (head, end) = (Gate::closed(), Gate::closed());
    let reply = Reply::status(200).head_after(&head).send("begun,").wait(&end).send("ended");
    upstream.next(ANY, "/files", reply);
    let mut passing = daemon.connect().await;
    // Of a length that is not announced as much is read as may be kept.
    passing.send(&Request::new("POST", "/files").body(noise(3 << 20)).chunked()).await;
    let seen = upstream.nth("/files", 1).await;
    upstream.body(&seen).await;
    // Only a body that is kept can go to another key, and this one takes the whole of the total.
    let other = async || {
        let refused = Reply::openai_error(
            404,
            "resource_not_found_error",
            "Not found the model k3 or Permission denied",
        );
        upstream.next(&key_of("alpha"), "/chat/completions", refused);
        daemon.send(Request::new("POST", "/chat/completions").body(noise(1 << 20))).await
    };
    let answer = other().await;
    assert_eq!((answer.status, answer.key()), (404, Some("alpha")), "{}", answer.text());
    head.open();
    let begun = passing.head().await;
    let answer = other().await;
    assert_eq!((answer.status, answer.key()), (200, Some("beta")), "{}", answer.text());
    end.open();
    assert_eq!(passing.rest(begun).await.text(), "begun,ended");
}

#[tokio::test]
async fn expect_continue_is_answered_before_the_body() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let mut connection = daemon.connect().await;
    let body = noise(100_000);
    let request = Request::new("POST", "/files").field("Expect", "100-continue").body(body.clone());
    connection.send_head(&request).await;
    assert_eq!(connection.any_head().await.unwrap().status, 100);
    connection.send_raw(&body).await.unwrap();
    assert_eq!(connection.answer().await.status, 200);
    let seen = upstream.nth("/files", 1).await;
    assert_eq!(seen.body().unwrap(), body);
    // The connection is good for another request.
    assert_eq!(connection.exchange(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn interim_answers_of_the_upstream_do_not_end_the_request() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let reply =
        Reply::status(200).send("final").raw_before_head("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    upstream.next(ANY, "/files", reply);
    assert_eq!(daemon.send(Request::get("/files")).await.text(), "final");
}

#[tokio::test]
async fn answers_without_a_body() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let mut connection = daemon.connect().await;
    upstream.next(ANY, "/files", Reply::status(200).send("twelve bytes"));
    let answer = connection.exchange(Request::new("HEAD", "/files")).await;
    assert_eq!((answer.status, answer.fields.get("content-length")), (200, Some("12")));
    upstream.next(ANY, "/files", Reply::status(200).chunked());
    assert_eq!(connection.exchange(Request::new("HEAD", "/files")).await.status, 200);
    upstream.next(ANY, "/files", Reply::status(204));
    let answer = connection.exchange(Request::new("DELETE", "/files")).await;
    assert_eq!((answer.status, answer.fields.has("content-length")), (204, false));
    upstream.next(ANY, "/files", Reply::status(304).field("etag", "\"v1\"").field("content-length", "999"));
    let answer = connection.exchange(Request::get("/files").field("If-None-Match", "\"v1\"")).await;
    assert_eq!((answer.status, answer.fields.get("etag")), (304, Some("\"v1\"")));
    upstream.next(ANY, "/files", Reply::status(200));
    let answer = connection.exchange(Request::get("/files")).await;
    assert_eq!((answer.status, answer.fields.get("content-length")), (200, Some("0")));
    // Every one of them left the connection in step.
    assert_eq!(connection.exchange(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn framing_and_trailers_are_kept() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let mut connection = daemon.connect().await;
    upstream.next(ANY, "/files", Reply::status(200).send("fixed"));
    let answer = connection.exchange(Request::get("/files")).await;
    assert_eq!(
        (answer.fields.get("content-length"), answer.fields.has("transfer-encoding")),
        (Some("5"), false)
    );
    let reply = Reply::status(200)
        .field("trailer", "x-checksum")
        .send("chunk")
        .chunked()
        .trailer("x-checksum", "abc");
    upstream.next(ANY, "/files", reply);
    let answer = connection.exchange(Request::get("/files").field("TE", "trailers")).await;
    assert_eq!((answer.text().as_str(), answer.fields.has("content-length")), ("chunk", false));
    assert_eq!(answer.trailers.get("x-checksum"), Some("abc"));
    upstream.next(ANY, "/files", Reply::status(200).send("to the end").to_end());
    let answer = daemon.send(Request::get("/files")).await;
    assert_eq!((answer.text().as_str(), answer.end), ("to the end", End::Proper));
    assert!(daemon.traces(3).await.iter().all(|trace| trace["outcome"] == "completed"));
    // The connection of the one with trailers was used again.
    let seen = upstream.at("/files");
    assert_eq!(seen[1].connection, seen[2].connection);
}

#[tokio::test]
async fn a_length_beside_chunks_is_not_believed() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    for length in ["1", "500"] {
        let reply = Reply::status(200).send("whole").chunked().field("content-length", length);
        upstream.next(ANY, "/files", reply);
        let answer = daemon.send(Request::get("/files")).await;
        assert_eq!((answer.text().as_str(), answer.end), ("whole", End::Proper), "{length}");
    }
}

#[tokio::test]
async fn an_answer_before_the_body_was_read_reaches_the_client() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = setup.env("KMI_PROXY_REPLAY_MB", "1").start().await;
    upstream.next(
        ANY,
        "/files",
        Reply::openai_error(413, "invalid_request_error", "too large").early().ending(Ending::Close),
    );
    let answer = daemon.send(Request::new("POST", "/files").body(noise(3 << 20))).await;
    assert_eq!((answer.status, answer.by_kmid()), (413, false));
}

#[tokio::test]
async fn compressed_bodies_pass_untouched() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let body = noise(50_000);
    upstream.next(ANY, "/files", Reply::status(200).field("content-encoding", "br").send(body.clone()));
    let request = Request::new("POST", "/files").field("Content-Encoding", "zstd").body(body.clone());
    let answer = daemon.send(request).await;
    assert_eq!((answer.fields.get("content-encoding"), &answer.body), (Some("br"), &body));
    let seen = upstream.nth("/files", 1).await;
    assert_eq!((seen.head.fields.get("content-encoding"), seen.body()), (Some("zstd"), Some(body)));
    assert!(!seen.head.fields.has("accept-encoding"), "kmid must not ask for what the client did not");
}

/// Large bodies of unknown use pass through; they are not gathered in kmid.
#[tokio::test]
async fn sixty_four_mib_pass_in_bounded_memory() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 64;
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let rss = process::rss(daemon.pid());
    process::reset_peak(daemon.pid());
    let piece = noise(PIECE);
    // Down.
    let reply = (0..PIECES).fold(Reply::status(200), |reply, _| reply.send(piece.clone()));
    upstream.next(ANY, "/files", reply);
    let mut connection = daemon.connect().await;
    connection.send(&Request::get("/files")).await;
    let head = connection.head().await;
    assert_eq!(head.fields.get("content-length"), Some(&*(PIECE * PIECES).to_string()));
    let mut framing = connection.framing(&head);
    let mut read = 0;
    while let Some(bytes) = connection.piece(&mut framing).await.unwrap() {
        for (at, byte) in (read..).zip(&bytes) {
            assert!(*byte == piece[at % PIECE], "byte {at} differs");
        }
        read += bytes.len();
    }
    assert_eq!(read, PIECE * PIECES);
    // Up: past KMI_PROXY_REPLAY_MB.
    let length = (PIECE * PIECES).to_string();
    let upload = Request::new("POST", "/files").field("Content-Length", &length);
    connection.send_head(&upload).await;
    for _ in 0..PIECES {
        connection.send_raw(&piece).await.unwrap();
    }
    assert_eq!(connection.answer().await.status, 200);
    let arrived = upstream.nth("/files", 2).await.body().unwrap();
    assert!(arrived.len() == PIECE * PIECES && arrived.chunks(PIECE).all(|chunk| chunk == piece));
    let grown = process::peak_rss(daemon.pid()).saturating_sub(rss);
    assert!(grown < 8 << 20, "grew by {grown} bytes");
}
