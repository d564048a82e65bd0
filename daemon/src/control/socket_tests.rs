use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;

use super::*;

#[tokio::test]
async fn the_socket_is_for_this_user_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("state/kmid.sock");
    let bound = bind(&path).unwrap();
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let _client = UnixStream::connect(&path).unwrap();
    let (_stream, peer) = bound.accept().await.unwrap();
    assert_eq!(peer.unwrap().uid, Some(std::fs::metadata(home.path()).unwrap().uid()));
    drop(bound);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_gives_way_and_a_successors_stays() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let first = bind(&path).unwrap();
    let second = bind(&path).unwrap();
    drop(first);
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn an_inherited_socket_serves_and_stays() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut bound = adopt(listener, &path, false).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let _client = UnixStream::connect(&path).unwrap();
    assert!(bound.accept().await.unwrap().1.is_ok());
    bound.remove_file();
    drop(bound);
    assert!(path.exists());
}

#[tokio::test]
async fn an_inherited_socket_without_its_file_is_bound_anew() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let bound = adopt(listener, &path, false).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    assert!(bound.accept().await.unwrap().1.is_ok());
}

#[tokio::test]
async fn a_socket_that_was_bound_anew_is_the_one_that_is_handed_over() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    let theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut bound = adopt(theirs, &path, false).unwrap();
    let share = bound.share();
    assert!(!share.give().unwrap().1, "the file is somebody else's");
    share.take_back();
    std::fs::remove_file(&path).unwrap();
    bound.restore().unwrap();

    let (copy, owns_file) = share.give().unwrap();
    assert!(owns_file, "this one has made it");
    share.leave();
    drop(bound);
    let successor = adopt(std::os::unix::net::UnixListener::from(copy.unwrap()), &path, owns_file).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    assert!(successor.accept().await.unwrap().1.is_ok());
    drop(successor);
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn while_a_successor_starts_nothing_is_bound_anew() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kmid.sock");
    let bound = bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bound.share().give().unwrap();
    let hour = Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, bound.lost()).await.is_err());
    bound.share().take_back();
    bound.lost().await;
}

#[tokio::test]
async fn what_is_no_socket_is_never_removed() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    let link = home.path().join("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link, &home.path().to_owned()] {
        let error = bind(path).unwrap_err();
        assert!(matches!(&error, BindError::NotASocket(at) if at == path), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "data");
}

#[tokio::test]
async fn a_path_that_is_too_long_or_has_no_place_says_so() {
    let home = tempfile::tempdir().unwrap();
    let error = bind(&home.path().join("x".repeat(120))).unwrap_err();
    assert!(matches!(error, BindError::Endpoint(_)), "{error}");
    std::fs::write(home.path().join("file"), "").unwrap();
    let error = bind(&home.path().join("file/kmid.sock")).unwrap_err();
    assert!(matches!(error, BindError::Directory { .. }), "{error}");
}
