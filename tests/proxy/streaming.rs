//! Response bodies stream as they come; either side's leaving is seen by the other.

use std::cell::Cell;

use kmi_tests::harness::wait::within;
use kmi_tests::harness::{End, Request, Setup};
use kmi_tests::http1::Framing;
use kmi_tests::upstream::{ANY, Ended, Ending, Feed, Gate, Reply, Upstream};
use serde_json::json;

#[tokio::test]
async fn events_come_down_at_once_and_unchanged() {
    let upstream = Upstream::start().await;
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/chat/completions", Reply::sse().feed(pieces));
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let head = connection.head().await;
    assert_eq!(head.fields.get("content-type"), Some("text/event-stream"));
    assert!(!head.fields.has("content-length"));
    let mut framing = connection.framing(&head);
    // Cut at every awkward place: within a line, a character, a line end; comments, CRLF, an event of 300 KB.
    let big = format!("data: {}\n\n", "x".repeat(300_000));
    let pieces: [&[u8]; 9] = [
        b": ping\n\n",
        b"data: {\"a\":",
        b"1}\n",
        b"\n",
        b"event: x\r\ndata: \xd0",
        b"\x96\r\n\r\n",
        b"data: \xff\xfe\x00\n\n",
        big.as_bytes(),
        b"data: [DONE]\n\n",
    ];
    for piece in pieces {
        feed.send(piece.to_vec()).await;
        // Only what was sent can come, and the next piece is not sent before this one has arrived.
        assert_eq!(connection.exactly(&mut framing, piece.len()).await, piece);
    }
    drop(feed);
    assert_eq!(connection.piece(&mut framing).await.unwrap(), None);
    assert_eq!(framing, Framing::Done);
}

#[tokio::test]
async fn the_head_comes_before_the_first_byte_of_the_body() {
    let upstream = Upstream::start().await;
    let gate = Gate::closed();
    let reply = Reply::sse().wait(&gate).send("data: [DONE]\n\n");
    upstream.next(ANY, "/chat/completions", reply);
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    assert_eq!(connection.head().await.status, 200);
    gate.open();
}

#[tokio::test]
async fn a_client_that_leaves_aborts_the_upstream_at_once() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    for (n, reset) in [(1, false), (2, true)] {
        upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").ending(Ending::Stall));
        let mut connection = daemon.connect().await;
        connection.send(&Request::chat_stream()).await;
        connection.head().await;
        let seen = upstream.nth("/chat/completions", n).await;
        if reset {
            connection.reset();
        } else {
            drop(connection);
        }
        assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
    }
    // The same before the head.
    let gate = Gate::closed();
    upstream.next(ANY, "/chat/completions", Reply::sse().head_after(&gate));
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let seen = upstream.nth("/chat/completions", 3).await;
    drop(connection);
    assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
    for trace in daemon.traces(3).await {
        assert_eq!(trace["outcome"], "client_left", "{trace}");
    }
    let alpha = daemon.key("alpha").await;
    assert_eq!((&alpha["state"], &alpha["in_flight"]), (&json!("ready"), &json!(0)));
    assert_eq!(alpha["errors"], json!({"401": 0, "403": 0, "429": 0, "5xx": 0}));
}

#[tokio::test]
async fn a_client_that_leaves_while_uploading_reaches_nobody() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    let upload = Request::new("POST", "/files").body(vec![b'x'; 1 << 20]);
    connection.send_head(&upload).await;
    connection.send_raw(&vec![b'x'; 1 << 19]).await.unwrap();
    drop(connection);
    let trace = &daemon.traces(1).await[0];
    assert_eq!(trace["outcome"], "client_left", "{trace}");
    assert!(upstream.at("/files").is_empty(), "half a body that was to be collected went out");
}

#[tokio::test]
async fn a_client_that_leaves_while_its_upload_passes_through_aborts_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
    let daemon = setup.env("KMI_PROXY_REPLAY_MB", "1").env("KMI_PROXY_RETRY_MAX", "3").start().await;
    for n in 1..=2 {
        let mut connection = daemon.connect().await;
        let upload = Request::new("POST", "/files").body(vec![b'x'; 4 << 20]);
        connection.send_head(&upload).await;
        connection.send_raw(&vec![b'x'; 2 << 20]).await.unwrap();
        let seen = upstream.nth("/files", n).await;
        if n == 1 {
            drop(connection);
        } else {
            connection.reset();
        }
        assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
        let trace = &daemon.traces(n).await[n - 1];
        assert_eq!(
            (&trace["outcome"], &trace["error_code"]),
            (&json!("client_left"), &json!(null)),
            "{trace}"
        );
        assert_eq!(trace["attempts"].as_array().unwrap().len(), 1, "{trace}");
    }
    assert_eq!(upstream.at("/files").len(), 2);
    let alpha = daemon.key("alpha").await;
    assert_eq!((&alpha["state"], &alpha["in_flight"]), (&json!("ready"), &json!(0)));
    assert_eq!(alpha["errors"], json!({"401": 0, "403": 0, "429": 0, "5xx": 0}));
}

#[tokio::test]
async fn an_upstream_that_breaks_midway_breaks_the_client() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch().start().await;
    let replies: [fn() -> Reply; 3] = [
        || Reply::sse().send("data: 1\n\n"),
        || Reply::status(200).field("content-type", "application/json").send("{\"half\":").declared(1000),
        || Reply::status(200).send("octets").chunked(),
    ];
    let mut n = 0;
    for reply in replies {
        for ending in [Ending::Close, Ending::Reset] {
            upstream.next(ANY, "/chat/completions", reply().ending(ending));
            let answer = daemon.send(Request::chat_stream()).await;
            n += 1;
            assert_eq!((answer.status, answer.end), (200, End::Broken), "{ending:?} {answer:?}");
            assert_eq!(upstream.at("/chat/completions").len(), n, "nothing is replayed after the first byte");
        }
    }
    for trace in daemon.traces(n).await {
        assert_eq!(trace["outcome"], "upstream_broke", "{trace}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    let upstream = Upstream::start().await;
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/files", Reply::status(200).feed(pieces).chunked());
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let mut connection = daemon.connect().await;
    connection.send(&Request::get("/files")).await;
    let head = connection.head().await;
    let rss = kmi_tests::harness::process::rss(daemon.pid());
    // 64 MiB towards a client that does not read: it must get stuck long before that, not pile up in kmid.
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let pushed = Cell::new(0);
    let pushing = async {
        // The feed itself holds 64 pieces; what comes after them was taken from it.
        for _ in 0..128 {
            feed.send(piece.clone()).await;
            pushed.set(pushed.get() + 1);
        }
    };
    let stuck = async {
        let mut before = usize::MAX;
        while before != pushed.get() {
            before = pushed.get();
            // So many turns of the daemon in which it took nothing.
            for _ in 0..100 {
                daemon.rpc("daemon.status", json!({})).await.unwrap();
            }
        }
    };
    tokio::select! {
        () = pushing => panic!("all of it was taken for a client that reads nothing"),
        () = within("the pushing to get stuck", stuck) => {}
    }
    assert!(pushed.get() > 64, "only {} pieces went into the feed", pushed.get());
    let grown = kmi_tests::harness::process::rss(daemon.pid()).saturating_sub(rss);
    assert!(grown < 16 << 20, "grew by {grown} bytes");
    drop(feed);
    assert_eq!(connection.rest(head).await.end, End::Proper);
}
