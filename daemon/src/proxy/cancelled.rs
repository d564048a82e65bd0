//! Waiting for a cancellation beside something that is polled often.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Ready when the token is cancelled. A connection's task is polled several times a request, always with the same
/// waker: once that is known to the token, a poll is a look at it and does not enter a list under its lock again.
pub(super) struct Cancelled<'a> {
    token: &'a CancellationToken,
    waiting: Pin<Box<WaitForCancellationFuture<'a>>>,
    known: Option<Waker>,
}

impl<'a> Cancelled<'a> {
    pub(super) fn of(token: &'a CancellationToken) -> Self {
        Self { token, waiting: Box::pin(token.cancelled()), known: None }
    }
}

impl Future for Cancelled<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let is_known = self.known.as_ref().is_some_and(|known| known.will_wake(cx.waker()));
        if is_known && !self.token.is_cancelled() {
            return Poll::Pending;
        }
        self.known = Some(cx.waker().clone());
        self.waiting.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_whoever_asked_last() {
        let token = CancellationToken::new();
        let mut waiting = Cancelled::of(&token);
        let mut unheard = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut waiting).poll(&mut unheard).is_pending());
        let (cancel, ()) = (token.clone(), tokio::task::yield_now().await);
        let ended = tokio::spawn(async move { cancel.cancel() });
        waiting.await;
        ended.await.unwrap();
        Cancelled::of(&token).await;
    }
}
