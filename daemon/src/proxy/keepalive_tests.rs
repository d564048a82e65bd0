#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::VecDeque;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use kmid_core::kimi::wire::{Wire, error_stream_event};

use super::*;

const WAIT: Duration = LONGEST_SILENCE;

/// A stream that is complete.
fn stream(pieces: &[&[u8]]) -> ProxyBody {
    ProxyBody::Own(pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect::<VecDeque<_>>())
}

fn begun(answer: impl Future<Output = Late> + Send + 'static) -> (ProxyBody, HeadOut) {
    let head_out = HeadOut::default();
    let response = response(RequestId::new(7), &head_out, answer);
    assert_eq!(response.status(), 200);
    let mut names: Vec<&str> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "x-kmi-request-id"], "the key is not known yet");
    (response.into_body(), head_out)
}

/// Everything with the seconds at which it came, and whether it broke.
async fn all(mut body: ProxyBody) -> (Vec<(u64, Bytes)>, bool) {
    let began = Instant::now();
    let mut got = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (got, true) };
        got.push((began.elapsed().as_secs(), frame.into_data().unwrap()));
    }
    (got, false)
}

#[tokio::test(start_paused = true)]
async fn comments_keep_the_line_until_the_stream_comes_and_not_after() {
    let (body, head_out) = begun(async {
        sleep(WAIT * 2 + Duration::from_secs(5)).await;
        Late::Stream(stream(&[b"data: {\"a\":", b"1}\n\n", b"data: [DONE]\n\n"]), None)
    });
    assert!(head_out.get().is_some());
    let (got, broke) = all(body).await;
    let comment = Bytes::from_static(COMMENT);
    let expected = [
        (0, comment.clone()),
        (15, comment.clone()),
        (30, comment),
        (35, Bytes::from_static(b"data: {\"a\":")),
        (35, Bytes::from_static(b"1}\n\n")),
        (35, Bytes::from_static(b"data: [DONE]\n\n")),
    ];
    assert_eq!((&got[..], broke), (&expected[..], false));
}

/// What comes of a stream whose head comes after 20 s and whose pieces come after these pauses.
async fn silent_stream(pieces: Vec<(u64, Bytes)>, decoder: Option<Decoder>) -> (Vec<(u64, Bytes)>, bool) {
    let (sender, fed) = tokio::sync::mpsc::channel(1);
    let feed = async move {
        sleep(Duration::from_secs(20)).await;
        for (pause, piece) in pieces {
            sleep(Duration::from_secs(pause)).await;
            sender.send(piece).await.unwrap();
        }
    };
    let (body, _) = begun(async {
        sleep(Duration::from_secs(20)).await;
        Late::Stream(ProxyBody::Fed(fed), decoder)
    });
    tokio::join!(all(body), feed).0
}

#[tokio::test(start_paused = true)]
async fn comments_keep_a_line_whose_stream_has_a_head_and_no_word_yet() {
    let comment = Bytes::from_static(COMMENT);
    let (one, two) = (Bytes::from_static(b"data: {\"a\":"), Bytes::from_static(b"1}\n\n"));
    let (got, broke) = silent_stream(vec![(50, one.clone()), (100, two.clone())], None).await;
    let comments = [0, 15, 30, 45, 60].map(|at| (at, comment.clone()));
    let expected: Vec<_> = comments.into_iter().chain([(70, one), (170, two)]).collect();
    assert_eq!((got, broke), (expected, false), "and never inside an event");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_yet_decoded_has_not_passed() {
    let packed = Bytes::from(gzip(b"data: {}\n\n"));
    // The header of gzip holds nothing of the text.
    let (one, two) = (packed.slice(..10), packed.slice(10..));
    let decoder = Decoder::of(&headers("gzip")).unwrap();
    let (got, broke) = silent_stream(vec![(1, one), (29, two)], decoder).await;
    let comments = [0, 15, 30, 45].map(|at| (at, Bytes::from_static(COMMENT)));
    let expected: Vec<_> = comments.into_iter().chain([(50, Bytes::from_static(b"data: {}\n\n"))]).collect();
    assert_eq!((got, broke), (expected, false));
}

#[tokio::test(start_paused = true)]
async fn a_failure_becomes_an_event_and_a_break() {
    for wire in [Wire::OpenAi, Wire::Anthropic] {
        let event = Bytes::from(error_stream_event(wire, 502, "api_error", "no way"));
        let sent = event.clone();
        let (body, _) = begun(async move {
            sleep(Duration::from_secs(1)).await;
            Late::Failed(sent)
        });
        let (got, broke) = all(body).await;
        assert_eq!(got, [(0, Bytes::from_static(COMMENT)), (1, event)]);
        assert!(broke, "a client must not take it for a clean end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_the_attempts() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let (mut body, _) = begun(async move {
        std::future::pending::<()>().await;
        drop(held);
        Late::Failed(Bytes::new())
    });
    body.frame().await.unwrap().unwrap();
    assert_eq!(Arc::strong_count(&alive), 2);
    drop(body);
    assert_eq!(Arc::strong_count(&alive), 1);
}

fn headers(encoding: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))])
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_compressed_stream_is_decoded_for_a_response_that_began_without() {
    let text = b"data: {}\n\ndata: [DONE]\n\n";
    let packed = gzip(text);
    let (one, two) = packed.split_at(5);
    let late = Late::Stream(stream(&[one, two]), Decoder::of(&headers("gzip")).unwrap());
    let (got, broke) = all(begun(async { late }).0).await;
    let bytes: Vec<u8> = got[1..].iter().flat_map(|(_, bytes)| bytes).copied().collect();
    assert_eq!((&bytes[..], broke), (&text[..], false));

    assert!(Decoder::of(&HeaderMap::new()).unwrap().is_none());
    assert!(Decoder::of(&headers("x-unknown")).is_err());
    assert!(Decoder::of(&headers("zstd")).is_err(), "it cannot be decoded as it comes");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_decoded_or_grows_too_large_breaks() {
    let large = gzip(&vec![b'x'; MOST_DECODED * 2]);
    for body in [&b"this is no gzip stream at all"[..], &large] {
        let late = Late::Stream(stream(&[body]), Decoder::of(&headers("gzip")).unwrap());
        let (got, broke) = all(begun(async { late }).0).await;
        assert!(broke && got.len() == 1, "{} pieces", got.len());
    }
}
