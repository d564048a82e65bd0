//! A client's request body, within the limits of its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

/// Limits of request bodies.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyLimits {
    /// Bytes at most.
    pub most: Option<u64>,
    /// Longest pause between two parts of it.
    pub pause: Option<Duration>,
}

/// Why a client's body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ClientBodyError {
    /// It broke off, or is not HTTP.
    #[error("the request body broke off")]
    Broke(#[source] hyper::Error),
    /// It has more bytes than a body may have.
    #[error("the request body is too large")]
    TooLarge,
    /// Nothing of it came for too long.
    #[error("the request body paused for too long")]
    Silent,
    /// The upstream gave the request up before the rest of it came.
    #[error("the upstream closed while it waited for the rest of the request body")]
    Awaited,
}

/// Whether some of the body of a connection's latest request is unread: when that connection is closed, the client
/// may still be sending.
#[derive(Debug, Clone, Default)]
pub struct Unread(Arc<AtomicBool>);

impl Unread {
    /// A request came, with this body.
    pub fn begins(&self, body: &Incoming) {
        self.0.store(!body.is_end_stream(), Ordering::Relaxed);
    }

    /// The body was read to its end.
    fn ends(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it is so.
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body as it comes in.
#[derive(Debug)]
pub struct ClientBody {
    body: Incoming,
    left: Option<u64>,
    pause: Option<Duration>,
    /// Made when a pause begins, never for bodies that are there at once.
    ends: Option<Pin<Box<Sleep>>>,
    paused: bool,
    unread: Unread,
}

impl ClientBody {
    /// A body under these limits; `unread` learns of its end.
    #[must_use]
    pub fn new(body: Incoming, limits: BodyLimits, unread: Unread) -> Self {
        Self { body, left: limits.most, pause: limits.pause, ends: None, paused: false, unread }
    }

    /// Whether it is known already that it has too many bytes.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.left.is_some_and(|left| self.body.size_hint().lower() > left)
    }

    /// Whether the client has been silent for too long.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(pause) = self.pause else { return false };
        let ends = self.ends.get_or_insert_with(|| Box::pin(sleep(pause)));
        if !std::mem::replace(&mut self.paused, true) {
            ends.as_mut().reset(Instant::now() + pause);
        }
        ends.as_mut().poll(cx).is_ready()
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = ClientBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientBodyError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return match self.is_silent(cx) {
                true => Poll::Ready(Some(Err(ClientBodyError::Silent))),
                false => Poll::Pending,
            };
        };
        self.paused = false;
        let is_last = match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers() || self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if is_last {
            self.unread.ends();
        }
        if let (Some(left), Some(Ok(frame))) = (self.left, &frame)
            && let Some(data) = frame.data_ref()
        {
            match left.checked_sub(data.len() as u64) {
                Some(left) => self.left = Some(left),
                None => return Poll::Ready(Some(Err(ClientBodyError::TooLarge))),
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(ClientBodyError::Broke)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
