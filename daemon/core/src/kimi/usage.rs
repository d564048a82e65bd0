//! Token figures as responses carry them.

use serde::{Deserialize, Serialize};

/// Tokens of one response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the cache.
    pub cached: u64,
    /// Completion tokens.
    pub output: u64,
}
