//! What survives a restart, by fingerprint. `state.json` version 2 is this, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::ErrorCounts;
use crate::key::Fingerprint;
use crate::kimi::quota::Quota;
use crate::kimi::usage::Tokens;
use crate::outcome::BlockReason;
use crate::time::Time;

/// The pool's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The active key.
    pub active: Option<Fingerprint>,
    /// Where the active key stands in pool order, from a version 1 file, which knew no fingerprints. It counts when
    /// the keys are the same as then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_index: Option<usize>,
    /// Automatic rotation on.
    #[serde(default)]
    pub auto_rotate: bool,
    /// The round-robin position.
    #[serde(default)]
    pub rotation_index: u64,
    /// When a quota was last read.
    pub last_health_refresh: Option<Time>,
    /// By fingerprint; records of keys that are gone are kept for 30 days, at most 1000.
    #[serde(default)]
    pub keys: BTreeMap<Fingerprint, KeyRecord>,
    /// What a version 1 file remembered by label, taken over by the first key with that label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_label: BTreeMap<String, KeyRecord>,
}

/// One key's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The label it had.
    pub label: String,
    /// Last attempt.
    pub last_used: Option<Time>,
    /// When it was last in the pool.
    pub last_seen: Option<Time>,
    /// Attempts made with it.
    #[serde(default)]
    pub requests: u64,
    /// By class.
    #[serde(default)]
    pub errors: ErrorCounts,
    /// As the responses counted them.
    #[serde(default)]
    pub tokens: Tokens,
    /// A cooldown made by a response; ends by its time.
    pub cooldown: Option<CooldownRecord>,
    /// A cooldown made by a reading; a good reading lifts it.
    pub reading_cooldown: Option<CooldownRecord>,
    /// A block.
    pub block: Option<BlockRecord>,
    /// Refusals in a row, for growing backoffs.
    #[serde(default)]
    pub strikes: u32,
    /// When a response last made it cool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck_at: Option<Time>,
    /// Where the key was sent: what was learned there does not hold elsewhere.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The key file's revision, to notice a change while kmid did not run.
    #[serde(default)]
    pub revision: Option<u64>,
    /// The last good reading.
    pub quota: Option<QuotaRecord>,
}

/// A pause with an end and a reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CooldownRecord {
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// When it ends.
    pub until: Time,
    /// A stable word.
    pub reason: String,
}

/// A stop that needs a person, its time or a recheck.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockRecord {
    /// When it ends by itself.
    pub until: Option<Time>,
    /// Why.
    pub reason: BlockReason,
    /// Its length, doubled when the half-open request fails again.
    pub seconds: Option<u64>,
    /// A recheck succeeded or its time is over: one request decides.
    #[serde(default)]
    pub half_open: bool,
}

/// A reading and its age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuotaRecord {
    /// When it was read.
    pub read_at: Time,
    /// What it said.
    pub quota: Quota,
}
