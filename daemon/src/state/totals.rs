//! Requests since start.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests since start.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTotals {
    /// Finished and in flight.
    pub total: u64,
    /// Now.
    pub in_flight: u64,
    /// Finished with an error that the client saw.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    begun: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finish(&self, failed: bool) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> RequestTotals {
        // Finished first: a request that ends in between then counts as in flight, never as less than none.
        let finished = self.finished.load(Ordering::Relaxed);
        let total = self.begun.load(Ordering::Relaxed);
        RequestTotals {
            total,
            in_flight: total.saturating_sub(finished),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}
