//! When the state reaches the disk.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use kmid_core::time::Time;

use super::*;

fn within<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), future).await.unwrap() })
}

/// A pool whose rotation position is its whole memory, and how often it was asked.
fn pool() -> (Arc<AtomicU64>, Arc<AtomicU64>, Source) {
    let (position, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let source: Source = Box::new({
        let (position, asked) = (Arc::clone(&position), Arc::clone(&asked));
        move || {
            asked.fetch_add(1, Ordering::SeqCst);
            Snapshot { rotation_index: position.load(Ordering::SeqCst), ..Snapshot::default() }
        }
    });
    (position, asked, source)
}

fn saved(path: &Path) -> u64 {
    load(path, Time::from_millis(0)).unwrap().snapshot.rotation_index
}

#[test]
fn save_now_means_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    let (position, _, source) = pool();
    let store = Store::start(path.clone(), source).unwrap();
    for n in 1..4 {
        position.store(n, Ordering::SeqCst);
        within(store.save_now()).unwrap();
        assert_eq!(saved(&path), n);
    }
    assert!(store.issue().is_none());
}

#[test]
fn many_changes_are_one_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    let (position, asked, source) = pool();
    let store = Store::start(path.clone(), source).unwrap();
    for n in 1..=10_000 {
        position.store(n, Ordering::SeqCst);
        store.changed();
    }
    // The writer announces each write: wait for the one that holds the last change.
    let mut progress = store.progress.clone();
    within(progress.wait_for(|progress| progress.saved == 10_000)).unwrap();
    assert_eq!(saved(&path), 10_000);
    // One, unless this machine took longer than the collecting time to count to ten thousand.
    assert!(asked.load(Ordering::SeqCst) < 10);
}

#[test]
fn closing_writes_what_is_left_and_nothing_when_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    let (position, asked, source) = pool();
    let store = Store::start(path.clone(), source).unwrap();
    position.store(7, Ordering::SeqCst);
    store.changed();
    store.close().unwrap();
    assert_eq!((saved(&path), asked.load(Ordering::SeqCst)), (7, 1));
    assert!(within(store.save_now()).is_err(), "a closed store does not pretend");

    let (_, asked, source) = pool();
    Store::start(path.clone(), source).unwrap().close().unwrap();
    assert_eq!((saved(&path), asked.load(Ordering::SeqCst)), (7, 0));
}

#[test]
fn a_failure_is_told_kept_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("state");
    // A file stands where the directory should be.
    fs::write(&folder, "").unwrap();
    let path = folder.join("state.json");
    let (position, _, source) = pool();
    let store = Store::start(path.clone(), source).unwrap();
    position.store(5, Ordering::SeqCst);
    let error = within(store.save_now()).unwrap_err();
    assert_eq!(error.path, path);
    assert!(!error.cause.is_empty());
    let issue = store.issue().unwrap();
    assert!(issue.error && issue.message.contains("(tried "), "{}", issue.message);

    fs::remove_file(&folder).unwrap();
    // Nobody asks again: the writer tries by itself.
    let mut progress = store.progress.clone();
    within(progress.wait_for(|progress| progress.error.is_none())).unwrap();
    assert_eq!(saved(&path), 5);
    assert!(store.issue().is_none());
}

#[test]
fn a_last_write_that_fails_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("state");
    fs::write(&folder, "").unwrap();
    let (_, _, source) = pool();
    let store = Store::start(folder.join("state.json"), source).unwrap();
    store.changed();
    assert!(store.close().is_err());
}
