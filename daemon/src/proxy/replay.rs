//! Collecting request bodies, within a bound for each and one for all, so that they can be sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::upstream::client_body::{ClientBody, ClientBodyError};
use crate::upstream::request_body::Chunks;

/// Chunks below this are copied together: a small chunk would keep a whole read buffer alive.
const SMALL: usize = 16 * 1024;
/// Small chunks are gathered up to this.
const GATHER: usize = 64 * 1024;

/// Bytes of request bodies that are kept, over all requests.
#[derive(Debug, Default, Clone)]
pub(super) struct Budget(Arc<AtomicUsize>);

/// A part of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Takes `bytes` more, unless all together would hold more than `total`.
    fn take(&mut self, bytes: usize, total: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= total);
        let taken = self.budget.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        self.bytes += if taken { bytes } else { 0 };
        taken
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request body after collecting.
#[derive(Debug)]
pub(super) enum Collected {
    /// All of it: it can be sent as often as need be.
    Whole {
        /// The chunks.
        chunks: Chunks,
        /// Trailers, if any came.
        trailers: Option<Box<HeaderMap>>,
        /// Its part of the budget, held as long as the body.
        _share: Share,
    },
    /// Too large to keep: what was read, and the rest, to be sent once.
    Passing {
        /// What was read.
        chunks: Chunks,
        /// The rest.
        rest: Box<ClientBody>,
        /// The part of the budget that what was read takes.
        share: Share,
    },
}

impl Collected {
    /// Whether it can be sent as often as need be.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self, Self::Whole { .. })
    }
}

/// Reads a body into memory while it is within `most` bytes and all bodies together within `total`.
///
/// # Errors
/// When the client's body breaks off, or is beyond its limits.
pub(super) async fn collect(
    mut body: ClientBody,
    budget: &Budget,
    most: usize,
    total: usize,
) -> Result<Collected, ClientBodyError> {
    let mut share = budget.share();
    if body.is_end_stream() {
        return Ok(Collected::Whole { chunks: Chunks::new(), trailers: None, _share: share });
    }
    if body.is_too_large() {
        return Err(ClientBodyError::TooLarge);
    }
    let announced = body.size_hint().exact().map(usize::try_from);
    match announced {
        // Its part of the budget is taken as it comes: what is only announced keeps nobody else from anything.
        Some(Ok(length)) if length <= most => {}
        Some(_) => return Ok(Collected::Passing { chunks: Chunks::new(), rest: Box::new(body), share }),
        None => {}
    }
    let mut chunks = Gathering::new(announced.and_then(Result::ok).unwrap_or_default());
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                let fits = chunks.bytes + data.len() <= most && share.take(data.len(), total);
                chunks.push(data);
                if !fits {
                    return Ok(Collected::Passing { chunks: chunks.finish(), rest: Box::new(body), share });
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok().map(Box::new),
        }
    }
    Ok(Collected::Whole { chunks: chunks.finish(), trailers, _share: share })
}

struct Gathering {
    done: Chunks,
    gathering: BytesMut,
    bytes: usize,
}

impl Gathering {
    /// For a body of so many bytes, where that is known.
    fn new(announced: usize) -> Self {
        let gathering = BytesMut::with_capacity(if announced < SMALL { announced } else { 0 });
        Self { done: Chunks::new(), gathering, bytes: 0 }
    }

    fn push(&mut self, data: Bytes) {
        self.bytes += data.len();
        if data.len() >= SMALL {
            self.close();
            self.done.push(data);
        } else {
            self.gathering.extend_from_slice(&data);
            if self.gathering.len() >= GATHER {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        if !self.gathering.is_empty() {
            self.done.push(self.gathering.split().freeze());
        }
    }

    fn finish(mut self) -> Chunks {
        if !self.gathering.is_empty() {
            self.done.push(self.gathering.freeze());
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let budget = Budget::default();
        let mut one = budget.share();
        assert!(one.take(60, 100));
        assert!(!budget.share().take(50, 100));
        drop(one);
        assert!(budget.share().take(100, 100));
    }

    #[test]
    fn small_chunks_are_gathered_and_nothing_is_lost() {
        let mut chunks = Gathering::new(0);
        let mut sent = Vec::new();
        for size in [1, 100, 20_000, 5, 16_383, 16_384, 70_000, 3] {
            let data = Bytes::from(vec![u8::try_from(size % 251).unwrap(); size]);
            sent.extend_from_slice(&data);
            chunks.push(data);
        }
        assert_eq!(chunks.finish().concat(), sent);
    }
}
