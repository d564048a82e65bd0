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
use super::connect::Moved;
use super::connection::{Connection, Silence};
use super::fault::SendError;

/// A response body. When it has come to its end the connection goes back to wait for its next request; dropped
/// earlier, the connection is closed and the upstream's work with it.
pub struct UpstreamBody {
    incoming: Incoming,
    connection: Option<(Connection, Arc<Upstream>)>,
    mute: Arc<Mute>,
    moved: Arc<Moved>,
    silence: Silence,
    ended: bool,
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl UpstreamBody {
    pub(super) fn http1(
        incoming: Incoming,
        connection: Connection,
        silence: Silence,
        home: Arc<Upstream>,
    ) -> Self {
        let moved = Arc::clone(&connection.moved);
        let mut body = Self {
            incoming,
            connection: Some((connection, home)),
            mute: Arc::default(),
            moved,
            silence,
            ended: false,
        };
        if body.incoming.is_end_stream() {
            body.end(&mut Context::from_waker(std::task::Waker::noop()));
        }
        body
    }

    pub(super) fn http2(incoming: Incoming, moved: Arc<Moved>, silence: Silence) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, connection: None, mute: Arc::default(), moved, silence, ended }
    }

    /// The body is complete: the connection becomes free, if it is fit for another request.
    fn end(&mut self, cx: &mut Context<'_>) {
        self.ended = true;
        if let Some((mut connection, home)) = self.connection.take() {
            let open = connection.poll_drive(cx).is_pending();
            if open && connection.is_usable() {
                home.keep(connection);
            }
        }
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Asking for a frame wakes the driver, which is about to be polled here anyway: without the mute, the task would
        // be woken a second time for each chunk.
        self.mute.on.store(true, Ordering::Relaxed);
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.mute.on.store(false, Ordering::Relaxed);
        if frame.is_ready() {
            return frame;
        }
        let Some((connection, _)) = &mut self.connection else { return Poll::Pending };
        self.mute.task.register(cx.waker());
        let waker = Waker::from(Arc::clone(&self.mute));
        let cx = &mut Context::from_waker(&waker);
        // Whether it goes on or is over, what it read or why it ended stands in `incoming` afterwards.
        let _ = connection.poll_drive(cx);
        Pin::new(&mut self.incoming).poll_frame(cx)
    }
}

/// Passes the driver's wakes on to the task that reads the body, but not while that task is at it.
#[derive(Debug, Default)]
struct Mute {
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
        if self.ended {
            return Poll::Ready(None);
        }
        match self.poll_incoming(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if self.incoming.is_end_stream() {
                    self.end(cx);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                self.connection = None;
                Poll::Ready(Some(Err(SendError::of_hyper(Phase::Body, error, false))))
            }
            Poll::Ready(None) => {
                self.end(cx);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let moved = self.moved.total();
                self.silence.poll_too_long(moved, cx).map(|()| {
                    self.ended = true;
                    self.connection = None;
                    Some(Err(SendError::new(Phase::Body, FaultKind::Timeout, "the idle timeout passed")))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
