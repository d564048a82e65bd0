//! Version 1: the state of kmi-manager-cli 0.1, the Python predecessor.
//!
//! Its records are by label, without fingerprints: they wait in `by_label` until a key with that label appears.
//! `active_index` counts in pool order, which the file does not hold: it is taken over when every label of the file
//! has a key again and there is no other key, else the first key in pool order is active.

use std::collections::BTreeMap;

use kmid_core::outcome::BlockReason;
use kmid_core::pool::snapshot::{BlockRecord, CooldownRecord, KeyRecord, Snapshot};
use kmid_core::pool::view::ErrorCounts;
use kmid_core::time::Time;
use serde::Deserialize;

/// The reason of a cooldown that version 1 recorded: it knew no others.
const EXHAUSTED: &str = "exhausted";

#[derive(Debug, Deserialize)]
pub(in crate::state) struct StateV1 {
    #[serde(default)]
    active_index: Option<i64>,
    #[serde(default)]
    rotation_index: u64,
    #[serde(default)]
    auto_rotate: bool,
    #[serde(default)]
    last_health_refresh: Option<String>,
    #[serde(default)]
    keys: BTreeMap<String, KeyV1>,
}

#[derive(Debug, Deserialize)]
struct KeyV1 {
    #[serde(default)]
    last_used: Option<String>,
    #[serde(default)]
    request_count: u64,
    #[serde(default)]
    error_401: u64,
    #[serde(default)]
    error_403: u64,
    #[serde(default)]
    error_429: u64,
    #[serde(default)]
    error_5xx: u64,
    #[serde(default)]
    exhausted_until: Option<String>,
    #[serde(default)]
    blocked_until: Option<String>,
    #[serde(default)]
    blocked_reason: Option<String>,
}

/// Takes over what version 1 remembered. Cooldowns and blocks that are over at `now` are dropped.
pub(in crate::state) fn migrate(old: StateV1, now: Time) -> Snapshot {
    let by_label =
        old.keys.into_iter().map(|(label, key)| (label.clone(), record(label, &key, now))).collect();
    Snapshot {
        active_index: old.active_index.and_then(|index| usize::try_from(index).ok()),
        auto_rotate: old.auto_rotate,
        rotation_index: old.rotation_index,
        last_health_refresh: time(old.last_health_refresh.as_deref()),
        by_label,
        ..Snapshot::default()
    }
}

fn record(label: String, key: &KeyV1, now: Time) -> KeyRecord {
    KeyRecord {
        label,
        last_used: time(key.last_used.as_deref()),
        last_seen: Some(now),
        requests: key.request_count,
        errors: ErrorCounts {
            e401: key.error_401,
            e403: key.error_403,
            e429: key.error_429,
            e5xx: key.error_5xx,
        },
        cooldown: time(key.exhausted_until.as_deref())
            .filter(|until| *until > now)
            .map(|until| CooldownRecord { since: None, until, reason: EXHAUSTED.to_owned() }),
        block: block(key, now),
        ..KeyRecord::default()
    }
}

/// Version 1 blocked for payment only. A reason without an end is a block that a person has to clear.
fn block(key: &KeyV1, now: Time) -> Option<BlockRecord> {
    let until = time(key.blocked_until.as_deref());
    let stands = match until {
        Some(until) => until > now,
        None => key.blocked_reason.as_deref().is_some_and(|reason| !reason.is_empty()),
    };
    stands.then_some(BlockRecord { until, reason: BlockReason::Payment, seconds: None, half_open: false })
}

/// A time that does not read is a time that is not known: not worth losing the rest for. Python writes UTC without
/// saying so when its times are naive.
fn time(text: Option<&str>) -> Option<Time> {
    let text = text?;
    Time::parse(text).or_else(|| Time::parse(&format!("{text}Z")))
}

#[cfg(test)]
mod tests {

    use super::*;

    fn migrated(json: &str) -> Snapshot {
        migrate(serde_json::from_str(json).unwrap(), Time::parse("2026-02-02T12:00:00Z").unwrap())
    }

    #[test]
    fn takes_over_what_the_predecessor_wrote() {
        let snapshot = migrated(
            r#"{"schema_version":1,"active_index":1,"rotation_index":4,"auto_rotate":true,
                "last_health_refresh":"2026-02-02T11:00:00Z",
                "keys":{"alpha":{"last_used":"2026-02-02T10:00:00.5+00:00","request_count":3,"error_401":1,
                    "error_403":2,"error_429":3,"error_5xx":4,"exhausted_until":"2026-02-02T13:00:00Z",
                    "blocked_until":null,"blocked_reason":null}}}"#,
        );
        assert!(snapshot.auto_rotate && snapshot.keys.is_empty() && snapshot.active.is_none());
        assert_eq!((snapshot.active_index, snapshot.rotation_index), (Some(1), 4));
        assert_eq!(snapshot.last_health_refresh, Time::parse("2026-02-02T11:00:00Z"));
        let alpha = &snapshot.by_label["alpha"];
        assert_eq!((alpha.label.as_str(), alpha.requests), ("alpha", 3));
        assert_eq!(alpha.last_used, Time::parse("2026-02-02T10:00:00.5Z"));
        assert_eq!(alpha.errors, ErrorCounts { e401: 1, e403: 2, e429: 3, e5xx: 4 });
        let cooldown = alpha.cooldown.as_ref().unwrap();
        assert_eq!(
            (Some(cooldown.until), cooldown.reason.as_str()),
            (Time::parse("2026-02-02T13:00:00Z"), "exhausted")
        );
        assert!(alpha.block.is_none());
    }

    #[test]
    fn pauses_that_are_over_are_dropped_and_open_blocks_stay() {
        let snapshot = migrated(
            r#"{"keys":{
                "over":{"exhausted_until":"2026-02-02T11:59:59Z","blocked_until":"2026-02-01T00:00:00Z","blocked_reason":"payment"},
                "naive":{"blocked_until":"2026-02-02T12:30:00","blocked_reason":"payment"},
                "open":{"blocked_reason":"payment"},
                "odd":{"last_used":"yesterday","blocked_reason":""}}}"#,
        );
        let block = |label: &str| snapshot.by_label[label].block.clone();
        assert!(snapshot.by_label["over"].cooldown.is_none() && block("over").is_none());
        assert_eq!(block("naive").unwrap().until, Time::parse("2026-02-02T12:30:00Z"));
        assert_eq!(block("open").unwrap().until, None);
        assert_eq!(block("open").unwrap().reason, BlockReason::Payment);
        assert!(block("odd").is_none() && snapshot.by_label["odd"].last_used.is_none());
    }
}
