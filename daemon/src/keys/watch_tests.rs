use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind, RenameMode};
use tempfile::TempDir;

use super::*;

/// Far below the slow poll, so that a pass means that the event came.
const PATIENCE: Duration = Duration::from_secs(15);

async fn change(watcher: &mut Watcher, what: &str) {
    let waited = tokio::time::timeout(PATIENCE, watcher.changed()).await;
    assert!(waited.is_ok(), "not noticed: {what}");
}

fn write(temp: &TempDir, name: &str, text: &str) {
    let path = temp.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[tokio::test]
async fn files_added_edited_replaced_and_removed() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    write(&temp, "_auths/a.env", "KMI_API_KEY=1");
    let mut watcher = Watcher::new(vec![at("_auths")]).unwrap();
    write(&temp, "_auths/b.env", "KMI_API_KEY=2");
    change(&mut watcher, "added").await;
    write(&temp, "_auths/a.env", "KMI_API_KEY=3");
    change(&mut watcher, "edited, same size").await;
    write(&temp, "elsewhere/a.env", "KMI_API_KEY=4");
    fs::rename(at("elsewhere/a.env"), at("_auths/a.env")).unwrap();
    change(&mut watcher, "replaced by rename").await;
    fs::remove_file(at("_auths/b.env")).unwrap();
    change(&mut watcher, "removed").await;
    fs::create_dir(at("_auths/work")).unwrap();
    change(&mut watcher, "folder added").await;
    write(&temp, "_auths/work/c.env", "KMI_API_KEY=5");
    change(&mut watcher, "added in a folder").await;
    fs::remove_dir_all(at("_auths/work")).unwrap();
    change(&mut watcher, "folder removed").await;
}

#[tokio::test]
async fn a_directory_that_appears_vanishes_and_is_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    let mut watcher = Watcher::new(vec![at("home/.kimi/_auths"), at("folder/_auths")]).unwrap();
    fs::create_dir(at("home")).unwrap();
    change(&mut watcher, "a directory above it").await;
    write(&temp, "home/.kimi/_auths/a.env", "KMI_API_KEY=1");
    change(&mut watcher, "the directory with a file").await;
    write(&temp, "home/.kimi/_auths/a.env", "KMI_API_KEY=2");
    change(&mut watcher, "an edit in the new directory").await;
    write(&temp, "new/a.env", "KMI_API_KEY=3");
    fs::rename(at("home/.kimi/_auths"), at("old")).unwrap();
    fs::rename(at("new"), at("home/.kimi/_auths")).unwrap();
    change(&mut watcher, "replaced").await;
    write(&temp, "home/.kimi/_auths/a.env", "KMI_API_KEY=4");
    change(&mut watcher, "an edit in the replaced directory").await;
    fs::remove_dir_all(at("home")).unwrap();
    change(&mut watcher, "vanished").await;
    fs::create_dir_all(at("folder/_auths")).unwrap();
    change(&mut watcher, "the other directory").await;
}

#[tokio::test]
async fn without_events_a_look_notices() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("_auths");
    let mut watcher = Watcher::start(vec![dir.clone()], false).unwrap();
    fs::create_dir(&dir).unwrap();
    change(&mut watcher, "the directory").await;
    fs::write(dir.join("a.env"), "KMI_API_KEY=1").unwrap();
    change(&mut watcher, "added").await;
    fs::write(dir.join("a.env"), "KMI_API_KEY=22").unwrap();
    change(&mut watcher, "edited").await;
    fs::remove_file(dir.join("a.env")).unwrap();
    change(&mut watcher, "removed").await;
}

#[tokio::test]
async fn a_change_before_the_wait_is_kept_and_dropping_ends_the_thread() {
    let temp = tempfile::tempdir().unwrap();
    let watcher = Watcher::new(vec![temp.path().to_owned()]).unwrap();
    let changed = Arc::clone(&watcher.changed);
    write(&temp, "a.env", "KMI_API_KEY=1");
    tokio::time::timeout(PATIENCE, changed.notified()).await.unwrap();
    changed.notify_one();
    let mut watcher = watcher;
    change(&mut watcher, "noted before anybody waited").await;
    drop(watcher);
    assert_eq!(Arc::strong_count(&changed), 1, "the thread is gone");
}

#[test]
fn what_matters() {
    let concerns = Concerns(vec!["/home/me/.kmi/_auths".into()]);
    let matters =
        |kind: EventKind, path: &str| concerns.match_event(&notify::Event::new(kind).add_path(path.into()));
    let data = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let mode = EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any));
    let created = EventKind::Create(CreateKind::Any);
    let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::Both));
    let removed = EventKind::Remove(RemoveKind::Any);
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    let keys = "/home/me/.kmi/_auths";
    for kind in [data, mode, created, renamed, removed, written] {
        assert!(matters(kind, &format!("{keys}/a.env")), "{kind:?}");
        assert!(matters(kind, &format!("{keys}/work/a.toml")), "{kind:?}");
        assert!(matters(kind, keys), "{kind:?}");
        assert!(!matters(kind, "/home/me/.kmi/state.json"), "the daemon's own state: {kind:?}");
        assert!(!matters(kind, "/home/me/.kmi/_auths.old"), "{kind:?}");
    }
    for kind in [read, opened] {
        assert!(
            !matters(kind, &format!("{keys}/a.env")) && !matters(kind, keys),
            "our own reading: {kind:?}"
        );
    }
    assert!(matters(created, &format!("{keys}/work")) && !matters(data, &format!("{keys}/notes.txt")));
    assert!(matters(created, "/home/me") && !matters(mode, "/home/me/.kmi"));
    assert!(concerns.match_event(&notify::Event::new(EventKind::Other)), "events were lost");
}
