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
    /// What the answer says it used.
    tokens: Option<Tokens>,
}

impl Lease {
    pub(super) fn new(state: Arc<State>, inner: pool::Lease) -> Self {
        let key = Arc::clone(&inner.key);
        let rotation_index = inner.rotation_index;
        Self { state, inner: Some(inner), key, rotation_index, tokens: None }
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

    /// What the answer says it used, for the account's ledger; counted when the lease ends.
    pub fn used(&mut self, tokens: Option<Tokens>) {
        self.tokens = tokens;
    }

    /// Ends the lease with what the attempt meant.
    pub fn end(mut self, outcome: &Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: &Outcome) {
        if let Some(inner) = self.inner.take() {
            self.state.record(inner, outcome, self.tokens);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.finish(&Outcome::ClientLeft);
    }
}
