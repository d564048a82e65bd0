//! Response bodies of the upstream, which drive their own connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use kmid_core::outcome::{FaultKind, Phase};

use super::Upstream;
use super::connection::{Connection, Silence};
use super::fault::SendError;
use super::idle::InUse;
use super::request_body::Progress;

/// A response body. When it has come to its end the connection goes back to wait for its next request; dropped
/// earlier, the connection is closed and the upstream's work with it.
pub struct UpstreamBody {
    incoming: Incoming,
    source: Source,
}

/// What the bytes come from.
#[allow(clippy::large_enum_variant, reason = "the large one is the usual one")]
enum Source {
    /// A connection of its own, and where it goes back to.
    Http1(Box<Connection>, Arc<Upstream>),
    /// A stream of a connection that others share, which drives itself.
    Http2 { silence: Silence, progress: Progress, _in_use: InUse },
    /// The body has ended.
    Ended,
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamBody").field("ended", &self.is_end_stream()).finish_non_exhaustive()
    }
}

impl UpstreamBody {
    pub(super) fn http1(incoming: Incoming, connection: Box<Connection>, home: Arc<Upstream>) -> Self {
        let mut body = Self { incoming, source: Source::Http1(connection, home) };
        if body.incoming.is_end_stream() {
            body.end();
        }
        body
    }

    pub(super) fn http2(incoming: Incoming, silence: Silence, progress: Progress, in_use: InUse) -> Self {
        let is_ended = incoming.is_end_stream();
        let source =
            if is_ended { Source::Ended } else { Source::Http2 { silence, progress, _in_use: in_use } };
        Self { incoming, source }
    }

    /// The body is complete: the connection becomes free, if it is fit for another request.
    fn end(&mut self) {
        if let Source::Http1(mut connection, home) = std::mem::replace(&mut self.source, Source::Ended)
            && connection.is_usable()
        {
            home.keep(connection);
        }
    }

    /// How far the request's body has come, where it is still on its way.
    fn upload(&self) -> Option<Progress> {
        match &self.source {
            Source::Http1(connection, _) => connection.upload.clone(),
            Source::Http2 { progress, .. } => Some(progress.clone()),
            Source::Ended => None,
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Source::Http1(connection, _) = &mut self.source else {
            return Pin::new(&mut self.incoming).poll_frame(cx);
        };
        // Asking for a frame wakes the driver, which is about to be polled here anyway: without the mute, the task would
        // be woken a second time for each chunk.
        connection.mute.on.store(true, Ordering::Relaxed);
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        connection.mute.on.store(false, Ordering::Relaxed);
        if frame.is_ready() {
            return frame;
        }
        connection.mute.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&connection.mute));
        let cx = &mut Context::from_waker(&waker);
        // Whether it goes on or is over, what it read or why it ended stands in `incoming` afterwards.
        let _ = connection.poll_drive(cx);
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

/// Passes the driver's wakes on to the task that reads the body, but not while that task is at it.
#[derive(Debug, Default)]
pub(super) struct Mute {
    task: AtomicWaker,
    on: AtomicBool,
}

impl Wake for Mute {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.on.load(Ordering::Relaxed) {
            self.task.wake();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        match self.poll_incoming(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Source::Http2 { progress, .. } = &mut self.source {
                    progress.came();
                }
                // After trailers nothing comes.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let upload = self.upload();
                let error = match std::mem::replace(&mut self.source, Source::Ended) {
                    Source::Http2 { progress, .. } => SendError::of_http2(Phase::Body, error, &progress),
                    _ => SendError::of_hyper(Phase::Body, error, false),
                };
                Poll::Ready(Some(Err(error.unless_waiting(upload.as_ref()))))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let too_long = match &mut self.source {
                    Source::Http1(connection, _) => connection.poll_too_quiet(cx),
                    Source::Http2 { silence, progress, .. } => silence.poll_too_long(progress.total(), cx),
                    Source::Ended => Poll::Pending,
                };
                too_long.map(|()| {
                    let upload = self.upload();
                    self.source = Source::Ended;
                    let error = SendError::new(Phase::Body, FaultKind::Timeout, "the idle timeout passed");
                    Some(Err(error.unless_waiting(upload.as_ref())))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
