//! Nothing of an event stream reaches the client before the model's first output; until then another attempt can
//! stand in for it.

use std::io::Write;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{End, Request, Setup};
use kmi_tests::upstream::{ANY, Ended, Ending, Feed, Reply, Upstream, api};
use serde_json::{Value, json};

use super::{gzip, two_keys};

const QUOTA: &str = "You've reached your usage limit for this billing cycle.";

/// A wire with what its clients ask and what its streams are made of.
struct Case {
    endpoint: &'static str,
    request: fn() -> Request,
    events: Vec<String>,
    /// How many events come before the first output.
    before: usize,
}

fn cases() -> [Case; 2] {
    [
        Case {
            endpoint: "/chat/completions",
            request: Request::chat_stream,
            events: api::chat_events(),
            before: 1,
        },
        Case {
            endpoint: "/messages",
            request: Request::message_stream,
            events: api::message_events(),
            before: 1,
        },
    ]
}

impl Case {
    /// What comes before the first output, with what clients skip.
    fn preamble(&self) -> String {
        format!(": upstream\n\n{}", self.events[..self.before].concat())
    }

    fn error(&self, kind: &str, message: &str) -> String {
        let error = json!({"type": kind, "message": message});
        if self.endpoint == "/messages" {
            format!("event: error\ndata: {}\n\n", json!({"type": "error", "error": error}))
        } else {
            format!("data: {}\n\n", json!({"error": error}))
        }
    }

    fn whole(&self) -> String {
        self.events.concat()
    }
}

/// Outcome and status of each attempt.
fn attempts(trace: &Value) -> Vec<(String, Option<u64>)> {
    let attempts = trace["attempts"].as_array().unwrap();
    attempts.iter().map(|a| (a["outcome"].as_str().unwrap().to_owned(), a["status"].as_u64())).collect()
}

#[tokio::test]
async fn an_error_event_before_output_goes_to_another_key() {
    for case in cases() {
        let upstream = Upstream::start().await;
        let refused = case.preamble() + &case.error("access_terminated_error", QUOTA);
        // The stream stays open behind the error: nobody waits for its end.
        let reply = Reply::sse().field("x-trace-id", "first").send(refused).ending(Ending::Stall);
        upstream.next(&key_of("alpha"), case.endpoint, reply);
        let daemon = two_keys(&upstream).await;
        let answer = daemon.send((case.request)()).await;
        assert_eq!((answer.text(), answer.end), (case.whole(), End::Proper), "{}", case.endpoint);
        assert_eq!((answer.status, answer.key()), (200, Some("beta")));
        assert_eq!(answer.fields.get("x-trace-id"), Some("trace-1"), "the second stream's head");
        assert_eq!(upstream.keys_at(case.endpoint), [key_of("alpha"), key_of("beta")]);
        let first = upstream.nth(case.endpoint, 1).await;
        assert_eq!(upstream.ended(&first).await, Ended::ClientLeft);
        daemon.key_is("alpha", "cooling").await;
        let trace = &daemon.traces(1).await[0];
        let expected = [("quota_cycle".to_owned(), Some(200)), ("completed".to_owned(), Some(200))];
        assert_eq!(attempts(trace), expected, "{trace}");
        assert_eq!((&trace["status"], &trace["outcome"]), (&json!(200), &json!("completed")));
    }
}

#[tokio::test]
async fn an_error_event_after_output_passes() {
    for case in cases() {
        let upstream = Upstream::start().await;
        let begun = case.events[..=case.before].concat();
        let body = begun + &case.error("access_terminated_error", QUOTA);
        upstream.next(ANY, case.endpoint, Reply::sse().send(body.clone()));
        let daemon = two_keys(&upstream).await;
        let answer = daemon.send((case.request)()).await;
        assert_eq!((answer.text(), answer.end, answer.key()), (body, End::Proper, Some("alpha")));
        assert_eq!(upstream.at(case.endpoint).len(), 1, "nothing is sent twice after the first output");
        daemon.key_is("alpha", "cooling").await;
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_output_is_tried_again_when_that_is_on() {
    for case in cases() {
        let broken = [
            Reply::sse().send(case.preamble()).ending(Ending::Reset),
            Reply::sse().send(case.preamble()).ending(Ending::Close),
            // A clean end without the terminal event, of both framings.
            Reply::sse().send(case.preamble()),
            Reply::sse().send(case.preamble()).declared(case.preamble().len() as u64),
        ];
        let upstream = Upstream::start().await;
        let setup = Setup::live(&upstream).keys(&["alpha", "beta"]).may_switch();
        let setup = setup.env("KMI_PROXY_RETRY_MAX", "1").env("KMI_PROXY_RETRY_BASE_MS", "1");
        let daemon = setup.start().await;
        for (n, reply) in broken.into_iter().enumerate() {
            upstream.next(ANY, case.endpoint, reply);
            let answer = daemon.send((case.request)()).await;
            assert_eq!((answer.text(), answer.end), (case.whole(), End::Proper), "{} {n}", case.endpoint);
            let trace = &daemon.traces(n + 1).await[n];
            let expected = [("upstream_broke".to_owned(), Some(200)), ("completed".to_owned(), Some(200))];
            assert_eq!(attempts(trace), expected, "{trace}");
        }
    }
}

#[tokio::test]
async fn without_another_attempt_the_client_gets_what_came() {
    for case in cases() {
        let upstream = Upstream::start().await;
        let daemon = two_keys(&upstream).await;
        let preamble = case.preamble();
        let length = preamble.len();
        for (n, (reply, kept)) in [
            (Reply::sse().send(preamble.clone()).ending(Ending::Reset), length),
            (Reply::sse().send(preamble.clone()), length),
            (Reply::sse().send(preamble.clone()).declared(length as u64), length - 1),
        ]
        .into_iter()
        .enumerate()
        {
            upstream.next(ANY, case.endpoint, reply);
            let answer = daemon.send((case.request)()).await;
            assert_eq!((answer.text().as_str(), answer.end), (&preamble[..kept], End::Broken), "{n}");
            assert_eq!((answer.status, answer.by_kmid()), (200, false));
            let trace = &daemon.traces(n + 1).await[n];
            assert_eq!((&trace["status"], &trace["outcome"]), (&json!(200), &json!("upstream_broke")));
            assert_eq!(trace["bytes_down"], kept, "{trace}");
        }
        // An error that another key would not cure.
        let body = preamble + &case.error("invalid_request_error", "exceeded model token limit");
        upstream.next(ANY, case.endpoint, Reply::sse().send(body.clone()));
        let answer = daemon.send((case.request)()).await;
        assert_eq!((answer.text(), answer.end), (body, End::Proper));
        assert_eq!(daemon.traces(4).await[3]["outcome"], "invalid_request");
        assert_eq!(upstream.at(case.endpoint).len(), 4);
    }
}

#[tokio::test]
async fn when_every_attempt_fails_the_last_stream_passes_as_it_was() {
    for case in cases() {
        let upstream = Upstream::start().await;
        let labels = ["alpha", "beta", "gamma"];
        let body = |label: &str| {
            case.preamble() + &case.error("access_terminated_error", &format!("{QUOTA} ({label})"))
        };
        for label in labels {
            upstream.next(&key_of(label), case.endpoint, Reply::sse().send(body(label)));
        }
        let setup = Setup::live(&upstream).keys(&labels).may_switch();
        let daemon = setup.env("KMI_PROXY_FAILOVER_MAX", "1").start().await;
        let answer = daemon.send((case.request)()).await;
        assert_eq!((answer.text(), answer.end), (body("beta"), End::Proper), "{}", case.endpoint);
        assert_eq!((answer.status, answer.key()), (200, Some("beta")));
        assert_eq!(upstream.keys_at(case.endpoint), [key_of("alpha"), key_of("beta")]);
    }
}

#[tokio::test]
async fn what_was_held_comes_with_the_first_output_and_unchanged() {
    for case in cases() {
        let upstream = Upstream::start().await;
        let daemon = two_keys(&upstream).await;
        let (feed, pieces) = Feed::new();
        upstream.next(ANY, case.endpoint, Reply::sse().feed(pieces));
        let mut connection = daemon.connect().await;
        connection.send(&(case.request)()).await;
        let begun = case.preamble() + &case.events[case.before];
        // In small pieces, cut wherever it comes.
        for piece in begun.as_bytes().chunks(37) {
            feed.send(piece.to_vec()).await;
        }
        // The stream goes on, and yet all of it is here.
        let head = connection.head().await;
        let mut framing = connection.framing(&head);
        assert_eq!(connection.exactly(&mut framing, begun.len()).await, begun);
        let rest = case.events[case.before + 1..].concat();
        feed.send(rest.clone()).await;
        assert_eq!(connection.exactly(&mut framing, rest.len()).await, rest);
        drop(feed);
        assert_eq!(connection.piece(&mut framing).await.unwrap(), None);
        let trace = &daemon.traces(1).await[0];
        assert_eq!(trace["bytes_down"], begun.len() + rest.len(), "{trace}");
    }
}

#[tokio::test]
async fn nothing_is_held_without_bounds() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/messages", Reply::sse().feed(pieces));
    let mut connection = daemon.connect().await;
    connection.send(&Request::message_stream()).await;
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n".repeat(100);
    let pings = 64 * 1024 / ping.len() + 1;
    for _ in 0..pings {
        feed.send(ping.clone()).await;
    }
    let head = connection.head().await;
    let mut framing = connection.framing(&head);
    let came = connection.exactly(&mut framing, pings * ping.len()).await;
    assert_eq!(came, ping.repeat(pings));
    drop(feed);
}

#[tokio::test]
async fn a_client_that_leaves_while_its_stream_is_held_aborts_it() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let case = &cases()[0];
    upstream.next(ANY, case.endpoint, Reply::sse().send(case.preamble()).ending(Ending::Stall));
    let mut connection = daemon.connect().await;
    connection.send(&(case.request)()).await;
    let seen = upstream.nth(case.endpoint, 1).await;
    drop(connection);
    assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
    let trace = &daemon.traces(1).await[0];
    assert_eq!(trace["outcome"], "client_left", "{trace}");
    assert_eq!(daemon.key("alpha").await["in_flight"], 0);
}

fn pack(encoding: &str, text: &str) -> Vec<u8> {
    match encoding {
        "gzip" => gzip(text),
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
            encoder.write_all(text.as_bytes()).unwrap();
            drop(encoder);
            out
        }
        _ => ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest),
    }
}

#[tokio::test]
async fn compressed_streams_are_judged_on_a_copy() {
    let case = &cases()[0];
    for encoding in ["gzip", "br", "zstd"] {
        let upstream = Upstream::start().await;
        let daemon = two_keys(&upstream).await;
        let cut = case.events[..case.events.len() - 1].concat();
        for (n, (text, end, outcome)) in
            [(case.whole(), End::Proper, "completed"), (cut, End::Broken, "upstream_broke")]
                .into_iter()
                .enumerate()
        {
            let packed = pack(encoding, &text);
            let reply = Reply::sse().field("content-encoding", encoding).send(packed.clone());
            upstream.next(ANY, case.endpoint, reply);
            let answer = daemon.send((case.request)().field("Accept-Encoding", encoding)).await;
            assert_eq!((&answer.body[..], answer.end), (&packed[..], end), "{encoding} {n}");
            let trace = &daemon.traces(n + 1).await[n];
            assert_eq!(trace["outcome"], outcome, "{encoding}: {trace}");
            assert_eq!(trace["tokens"], json!({"input": 12, "cached": 4, "output": 3}), "{encoding}");
        }
        // zstd cannot be read as it comes, and is not held.
        if encoding != "zstd" {
            let refused = case.preamble() + &case.error("access_terminated_error", QUOTA);
            let reply = Reply::sse().field("content-encoding", encoding).send(pack(encoding, &refused));
            upstream.next(&key_of("alpha"), case.endpoint, reply);
            let answer = daemon.send((case.request)().field("Accept-Encoding", encoding)).await;
            assert_eq!((answer.text(), answer.key()), (case.whole(), Some("beta")), "{encoding}");
        }
    }
}
