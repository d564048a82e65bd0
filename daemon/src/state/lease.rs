//! The right to use one key for one attempt, as a value that cannot be forgotten.

use std::sync::Arc;

use kmid_core::key::Key;
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::Outcome;
use kmid_core::pool::{self, Decision};

use super::State;

/// The right to use one key for one attempt. Ends exactly once: with the outcome it is given, or, when it is
/// dropped before that, as *client left* or *cut off*.
#[derive(Debug)]
pub struct Lease {
    state: Arc<State>,
    /// Boxed: it goes from hand to hand on its request's way.
    inner: Option<Box<pool::Lease>>,
    key: Arc<Key>,
    rotation_index: u64,
}

impl Lease {
    pub(super) fn new(state: Arc<State>, inner: pool::Lease) -> Self {
        let key = Arc::clone(&inner.key);
        let rotation_index = inner.rotation_index;
        Self { state, inner: Some(Box::new(inner)), key, rotation_index }
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

    /// Why this key; handed over once, to be written down.
    pub fn take_decision(&mut self) -> Decision {
        self.inner.as_mut().map(|inner| std::mem::take(&mut inner.decision)).unwrap_or_default()
    }

    /// What the response says it took, as far as it has come; the last call counts.
    pub fn took(&mut self, tokens: Tokens) {
        if let Some(inner) = &mut self.inner {
            inner.tokens = tokens;
        }
    }

    /// The answer has begun well: what follows may last for minutes, but the upstream works, and the key.
    pub fn answered(&mut self) {
        if let Some(inner) = &mut self.inner {
            self.state.answered(inner);
        }
    }

    /// The head of a good answer has come; what it says may be minutes away. It `proves` something when the request was
    /// one to a model.
    pub fn head_came(&self, proves: bool) {
        if let Some(inner) = &self.inner {
            self.state.head_came(inner, proves);
        }
    }

    /// Ends the lease with what the attempt meant.
    pub fn end(mut self, outcome: &Outcome) {
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: &Outcome) {
        if let Some(inner) = self.inner.take() {
            self.state.record(*inner, outcome);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let outcome = self.state.unfinished();
        self.finish(&outcome);
    }
}
