//! The response body: a few pieces, sent at a pace.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::accounts::Place;

/// Pieces of a response.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: VecDeque<Bytes>,
    fixed_length: bool,
    between: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    place: Option<Place>,
}

impl Pieces {
    /// One piece, whose length goes into the head.
    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        Self {
            rest: VecDeque::from([body.into()]),
            fixed_length: true,
            between: Duration::ZERO,
            pause: None,
            place: None,
        }
    }

    /// A stream of events with a pause between each two.
    pub(super) fn stream(events: Vec<Bytes>, between: Duration) -> Self {
        Self { rest: events.into(), fixed_length: false, between, pause: None, place: None }
    }

    /// Keeps the request's place until the body has been sent or dropped.
    pub(super) fn holding(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
        }
        let Some(piece) = self.rest.pop_front() else {
            self.place = None;
            return Poll::Ready(None);
        };
        if self.rest.is_empty() {
            self.place = None;
            self.pause = None;
        } else if !self.between.is_zero() {
            let between = self.between;
            match &mut self.pause {
                Some(pause) => pause.as_mut().reset(Instant::now() + between),
                None => self.pause = Some(Box::pin(sleep(between))),
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.fixed_length {
            SizeHint::with_exact(self.rest.iter().map(|piece| piece.len() as u64).sum())
        } else {
            SizeHint::default()
        }
    }
}
