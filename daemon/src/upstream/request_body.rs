//! Request bodies on their way upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

use super::client_body::ClientBody;
use super::fault::{BoxError, ClientBroke};

/// A request body: collected, and then able to be sent again, or passed on as it comes.
#[derive(Debug)]
pub struct RequestBody {
    collected: smallvec::IntoIter<[Bytes; 1]>,
    left: u64,
    trailers: Option<HeaderMap>,
    rest: Option<ClientBody>,
    passed: Option<Arc<AtomicU64>>,
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
    pub fn collected(chunks: Chunks, trailers: Option<HeaderMap>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { collected: chunks.into_iter(), left, trailers, rest: None, passed: None }
    }

    /// What was read so far, and then the rest as it comes; `passed` counts the bytes sent on.
    #[must_use]
    pub fn streaming(chunks: Chunks, rest: ClientBody, passed: Arc<AtomicU64>) -> Self {
        let left = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { collected: chunks.into_iter(), left, trailers: None, rest: Some(rest), passed: Some(passed) }
    }

    fn count(&self, bytes: usize) {
        if let Some(passed) = &self.passed {
            passed.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    pub(crate) fn can_be_replayed(&self) -> bool {
        self.rest.is_none()
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
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let frame = ready!(Pin::new(rest).poll_frame(cx));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.count(data.len());
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Box::new(ClientBroke(error.into())) as BoxError)))
    }

    fn is_end_stream(&self) -> bool {
        self.collected.as_slice().is_empty()
            && self.trailers.is_none()
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
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
