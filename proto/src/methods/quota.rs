//! `quota.*`: readings of what accounts have left.

use kmid_core::said::Said;
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
    /// The same with its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_said: Option<Said>,
    /// The status that the API answered with, if it answered; 401: it refuses the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}
