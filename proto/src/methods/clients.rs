//! `clients.*`: the config files of the Kimi clients.

use kmid_core::said::Said;
use serde::{Deserialize, Serialize};

/// Parameters of `clients.connect`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectParams {
    /// `kimi-code` or `kimi-cli`
    pub client: String,
    /// Say what would change and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Parameters of `clients.disconnect`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DisconnectParams {
    /// `kimi-code` or `kimi-cli`; every connected one when missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Say what would change and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Result of `clients.connect`, and of `clients.disconnect` for one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientChange {
    /// `kimi-code` or `kimi-cli`
    pub client: String,
    /// Its config file.
    pub path: String,
    /// A stable word: `connected`, `already_connected`, `disconnected` (the file is byte for byte what it was),
    /// `taken_back` (it was edited meanwhile: only what was still ours was taken back), `not_connected`,
    /// `left_alone` (`warnings` say why).
    pub outcome: String,
    /// What differs from before, in the file's order; with `dry_run`, what would.
    pub changes: Vec<Value>,
    /// The original, kept beside the file.
    pub original: Option<String>,
    /// Parts left alone and why, and what else to know.
    pub warnings: Vec<String>,
    /// The same with their codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings_said: Vec<Said>,
}

/// A value of a config file that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Where it stands, such as `providers.p.base_url`.
    pub place: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// The value before; a key is masked.
    pub from: String,
    /// The value after; a key is masked.
    pub to: String,
}

/// Result of `clients.disconnect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disconnected {
    /// The clients that were asked about.
    pub clients: Vec<ClientChange>,
}
