//! What survives a restart, by fingerprint. `state.json` version 2 is this, as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::ErrorCounts;
use crate::key::Fingerprint;
use crate::kimi::quota::Quota;
use crate::kimi::usage::Tokens;
use crate::outcome::BlockReason;
use crate::time::Time;

/// The version of `state.json` that this is.
pub const SCHEMA_VERSION: u64 = 2;

/// The pool's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The active key.
    pub active: Option<Fingerprint>,
    /// The key that was active until it was gone. It is active again when it or one with its label is there, unless
    /// somebody switched meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub displaced: Option<Fingerprint>,
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
    /// Whether what is remembered of the keys comes from dry-run; not known of older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
    /// What was remembered of the keys in the other mode, until that is switched to again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_mode: Option<Box<Memory>>,
}

impl Snapshot {
    /// The memory for dry-run or for live use. What the simulator said of a key says nothing about the real one, and
    /// nothing that is known of the real one may be lost in dry-run: what an older file remembers counts for both.
    #[must_use]
    pub fn for_mode(mut self, dry_run: bool) -> Self {
        match self.dry_run.replace(dry_run) {
            Some(was) if was == dry_run => return self,
            Some(_) => {}
            None => {
                self.other_mode = Some(Box::new(Memory {
                    last_health_refresh: self.last_health_refresh,
                    keys: self.keys.clone(),
                    by_label: self.by_label.clone(),
                }));
                return self;
            }
        }
        let Memory { last_health_refresh, keys, by_label } =
            self.other_mode.take().map(|other| *other).unwrap_or_default();
        self.other_mode = Some(Box::new(Memory {
            last_health_refresh: std::mem::replace(&mut self.last_health_refresh, last_health_refresh),
            keys: std::mem::replace(&mut self.keys, keys),
            by_label: std::mem::replace(&mut self.by_label, by_label),
        }));
        self
    }
}

/// What is remembered of the keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// See [`Snapshot::last_health_refresh`].
    pub last_health_refresh: Option<Time>,
    /// See [`Snapshot::keys`].
    #[serde(default)]
    pub keys: BTreeMap<Fingerprint, KeyRecord>,
    /// See [`Snapshot::by_label`].
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
    /// Throughput refusals in a row, for growing backoffs.
    #[serde(default)]
    pub strikes: u32,
    /// Quota refusals in a row; each doubles the time until the next test.
    #[serde(default)]
    pub quota_strikes: u32,
    /// When the last quota refusal came.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(label: &str, dry_run: Option<bool>) -> Snapshot {
        let record = KeyRecord { label: label.to_owned(), ..KeyRecord::default() };
        let by_label = BTreeMap::from([(label.to_owned(), record)]);
        Snapshot { by_label, auto_rotate: true, dry_run, ..Snapshot::default() }
    }

    fn labels(snapshot: &Snapshot) -> Vec<&str> {
        snapshot.by_label.keys().map(String::as_str).collect()
    }

    #[test]
    fn each_mode_has_a_memory_of_its_own() {
        let mut live = of("dry", Some(true)).for_mode(false);
        assert_eq!((labels(&live), live.auto_rotate), (vec![], true), "a choice of the person stays");
        live.by_label = of("live", None).by_label;
        let live = live.for_mode(false);
        assert_eq!(labels(&live), ["live"], "nothing new");
        let dry = live.clone().for_mode(true);
        assert_eq!(labels(&dry), ["dry"]);
        let bytes = serde_json::to_vec(&dry).unwrap();
        let read: Snapshot = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(read, dry);
        assert_eq!(read.for_mode(false), live);
    }

    #[test]
    fn an_older_file_is_of_both_modes() {
        for dry_run in [false, true] {
            let first = of("old", None).for_mode(dry_run);
            assert_eq!(labels(&first), ["old"]);
            assert_eq!(labels(&first.for_mode(!dry_run)), ["old"]);
        }
    }
}
