//! `quota.*`: readings of what accounts have left.

use serde::{Deserialize, Serialize};

/// Result of `quota.refresh`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Refreshed {
    /// Labels with a fresh reading.
    pub refreshed: Vec<String>,
    /// Labels without.
    pub failed: Vec<Failed>,
}

/// A key whose quota could not be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    /// The key.
    pub label: String,
    /// What went wrong.
    pub error: String,
}
