//! A response that begins before there is an answer: its head and comments keep the client's line alive while the
//! attempts go on behind it.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::decode::{Readable, Reader};
use super::rewrite;
use super::tap::ProxyBody;
use crate::state::trace::RequestId;
use crate::upstream::fault::BoxError;

/// How long a client waits without a byte. kimi-code gives up at 300 s without a head, kimi-cli at 600 s [observed
/// 2026-11], but what stands between may do so earlier; thinking models are silent for minutes.
pub(super) const LONGEST_SILENCE: Duration = Duration::from_secs(15);
/// Clients of event streams skip comments (WHATWG HTML, 9.2.6).
const COMMENT: &[u8] = b": kmid\n\n";
/// Compressed bytes are decoded in pieces of this size, each of which may become no more than `MOST_DECODED`.
const PIECE: usize = 4096;
const MOST_DECODED: usize = 8 * 1024 * 1024;

/// What the attempts came to after the head had gone out.
#[derive(Debug)]
pub(super) enum Late {
    /// A stream of the upstream's; its bytes go through the decoder if it is compressed.
    Stream(ProxyBody, Option<Decoder>),
    /// None: this event says why, and then the line breaks, so that no client takes it for an end.
    Failed(Bytes),
}

/// When the head of such a response went out, for the request's journal.
pub(super) type HeadOut = Arc<OnceLock<Instant>>;

/// The response for a client that has waited long enough. Which key will serve is not known yet.
pub(super) fn response(
    request_id: RequestId,
    head_out: &HeadOut,
    answer: impl Future<Output = Late> + Send + 'static,
) -> Response<ProxyBody> {
    let _ = head_out.set(Instant::now());
    let body = KeepAlive {
        line: Line::Waiting(Box::pin(answer)),
        passed: false,
        greeted: false,
        tick: Box::pin(sleep(LONGEST_SILENCE)),
    };
    let mut response = Response::new(ProxyBody::KeptAlive(Box::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(rewrite::REQUEST_ID, id);
    }
    response
}

/// The body of such a response.
pub(super) struct KeepAlive {
    line: Line,
    /// Something of the upstream's stream has gone out: a comment could now stand in the middle of an event.
    passed: bool,
    /// The first comment goes out with the head.
    greeted: bool,
    tick: Pin<Box<Sleep>>,
}

enum Line {
    Waiting(Pin<Box<dyn Future<Output = Late> + Send>>),
    Passing(ProxyBody, Option<Decoder>),
    /// Breaks once what came before has been flushed: the server would throw it away unsent.
    Breaking {
        error: Option<BoxError>,
        flushed: bool,
    },
}

impl Line {
    fn breaking(error: impl Into<BoxError>) -> Self {
        Self::Breaking { error: Some(error.into()), flushed: false }
    }
}

impl std::fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeepAlive").finish_non_exhaustive()
    }
}

impl KeepAlive {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Poll::Ready(Some(Ok(comment())));
        }
        loop {
            self.line = match &mut self.line {
                Line::Waiting(answer) => match answer.as_mut().poll(cx) {
                    Poll::Ready(Late::Stream(body, decoder)) => Line::Passing(body, decoder),
                    Poll::Ready(Late::Failed(event)) => {
                        self.line = Line::breaking("no attempt succeeded");
                        return Poll::Ready(Some(Ok(Frame::data(event))));
                    }
                    Poll::Pending => return self.poll_comment(cx),
                },
                Line::Passing(body, decoder) => match (Pin::new(&mut *body).poll_frame(cx), decoder) {
                    (Poll::Ready(Some(Ok(frame))), Some(decoder)) => match decoder.decode(frame) {
                        Ok(Some(frame)) => {
                            self.passed = true;
                            return Poll::Ready(Some(Ok(frame)));
                        }
                        Ok(None) => continue,
                        Err(error) => {
                            body.unreadable(&error);
                            Line::breaking(error)
                        }
                    },
                    // A stream that nobody held has a head long before the model says a word.
                    (Poll::Pending, _) if !self.passed => return self.poll_comment(cx),
                    (answer, _) => {
                        self.passed |= answer.is_ready();
                        return answer;
                    }
                },
                Line::Breaking { error, flushed } => {
                    if !std::mem::replace(flushed, true) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    return Poll::Ready(error.take().map(Err));
                }
            };
        }
    }

    fn poll_comment(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.tick.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.tick.as_mut().reset(Instant::now() + LONGEST_SILENCE);
        Poll::Ready(Some(Ok(comment())))
    }
}

fn comment() -> Frame<Bytes> {
    Frame::data(Bytes::from_static(COMMENT))
}

/// Decodes a compressed stream for a client whose response has begun uncompressed: nothing was known of it then.
#[derive(Debug)]
pub(super) struct Decoder(Box<Readable<Collector>>);

#[derive(Debug, Default)]
struct Collector {
    bytes: BytesMut,
    overflow: bool,
}

impl Reader for Collector {
    fn read(&mut self, data: &[u8]) {
        self.overflow |= self.bytes.len() + data.len() > MOST_DECODED;
        if !self.overflow {
            self.bytes.extend_from_slice(data);
        }
    }
}

impl Decoder {
    /// The decoder that a response needs: `Ok(None)` if it is not compressed; an error if it cannot be decoded as it
    /// comes.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, NotDecodable> {
        match Readable::of(Collector::default(), headers) {
            Some(Readable::Identity(_)) => Ok(None),
            Some(readable) if readable.reads_at_once() => Ok(Some(Self(Box::new(readable)))),
            _ => Err(NotDecodable),
        }
    }

    /// `None` when nothing can be decoded yet.
    fn decode(&mut self, frame: Frame<Bytes>) -> io::Result<Option<Frame<Bytes>>> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Ok(Some(trailers)),
        };
        let mut decoded = BytesMut::new();
        for piece in data.chunks(PIECE) {
            self.0.feed(piece)?;
            let collector = self.0.reader_mut();
            if collector.overflow || decoded.len() > MOST_DECODED {
                return Err(io::Error::other("the compressed stream grows without bounds"));
            }
            decoded.unsplit(collector.bytes.split());
        }
        Ok((!decoded.is_empty()).then(|| Frame::data(decoded.freeze())))
    }
}

/// A compression that cannot be undone as the bytes come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDecodable;

#[cfg(test)]
#[path = "keepalive_tests.rs"]
mod tests;
