//! The right to use one key for one attempt, as a value that cannot be forgotten.

use std::sync::Arc;

use kmid_core::key::Key;
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::Outcome;
use kmid_core::pool;

use super::State;

/// The right to use one key for one attempt. Ends exactly once: with the outcome it is given, or, when it is
/// dropped before that, as *client left*.
#[derive(Debug)]
pub struct Lease {
    state: Arc<State>,
    inner: Option<pool::Lease>,
    key: Arc<Key>,
    rotation_index: u64,
}

impl Lease {
    pub(super) fn new(state: Arc<State>, inner: pool::Lease) -> Self {
        let key = Arc::clone(&inner.key);
        let rotation_index = inner.rotation_index;
        Self { state, inner: Some(inner), key, rotation_index }
    }

    /// The key to use.
    #[must_use]
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// The round-robin position after this lease.
    #[must_use]
    pub fn rotation_index(&self) -> u64 {
        self.rotation_index
    }

    /// What the response says it took, as far as it has come; the last call counts.
    pub fn took(&mut self, tokens: Tokens) {
        if let Some(inner) = &mut self.inner {
            inner.tokens = tokens;
        }
    }

    /// Ends the lease with what the attempt meant.
    pub fn end(mut self, outcome: &Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: &Outcome) {
        if let Some(inner) = self.inner.take() {
            self.state.record(inner, outcome);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.finish(&Outcome::ClientLeft);
    }
}
