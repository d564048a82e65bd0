#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

#[test]
fn the_program_is_the_file_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("kmid");
    std::fs::write(&there, "").unwrap();
    assert_eq!(program(&there), there);
    let replaced = folder.path().join("kmid (deleted)");
    assert_eq!(program(&replaced), there);
    // A file may really be called that.
    std::fs::write(&replaced, "").unwrap();
    assert_eq!(program(&replaced), replaced);
    assert_eq!(program(Path::new("/nowhere/kmid")), Path::new("/nowhere/kmid"));
}

#[test]
fn what_is_said_reads_back() {
    let yours = Yours { in_flight: vec![("0123456789ab".parse().unwrap(), 3)], owns_socket: true, behind: 1 };
    let text = serde_json::to_string(&FromOld::Yours(yours)).unwrap();
    let FromOld::Yours(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
    assert_eq!((back.in_flight.len(), back.in_flight[0].1, back.owns_socket, back.behind), (1, 3, true, 1));
    let text = serde_json::to_string(&FromOld::Tells { what: Late::Done }).unwrap();
    assert!(matches!(serde_json::from_str(&text).unwrap(), FromOld::Tells { what: Late::Done }), "{text}");
    let text = serde_json::to_string(&FromNew::Prepared { version: "1".into() }).unwrap();
    assert!(matches!(serde_json::from_str(&text).unwrap(), FromNew::Prepared { .. }), "{text}");
}
