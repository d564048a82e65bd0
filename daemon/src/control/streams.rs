//! Which streams are open on a connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kmi_proto::error::{Kind, RpcError};
use tokio_util::sync::CancellationToken;

/// Streams of one connection that are open at once.
pub(super) const MAX_STREAMS: usize = 8;

/// The streams of a connection that are open.
#[derive(Default)]
pub(super) struct Streams(Mutex<Registry>);

#[derive(Default)]
struct Registry {
    last: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Clone, Default)]
struct Open {
    cancel: CancellationToken,
    started: bool,
    ended: CancellationToken,
}

/// A place among the open streams; given back when dropped.
pub(super) struct Slot {
    /// Its name on the connection.
    pub(super) subscription: u64,
    streams: Arc<Streams>,
}

impl Streams {
    /// Takes a place, as long as there is one.
    pub(super) fn open(streams: &Arc<Self>) -> Result<Slot, RpcError> {
        let mut registry = streams.lock();
        if registry.open.len() >= MAX_STREAMS {
            let why = format!("{MAX_STREAMS} streams are open on this connection; cancel one first");
            return Err(RpcError::new(Kind::Busy, why));
        }
        registry.last += 1;
        let subscription = registry.last;
        registry.open.insert(subscription, Open::default());
        Ok(Slot { subscription, streams: Arc::clone(streams) })
    }

    /// Ends a stream and waits until its last word is queued; false when it was not open.
    pub(super) async fn cancel(&self, subscription: u64) -> bool {
        let Some(open) = self.lock().open.get(&subscription).cloned() else { return false };
        open.cancel.cancel();
        // One that the same batch opened starts after the batch's answer: waiting for it here would never end.
        if open.started {
            open.ended.cancelled().await;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Says that the stream runs as soon as its answer is queued, so that a cancel can wait for its end.
    pub(super) fn start(&self) {
        if let Some(open) = self.streams.lock().open.get_mut(&self.subscription) {
            open.started = true;
        }
    }

    /// Cancelled when the stream has to end.
    pub(super) fn cancelled(&self) -> CancellationToken {
        let open = self.streams.lock().open.get(&self.subscription).cloned();
        open.unwrap_or_default().cancel
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(open) = self.streams.lock().open.remove(&self.subscription) {
            open.ended.cancel();
        }
    }
}
