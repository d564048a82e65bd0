use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::*;

/// A certificate and its key, as PEM.
pub(in crate::proxy) fn issue(not_after: (i32, u8, u8)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(not_after.0, not_after.1, not_after.2);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Files with this content.
pub(in crate::proxy) fn files(folder: &Path, (cert, key): &(String, String)) -> TlsFiles {
    let files = TlsFiles { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.cert, cert).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files
}

#[test]
fn a_new_pair_replaces_the_old_one_and_a_bad_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (issue((2027, 3, 1)), issue((2028, 3, 1)));
    let files = files(folder.path(), &first);
    let certificate = Certificate::load(&files).unwrap();
    let ends = || certificate.validity().unwrap().not_after.to_string();
    assert_eq!(ends(), "2027-03-01T00:00:00.000Z");
    assert_eq!(certificate.validity().unwrap().not_before.to_string(), "2026-01-01T00:00:00.000Z");
    assert_eq!(certificate.reload(), Ok(false));

    // Half way: the new certificate lies beside the old key.
    std::fs::write(&files.cert, &second.0).unwrap();
    assert!(matches!(certificate.reload(), Err(TlsError::Pair(_))));
    assert_eq!(ends(), "2027-03-01T00:00:00.000Z");
    std::fs::write(&files.key, &second.1).unwrap();
    assert_eq!(certificate.reload(), Ok(true));
    assert_eq!(ends(), "2028-03-01T00:00:00.000Z");

    for (file, content) in [(&files.cert, &second.0), (&files.key, &second.1)] {
        for bad in ["", "nonsense", &content[..content.len() / 2]] {
            std::fs::write(file, bad).unwrap();
            let error = certificate.reload().unwrap_err().to_string();
            assert!(!error.contains("BEGIN") && error.contains(".pem"), "{error}");
        }
        std::fs::write(file, content).unwrap();
    }
    std::fs::remove_file(&files.key).unwrap();
    assert!(matches!(certificate.reload(), Err(TlsError::Key(_))));
    assert_eq!(ends(), "2028-03-01T00:00:00.000Z");
}

#[test]
fn a_pair_that_does_not_fit_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (issue((2027, 3, 1)), issue((2027, 3, 1)));
    let files = files(folder.path(), &(one.0, other.1));
    assert!(matches!(Certificate::load(&files), Err(TlsError::Pair(_))));
}

#[test]
fn whom_a_certificate_names() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["kmid.example", "192.0.2.1", "2001:db8::1", "*.example"].map(str::to_owned);
    let cert = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    let names = Certificate::load(&files(folder.path(), &(cert, key.serialize_pem()))).unwrap().names();
    assert_eq!(names.dns, ["kmid.example", "*.example"]);
    assert_eq!(
        names.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1", "2001:db8::1"]
    );
    let nobody = CertificateParams::default().self_signed(&key).unwrap().pem();
    let nobody = files(folder.path(), &(nobody, key.serialize_pem()));
    assert_eq!(Certificate::load(&nobody).unwrap().names(), Names::default());
}
