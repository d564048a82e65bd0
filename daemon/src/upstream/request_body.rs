//! Request bodies on their way upstream.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

use super::client_body::{ClientBody, ClientBodyError};
use super::fault::{BoxError, ClientBroke};

/// A request body: collected, and then able to be sent again, or passed on as it comes. It is moved from hand to hand
/// with its request: what few have is boxed.
#[derive(Debug)]
pub struct RequestBody {
    collected: smallvec::IntoIter<[Bytes; 1]>,
    left: u64,
    trailers: Option<Box<HeaderMap>>,
    rest: Option<Box<ClientBody>>,
    progress: Option<Progress>,
    /// The task that sends it keeps to itself why it ended.
    tells_progress: bool,
}

/// How far a request has come, for those who cannot see it go: bodies of HTTP/2 are sent by a task of their own, and
/// what moves on the connection may belong to other requests.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Steps>);

#[derive(Debug, Default)]
struct Steps {
    sent: AtomicU64,
    came: AtomicU64,
    waits: AtomicBool,
    broke: Mutex<Option<ClientBroke>>,
}

impl Progress {
    /// Bytes of the request's body that were sent on.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// A number that grows with each byte sent on and each frame that came.
    pub(crate) fn total(&self) -> u64 {
        self.sent() + self.0.came.load(Ordering::Relaxed)
    }

    /// A frame of the response came.
    pub(crate) fn came(&self) {
        self.0.came.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether all that the client sent was sent on, and more is to come: nobody else can do anything about it.
    pub(crate) fn waits_for_client(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// Why the client's body broke, if it did.
    pub(crate) fn take_break(&self) -> Option<ClientBroke> {
        self.0.broke.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The chunks of a collected body, of which there is mostly one.
pub type Chunks = SmallVec<[Bytes; 1]>;

impl RequestBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::collected(Chunks::new(), None)
    }

    /// A collected body.
    #[must_use]
    pub fn collected(chunks: Chunks, trailers: Option<Box<HeaderMap>>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self {
            collected: chunks.into_iter(),
            left,
            trailers,
            rest: None,
            progress: None,
            tells_progress: false,
        }
    }

    /// What was read so far, and then the rest as it comes; `progress` counts the bytes sent on.
    #[must_use]
    pub fn streaming(chunks: Chunks, rest: Box<ClientBody>, progress: Progress) -> Self {
        Self { rest: Some(rest), progress: Some(progress), ..Self::collected(chunks, None) }
    }

    /// For a body that a task of its own will send: how far it has come.
    pub(crate) fn watched(&mut self) -> Progress {
        self.tells_progress = true;
        self.progress.get_or_insert_default().clone()
    }

    /// Of a body that is passed on as it comes: how far it has come.
    pub(crate) fn upload(&self) -> Option<Progress> {
        self.rest.as_ref().and(self.progress.clone())
    }

    fn count(&self, bytes: usize) {
        if let Some(progress) = &self.progress {
            progress.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    fn broken(&self, error: ClientBodyError) -> BoxError {
        let broke = ClientBroke(error.into());
        match &self.progress {
            Some(progress) if self.tells_progress => {
                let text = broke.to_string();
                *progress.0.broke.lock().unwrap_or_else(PoisonError::into_inner) = Some(broke);
                text.into()
            }
            _ => Box::new(broke),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(chunk) = self.collected.next() {
            self.left -= chunk.len() as u64;
            self.count(chunk.len());
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))));
        };
        let polled = Pin::new(&mut **rest).poll_frame(cx);
        if let Some(progress) = &self.progress {
            progress.0.waits.store(polled.is_pending(), Ordering::Relaxed);
        }
        let frame = ready!(polled);
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.count(data.len());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| self.broken(error))))
    }

    fn is_end_stream(&self) -> bool {
        self.collected.as_slice().is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.rest {
            None if self.trailers.is_some() => SizeHint::new(),
            None => SizeHint::with_exact(self.left),
            Some(rest) => {
                let hint = rest.size_hint();
                let mut sum = SizeHint::new();
                sum.set_lower(hint.lower() + self.left);
                if let Some(upper) = hint.upper() {
                    sum.set_upper(upper + self.left);
                }
                sum
            }
        }
    }
}
