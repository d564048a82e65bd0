//! One daemon a directory, and only a directory of our own.

use super::*;

fn state_dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep").join("state");
    (dir, path)
}

#[test]
fn a_second_daemon_is_told_who_holds_the_directory() {
    let (_dir, path) = state_dir();
    prepare(&path, true).unwrap();
    let first = Instance::acquire(&path).unwrap();
    let refused = Instance::acquire(&path).unwrap_err();
    if cfg!(unix) {
        assert!(matches!(refused, InstanceError::Held { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().contains(&format!("(pid {})", std::process::id())), "{refused}");
    }
    drop(first);
    Instance::acquire(&path).unwrap();
}

#[test]
fn what_a_dead_daemon_left_in_the_lock_does_not_matter() {
    let (_dir, path) = state_dir();
    prepare(&path, true).unwrap();
    let lock = path.join(LOCK);
    fs::write(&lock, "999999999999 and a longer text than any pid").unwrap();
    let _held = Instance::acquire(&path).unwrap();
    if cfg!(unix) {
        assert_eq!(fs::read_to_string(&lock).unwrap(), format!("{}\n", std::process::id()));
    }
}

#[test]
fn a_lock_without_a_readable_pid_is_still_held() {
    let (_dir, path) = state_dir();
    prepare(&path, true).unwrap();
    let other =
        private::file_options().write(true).create(true).truncate(true).open(path.join(LOCK)).unwrap();
    other.lock().unwrap();
    let refused = Instance::acquire(&path).unwrap_err();
    assert!(matches!(refused, InstanceError::Held { pid: None, .. }));
    assert!(refused.to_string().starts_with("another kmid already uses"), "{refused}");
}

#[test]
fn a_directory_that_was_removed_is_made_anew_unless_another_daemon_has_it() {
    let (_dir, path) = state_dir();
    prepare(&path, true).unwrap();
    let held = Instance::acquire(&path).unwrap();
    assert!(!held.keep().unwrap());
    if cfg!(windows) {
        // A file that is open cannot be removed there.
        return;
    }
    fs::remove_dir_all(&path).unwrap();
    assert!(held.keep().unwrap() && !held.keep().unwrap());
    assert!(matches!(Instance::acquire(&path).unwrap_err(), InstanceError::Held { .. }));
    fs::remove_dir_all(&path).unwrap();
    prepare(&path, true).unwrap();
    let _other = Instance::acquire(&path).unwrap();
    assert!(matches!(held.keep().unwrap_err(), InstanceError::Held { .. }));
    fs::remove_dir_all(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert!(matches!(held.keep().unwrap_err(), InstanceError::NotADirectory { .. }));
}

#[test]
fn a_file_in_the_way_is_refused() {
    let (dir, path) = state_dir();
    fs::write(dir.path().join("deep"), "").unwrap();
    assert!(matches!(prepare(&path, true).unwrap_err(), InstanceError::Io { .. }));
    let file = dir.path().join("deep");
    assert!(matches!(prepare(&file, true).unwrap_err(), InstanceError::NotADirectory { .. }));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn open_up(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_made_is_private_whatever_the_umask() {
        rustix::process::umask(rustix::fs::Mode::empty());
        let (_dir, path) = state_dir();
        let prepared = prepare(&path, false).unwrap();
        assert!(prepared.hardened.is_empty() && prepared.issues.is_empty());
        let _held = Instance::acquire(&path).unwrap();
        for dir in [
            path.clone(),
            path.join("logs"),
            path.join("trace"),
            path.join("usage"),
            path.join("usage-dry-run"),
        ] {
            assert_eq!(mode(&dir), 0o700, "{}", dir.display());
        }
        assert_eq!(mode(&path.join(LOCK)), 0o600);
    }

    #[test]
    fn what_is_too_open_is_tightened_or_told() {
        let (_dir, path) = state_dir();
        prepare(&path, true).unwrap();
        let (logs, state, log) = (path.join("logs"), path.join("state.json"), path.join("logs/kmi.log.1"));
        fs::write(&state, "").unwrap();
        fs::write(&log, "").unwrap();
        let outside = path.parent().unwrap().join("outside");
        fs::write(&outside, "").unwrap();
        symlink(&outside, path.join("trace/link")).unwrap();
        for (path, mode) in
            [(&path, 0o755), (&logs, 0o750), (&state, 0o644), (&log, 0o640), (&outside, 0o644)]
        {
            open_up(path, mode);
        }

        let told = prepare(&path, false).unwrap();
        assert!(told.hardened.is_empty());
        assert_eq!(told.issues.len(), 4);
        assert!(told.issues.iter().any(|i| i.message.contains("chmod 700")));
        assert_eq!((mode(&path), mode(&state)), (0o755, 0o644));

        let tightened = prepare(&path, true).unwrap();
        assert_eq!(tightened.hardened.len(), 4);
        assert!(tightened.issues.is_empty());
        assert_eq!((mode(&path), mode(&logs), mode(&state), mode(&log)), (0o700, 0o700, 0o600, 0o600));
        assert_eq!(mode(&outside), 0o644, "a link leads to what is not ours to change");
        assert!(prepare(&path, true).unwrap().hardened.is_empty());
    }

    #[test]
    fn a_link_is_refused() {
        let (dir, path) = state_dir();
        prepare(&path, true).unwrap();
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(prepare(&link, true).unwrap_err(), InstanceError::Link { .. }));
        fs::remove_dir(path.join("logs")).unwrap();
        symlink(dir.path(), path.join("logs")).unwrap();
        assert!(matches!(prepare(&path, true).unwrap_err(), InstanceError::Link { .. }));
    }

    /// Only root can make a file another user's; elsewhere a system directory is one already.
    #[test]
    fn a_directory_of_another_user_is_refused() {
        let (_dir, path) = state_dir();
        prepare(&path, true).unwrap();
        let foreign = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            path
        } else {
            PathBuf::from("/usr")
        };
        assert!(matches!(prepare(&foreign, true).unwrap_err(), InstanceError::Foreign { .. }));
    }
}
