//! Every kind of state file that can be found at start.

use std::collections::BTreeMap;

use kmid_core::key::{Fingerprint, Secret};
use kmid_core::kimi::quota::{Quota, Window};
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::BlockReason;
use kmid_core::pool::snapshot::{BlockRecord, CooldownRecord, KeyRecord, Memory, QuotaRecord};
use kmid_core::pool::view::ErrorCounts;
use proptest::prelude::*;

use super::*;

fn now() -> Time {
    Time::parse("2026-11-23T12:00:00Z").unwrap()
}

fn state(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn names(dir: &tempfile::TempDir) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn window(percent_left: f64) -> Window {
    Window {
        name: "5h".into(),
        limit: Some(100.0),
        used: None,
        percent_left,
        resets_at: Some(now()),
        length: None,
    }
}

#[test]
fn no_file_is_an_empty_memory() {
    let dir = tempfile::tempdir().unwrap();
    let loaded = load(&dir.path().join("state.json"), now()).unwrap();
    assert_eq!(loaded.snapshot, Snapshot::default());
    assert!(loaded.issues.is_empty() && names(&dir).is_empty());
}

#[test]
fn version_1_is_migrated_once_and_kept() {
    let old = br#"{"schema_version":1,"active_index":0,"rotation_index":2,"auto_rotate":true,
        "last_health_refresh":null,"keys":{"alpha":{"request_count":3,"error_429":1,"exhausted_until":null}}}"#;
    let (dir, path) = state(old);
    let first = load(&path, now()).unwrap();
    assert_eq!(first.issues.len(), 1);
    assert!(!first.issues[0].error);
    assert_eq!(first.snapshot.by_label["alpha"].requests, 3);
    assert_eq!(names(&dir), ["state.json", "state.json.v1"]);
    assert_eq!(fs::read(dir.path().join("state.json.v1")).unwrap(), old);

    let second = load(&path, now()).unwrap();
    assert!(second.issues.is_empty());
    assert_eq!(second.snapshot, first.snapshot);

    // A second file of version 1 must not cost the first.
    fs::write(&path, br#"{"schema_version":1,"keys":{}}"#).unwrap();
    load(&path, now()).unwrap();
    assert_eq!(names(&dir), ["state.json", "state.json.v1", "state.json.v1-2"]);
    assert_eq!(fs::read(dir.path().join("state.json.v1")).unwrap(), old);
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let newer = br#"{"schema_version":3,"keys":"a shape of its own"}"#;
    let (dir, path) = state(newer);
    let error = load(&path, now()).unwrap_err();
    assert!(matches!(error, LoadError::Newer { found: 3, .. }));
    assert!(error.to_string().contains("writes version 3"), "{error}");
    assert_eq!(names(&dir), ["state.json"]);
    assert_eq!(fs::read(&path).unwrap(), newer);
}

#[test]
fn what_cannot_be_read_is_set_aside() {
    for content in [
        &b""[..],
        b"{",
        b"\xff\xfe",
        b"[]",
        br#"{"keys":{}}"#,
        br#"{"schema_version":0}"#,
        br#"{"schema_version":"2"}"#,
        br#"{"schema_version":2,"keys":{"no fingerprint":{}}}"#,
        br#"{"schema_version":1,"keys":[]}"#,
    ] {
        let (dir, path) = state(content);
        let loaded = load(&path, now()).unwrap();
        assert_eq!(loaded.snapshot, Snapshot::default());
        assert!(loaded.issues[0].error);
        assert_eq!(names(&dir), ["state.json.corrupt-20261123T120000Z"]);
        let kept = dir.path().join("state.json.corrupt-20261123T120000Z");
        assert_eq!(fs::read(kept).unwrap(), content);
    }
}

#[test]
fn two_corrupt_files_of_one_second_are_both_kept() {
    let (dir, path) = state(b"first");
    load(&path, now()).unwrap();
    fs::write(&path, b"second").unwrap();
    load(&path, now()).unwrap();
    assert_eq!(names(&dir), ["state.json.corrupt-20261123T120000Z", "state.json.corrupt-20261123T120000Z-2"]);
}

#[test]
fn a_file_without_end_is_set_aside_unread() {
    let (dir, path) = state(b"");
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let loaded = load(&path, now()).unwrap();
    assert!(loaded.issues[0].message.contains("larger than 16 MiB"), "{}", loaded.issues[0].message);
    assert_eq!(names(&dir).len(), 1);

    fs::create_dir(&path).unwrap();
    let loaded = load(&path, now()).unwrap();
    assert!(loaded.issues[0].message.contains("not a regular file"), "{}", loaded.issues[0].message);
}

#[test]
fn what_cannot_be_kept_stops_the_start() {
    let (dir, path) = state(br#"{"schema_version":1,"keys":{}}"#);
    // The temporary file of the copy cannot be made where a directory with something in it has its name.
    let blocked = dir.path().join(".state.json.v1.tmp");
    fs::create_dir(&blocked).unwrap();
    fs::write(blocked.join("inside"), "").unwrap();
    assert!(matches!(load(&path, now()).unwrap_err(), LoadError::CannotKeep { .. }));
    assert_eq!(fs::read(&path).unwrap(), br#"{"schema_version":1,"keys":{}}"#);
}

#[test]
fn a_reading_that_is_no_number_does_not_spoil_the_file() {
    let mut snapshot = Snapshot::default();
    let quota = Quota { windows: vec![window(f64::NAN), window(40.0)], ..Quota::default() };
    let record = KeyRecord { quota: Some(QuotaRecord { read_at: now(), quota }), ..KeyRecord::default() };
    snapshot.keys.insert(Fingerprint::of(&Secret::new("a")), record);
    let (_dir, path) = state(&encode(&mut snapshot).unwrap());
    let loaded = load(&path, now()).unwrap();
    assert!(loaded.issues.is_empty());
    assert_eq!(loaded.snapshot, snapshot);
    assert_eq!(loaded.snapshot.keys.values().next().unwrap().quota.as_ref().unwrap().quota.windows.len(), 1);
}

fn a_time() -> impl Strategy<Value = Time> {
    any::<i64>().prop_map(Time::from_millis)
}

fn a_record() -> impl Strategy<Value = KeyRecord> {
    let cooldown = || {
        prop::option::of((a_time(), ".{0,8}").prop_map(|(until, reason)| CooldownRecord {
            since: Some(until),
            until,
            reason,
        }))
    };
    let reason = prop::sample::select(vec![
        BlockReason::InvalidKey,
        BlockReason::Payment,
        BlockReason::Banned,
        BlockReason::Balance,
    ]);
    let block = (prop::option::of(a_time()), reason, any::<Option<u64>>(), any::<bool>())
        .prop_map(|(until, reason, seconds, half_open)| BlockRecord { until, reason, seconds, half_open });
    let quota =
        (a_time(), prop::collection::vec(0u32..1000, 0..3)).prop_map(|(read_at, tenths)| QuotaRecord {
            read_at,
            quota: Quota {
                windows: tenths.into_iter().map(|t| window(f64::from(t) / 10.0)).collect(),
                ..Quota::default()
            },
        });
    (
        ".{0,12}",
        prop::option::of(a_time()),
        any::<(u64, u64, u64, u64, u64, u32)>(),
        any::<(u64, u64, u64)>(),
        cooldown(),
        cooldown(),
        prop::option::of(block),
        prop::option::of(quota),
    )
        .prop_map(
            |(
                label,
                time,
                (requests, e401, e403, e429, e5xx, strikes),
                (input, cached, output),
                cooldown,
                reading,
                block,
                quota,
            )| {
                KeyRecord {
                    label,
                    last_used: time,
                    last_seen: time,
                    requests,
                    errors: ErrorCounts { e401, e403, e429, e5xx },
                    tokens: Tokens { input, cached, output },
                    cooldown,
                    reading_cooldown: reading,
                    block,
                    strikes,
                    quota_strikes: strikes / 2,
                    struck_at: time,
                    base_url: Some("https://api.kimi.com/coding/v1".to_owned()),
                    revision: time.map(|time| time.as_millis().unsigned_abs()),
                    quota,
                }
            },
        )
}

fn a_snapshot() -> impl Strategy<Value = Snapshot> {
    let fingerprint = || "[a-z]{1,4}".prop_map(|secret| Fingerprint::of(&Secret::new(&secret)));
    (
        prop::option::of(fingerprint()),
        any::<bool>(),
        any::<u64>(),
        prop::option::of(a_time()),
        prop::collection::btree_map(fingerprint(), a_record(), 0..4),
        prop::collection::btree_map(".{0,8}", a_record(), 0..3),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(active, auto_rotate, rotation_index, refreshed, keys, by_label, dry_run)| {
            let by_label: BTreeMap<_, _> = by_label;
            let other = Memory { keys: keys.clone(), by_label: by_label.clone(), ..Memory::default() };
            Snapshot {
                active_index: None,
                active,
                displaced: None,
                auto_rotate,
                rotation_index,
                last_health_refresh: refreshed,
                keys,
                by_label,
                dry_run,
                other_mode: dry_run.map(|_| Box::new(other)),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(mut snapshot in a_snapshot()) {
        let bytes = encode(&mut snapshot).unwrap();
        prop_assert_eq!(&bytes[..20], br#"{"schema_version":2,"#);
        let Ok(Parsed::Present(read)) = parse(&bytes) else { panic!("{}", String::from_utf8_lossy(&bytes)) };
        prop_assert_eq!(*read, snapshot);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    /// Real files with a byte changed or cut off come nearer to the edges than noise does.
    #[test]
    fn no_damage_panics(mut snapshot in a_snapshot(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut bytes = encode(&mut snapshot).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        let (dir, path) = state(&bytes);
        if load(&path, now()).is_ok() {
            prop_assert!(names(&dir).len() == 1 || names(&dir).len() == 2);
        } else {
            prop_assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }
}
