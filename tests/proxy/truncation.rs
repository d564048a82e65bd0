//! An event stream that ends without its terminal event is a broken one, however cleanly it ends: clients would take
//! the truncated text for the whole answer.

use kmi_tests::harness::{Daemon, End, Request, Setup};
use kmi_tests::upstream::{ANY, Ending, Feed, Reply, Upstream, api};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gzip;

/// Events without their last one.
fn cut(mut events: Vec<String>) -> String {
    events.pop();
    events.concat()
}

async fn daemon(upstream: &Upstream) -> Daemon {
    Setup::live(upstream).keys(&["alpha"]).start().await
}

async fn outcome(daemon: &Daemon, n: usize) -> String {
    daemon.traces(n).await[n - 1]["outcome"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_clean_end_without_the_terminal_event_breaks_the_client() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let cases = [
        (Request::chat_stream(), "/chat/completions", cut(api::chat_events())),
        (Request::message_stream(), "/messages", cut(api::message_events())),
        (Request::chat_stream(), "/chat/completions", String::new()),
        // The words alone, inside an event's text, are no end.
        (Request::chat_stream(), "/chat/completions", "data: {\"content\":\"data: [DONE]\"}\n\n".into()),
        (Request::message_stream(), "/messages", "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"event: message_stop\"}}\n\n".into()),
    ];
    for (n, (request, endpoint, body)) in cases.into_iter().enumerate() {
        upstream.next(ANY, endpoint, Reply::sse().send(body.clone()));
        let answer = daemon.send(request).await;
        assert_eq!((answer.text(), answer.end), (body, End::Broken), "case {n}");
        assert_eq!(outcome(&daemon, n + 1).await, "upstream_broke");
    }
}

#[tokio::test]
async fn a_break_after_the_terminal_event_fails_nobody() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let cases = [
        (Request::chat_stream(), "/chat/completions", api::chat_events().concat()),
        (Request::message_stream(), "/messages", api::message_events().concat()),
    ];
    for (n, (request, endpoint, body)) in cases.into_iter().enumerate() {
        // No last chunk.
        upstream.next(ANY, endpoint, Reply::sse().send(body.clone()).ending(Ending::Close));
        let answer = daemon.send(request).await;
        assert_eq!((answer.text(), answer.end), (body, End::Broken), "the client may see it");
        assert_eq!(outcome(&daemon, n + 1).await, "completed");
    }
    assert_eq!(daemon.key("alpha").await["errors"]["5xx"], 0);
}

#[tokio::test]
async fn a_stream_of_a_declared_length_breaks_too_and_keeps_what_came() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let body = cut(api::chat_events());
    let length = body.len() as u64;
    upstream.next(ANY, "/chat/completions", Reply::sse().send(body.clone()).declared(length));
    let answer = daemon.send(Request::chat_stream()).await;
    assert_eq!((answer.text().as_str(), answer.end), (&body[..body.len() - 1], End::Broken));
    assert_eq!(outcome(&daemon, 1).await, "upstream_broke");
}

#[tokio::test]
async fn trailers_do_not_make_a_cut_stream_whole() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    for (n, (events, end, said)) in [
        (cut(api::chat_events()), End::Broken, "upstream_broke"),
        (api::chat_events().concat(), End::Proper, "completed"),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = Reply::sse().send(events.clone()).field("trailer", "x-sum").trailer("x-sum", "1");
        upstream.next(ANY, "/chat/completions", reply);
        let answer = daemon.send(Request::chat_stream().field("TE", "trailers")).await;
        assert_eq!((answer.text(), answer.end), (events, end));
        assert_eq!(outcome(&daemon, n + 1).await, said);
    }
}

#[tokio::test]
async fn an_error_answer_that_breaks_off_breaks_the_client() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    for (n, reply) in [Reply::status(400).declared(500), Reply::status(400).chunked()].into_iter().enumerate()
    {
        upstream.next(ANY, "/files", reply.send("{\"error\":").ending(Ending::Reset));
        let answer = daemon.send(Request::get("/files")).await;
        assert_eq!((answer.status, answer.end), (400, End::Broken), "case {n}: {answer:?}");
    }
}

#[tokio::test]
async fn whole_streams_end_properly() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let openai_error = "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"engine_overloaded\"}}\n\n";
    let anthropic_error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n";
    let cases = [
        (Request::chat_stream(), "/chat/completions", api::chat_events().concat()),
        (Request::message_stream(), "/messages", api::message_events().concat()),
        // Spellings that the format allows: CRLF, no space after the colon, a comment after the end.
        (Request::chat_stream(), "/chat/completions", "data: {}\r\n\r\ndata: [DONE]\r\n\r\n".into()),
        (Request::chat_stream(), "/chat/completions", "data:{}\n\ndata:[DONE]\n\n".into()),
        (Request::chat_stream(), "/chat/completions", "data: [DONE]\n\n: bye\n\n".into()),
        (Request::chat_stream(), "/chat/completions", "data: [DONE]".into()),
        // An error event ends a stream as well; the client must read it.
        (Request::chat_stream(), "/chat/completions", format!("data: {{\"choices\":[]}}\n\n{openai_error}")),
        (Request::message_stream(), "/messages", format!("{}{anthropic_error}", cut(api::message_events()))),
    ];
    for (n, (request, endpoint, body)) in cases.into_iter().enumerate() {
        upstream.next(ANY, endpoint, Reply::sse().send(body.clone()));
        let answer = daemon.send(request).await;
        assert_eq!((answer.text(), answer.end), (body, End::Proper), "case {n}");
    }
}

#[tokio::test]
async fn the_terminal_event_may_come_in_pieces() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/chat/completions", Reply::sse().feed(pieces));
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    let head = connection.head().await;
    let mut framing = connection.framing(&head);
    for byte in b"data: {}\n\ndata: [DONE]\n\n" {
        feed.send(vec![*byte]).await;
        connection.exactly(&mut framing, 1).await;
    }
    drop(feed);
    assert_eq!(connection.piece(&mut framing).await.unwrap(), None);
    assert_eq!(outcome(&daemon, 1).await, "completed");
}

#[tokio::test]
async fn only_event_streams_of_the_two_wires_are_judged() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let body = "data: no end\n\n";
    // Another endpoint, another type, another status: none of these has a terminal event.
    upstream.next(ANY, "/search", Reply::sse().send(body));
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::status(200).field("content-type", "text/plain").send(body).chunked(),
    );
    upstream.next(ANY, "/messages", Reply::sse().send(body).with_status(418));
    for request in [Request::post("/search", &json!({})), Request::chat_stream(), Request::message_stream()] {
        let answer = daemon.send(request).await;
        assert_eq!((answer.text().as_str(), answer.end), (body, End::Proper), "{answer:?}");
    }
}

#[tokio::test]
async fn a_compressed_stream_stays_compressed_and_completes() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    // `data: {}\n\ndata: [DONE]\n\n`, compressed by gzip 1.12.
    let packed = include_bytes!("../data/done.sse.gz");
    upstream.next(ANY, "/chat/completions", Reply::sse().field("content-encoding", "gzip").send(&packed[..]));
    let answer = daemon.send(Request::chat_stream().field("Accept-Encoding", "gzip")).await;
    assert_eq!(answer.fields.get("content-encoding"), Some("gzip"));
    assert_eq!((&answer.body[..], answer.end), (&packed[..], End::Proper));
    assert_eq!(upstream.nth("/chat/completions", 1).await.head.fields.get("accept-encoding"), Some("gzip"));
    // An encoding that nobody here reads cannot be judged, and counts as completed.
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::sse().field("content-encoding", "x-unknown").send("\u{1}\u{2}"),
    );
    assert_eq!(daemon.send(Request::chat_stream()).await.end, End::Proper);
    assert_eq!(outcome(&daemon, 2).await, "completed");
}

#[tokio::test]
async fn compressed_streams_are_judged_on_a_copy() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let cases = [
        (api::chat_events().concat(), End::Proper, "completed"),
        (cut(api::chat_events()), End::Broken, "upstream_broke"),
    ];
    for (n, (body, end, ended)) in cases.into_iter().enumerate() {
        let packed = gzip(&body);
        let reply = Reply::sse().field("content-encoding", "gzip").send(packed.clone());
        upstream.next(ANY, "/chat/completions", reply);
        let answer = daemon.send(Request::chat_stream().field("Accept-Encoding", "gzip")).await;
        assert_eq!((&answer.body[..], answer.end), (&packed[..], end), "case {n}");
        assert_eq!(outcome(&daemon, n + 1).await, ended);
    }
    assert_eq!(daemon.traces(2).await[0]["tokens"], json!({"input": 12, "cached": 4, "output": 3}));
}

#[tokio::test]
async fn a_client_that_hangs_up_after_the_terminal_event_has_completed() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    for (n, (request, endpoint, events)) in [
        (Request::chat_stream(), "/chat/completions", api::chat_events()),
        (Request::message_stream(), "/messages", api::message_events()),
    ]
    .into_iter()
    .enumerate()
    {
        let (feed, pieces) = Feed::new();
        upstream.next(ANY, endpoint, Reply::sse().feed(pieces));
        let mut connection = daemon.connect().await;
        connection.send(&request).await;
        let head = connection.head().await;
        let mut framing = connection.framing(&head);
        let body = events.concat();
        feed.send(body.clone()).await;
        connection.exactly(&mut framing, body.len()).await;
        // The last chunk never comes: this is how kimi-cli behaves every time.
        drop(connection);
        assert_eq!(outcome(&daemon, n + 1).await, "completed");
        drop(feed);
    }
    let trace = &daemon.traces(2).await[0];
    assert_eq!(trace["tokens"]["output"], 3, "{trace}");
}

/// In HTTP/1.0 a body ends with its connection: only a reset shows that it broke off.
#[tokio::test]
async fn a_client_of_http_1_0_sees_a_cut_stream_too() {
    let upstream = Upstream::start().await;
    let daemon = daemon(&upstream).await;
    let body = Request::chat_stream().framed_body();
    let head = format!(
        "POST /kmi-rotor/v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for (events, whole) in [(api::chat_events().concat(), true), (cut(api::chat_events()), false)] {
        upstream.next(ANY, "/chat/completions", Reply::sse().send(events.clone()));
        let mut client = TcpStream::connect(daemon.proxy()).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let mut answer = Vec::new();
        let end = client.read_to_end(&mut answer).await;
        if whole {
            assert!(String::from_utf8(answer).unwrap().ends_with(&events));
            assert!(end.is_ok(), "{end:?}");
        } else {
            assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
}
