//! `rotation.*`: which key is active.

use kmid_core::said::Said;
use serde::{Deserialize, Serialize};

/// Parameters of `rotation.rotate`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RotateParams {
    /// Switch to this key instead of the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Result of `rotation.rotate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rotated {
    /// Label of the key that is active now.
    pub active: String,
    /// Label of the key that was.
    pub previous: Option<String>,
    /// Whether they differ.
    pub rotated: bool,
    /// A stable word: `best`, `better_state`, `fewer_errors`, `tie`, `chosen`, `already_best`, `only_key`, ...
    pub reason: String,
    /// Client config files that were written.
    pub config_written: Vec<String>,
    /// Files left alone and why, and what else to know.
    pub warnings: Vec<String>,
    /// The same with their codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings_said: Vec<Said>,
}

/// Parameters of `rotation.auto`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct AutoParams {
    /// On or off.
    pub enabled: bool,
}

/// Result of `rotation.auto`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Auto {
    /// Whether automatic rotation is on now.
    pub enabled: bool,
    /// What else to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
