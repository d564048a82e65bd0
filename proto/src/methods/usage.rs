//! `usage.*`: what was used, from the daemon's history.

use serde::{Deserialize, Serialize};

/// Parameters of `usage.get`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GetParams {
    /// `30s`, `10m`, `1h`, `2d` or an ISO time; without it, everything that is kept: 90 days. The hour that it lies in
    /// counts whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `key`, `day`, `hour`, `model` or `client`; without it, `day`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The zone in which days and hours are cut, as KMI_TIMEZONE takes it; without it, the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// Result of `usage.get`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// `key`, `day`, `hour`, `model` or `client`
    pub by: String,
    /// The first hour that may be in it.
    pub since: String,
    /// The zone in which days and hours are cut; an offset such as `+03:00` for one without a name.
    pub zone: Option<String>,
    /// Days and hours in their order, the others by their requests.
    pub rows: Vec<Row>,
    /// All rows together.
    pub total: Sums,
}

/// One key, day, hour, model or name of a token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Label, model, name, `2026-11-23` or `2026-11-23 12:00`; empty: no key, no model named, a token without a name. `other`: too many to tell
    /// apart.
    pub name: String,
    /// Of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// When a day or an hour begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// What was counted.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Finished requests.
    pub requests: u64,
    /// Of these: failed. A client that left is no failure.
    pub errors: u64,
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens from the cache.
    pub cached: u64,
    /// Completion tokens.
    pub output: u64,
    /// `cached` of `input`, 0 to 1; none without prompt tokens.
    pub cache_share: Option<f64>,
}
