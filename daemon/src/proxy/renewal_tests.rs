use notify::event::{CreateKind, DataChange, RenameMode};

use super::*;

fn at(text: &str) -> Time {
    Time::parse(text).unwrap()
}

#[test]
fn what_a_person_is_told() {
    let validity = Validity { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2027-01-01T00:00:00Z") };
    let told = |now: &str, refused: Option<&TlsError>| {
        let issues = issues(Path::new("/c.pem"), refused, Some(validity), at(now));
        issues.into_iter().map(|issue| (issue.error, issue.message)).collect::<Vec<_>>()
    };
    assert_eq!(told("2026-12-01T00:00:00Z", None), []);
    let soon = told("2026-12-20T12:00:00Z", None);
    assert!(!soon[0].0 && soon[0].1.contains("11 days") && soon[0].1.contains("2027-01-01"), "{soon:?}");
    assert!(told("2026-12-30T12:00:00Z", None)[0].1.contains("1 day more"));
    let ended = told("2027-01-01T00:00:00Z", None);
    assert!(ended[0].0 && ended[0].1.contains("ended"), "{ended:?}");
    assert!(told("2025-12-31T00:00:00Z", None)[0].1.contains("clock"));
    let bad = TlsError::Key("/k.pem".to_owned());
    let both = told("2027-01-01T00:00:00Z", Some(&bad));
    assert_eq!(both.len(), 2);
    assert!(both[0].0 && both[0].1.contains("/k.pem") && both[0].1.contains("stays in use"), "{both:?}");
    assert_eq!(issues(Path::new("/c.pem"), None, None, at("2026-01-01T00:00:00Z")), []);
}

#[test]
fn which_events_count() {
    let names = ["cert.pem", "key.pem"].map(PathBuf::from);
    let counts = |kind, path: &str| concerns(&notify::Event::new(kind).add_path(path.into()), &names);
    let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    assert!(counts(written, "/tls/cert.pem") && counts(renamed, "/tls/key.pem"));
    assert!(counts(EventKind::Create(CreateKind::File), "/tls/key.pem"));
    assert!(counts(EventKind::Access(AccessKind::Close(AccessMode::Write)), "/tls/key.pem"));
    assert!(counts(renamed, "/tls/..data"), "all links of the folder lead elsewhere now");
    assert!(!counts(written, "/tls/..data") && !counts(renamed, "/tls/state.json"));
    assert!(!counts(EventKind::Access(AccessKind::Read), "/tls/cert.pem"), "kmid's own look");
    assert!(!counts(EventKind::Access(AccessKind::Open(AccessMode::Read)), "/tls/cert.pem"));
}
