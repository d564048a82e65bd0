//! What tests decide the moment of things with.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// Closed until the test opens it; then open for good.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets everything through.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Returns once the gate is open.
    pub async fn passed(&self) {
        let mut state = self.0.subscribe();
        // The sender lives in `self`, so the wait can end only by the gate's opening.
        let _ = state.wait_for(|open| *open).await;
    }
}

/// Sends pieces of a body one by one. Dropping it ends the body.
#[derive(Debug)]
pub struct Feed(mpsc::Sender<Bytes>);

impl Feed {
    /// A feed and its other end, for a reply.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(64);
        (Self(sender), receiver)
    }

    /// Sends a piece; without effect when the request is over.
    pub async fn send(&self, piece: impl Into<Bytes>) {
        let _ = self.0.send(piece.into()).await;
    }
}
