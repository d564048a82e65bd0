//! What can be seen of the state directory without the daemon.

use std::path::Path;

use super::Check;
use crate::app::App;
use crate::tr;

pub(super) fn check(app: &App) -> Vec<Check> {
    let folder = &app.settings.state_dir;
    let path = folder.display().to_string();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            vec![Check::ok("state_dir", tr!(app.messages, "doctor-no-state-dir", path = path))]
        }
        Err(error) => {
            let detail =
                tr!(app.messages, "doctor-unreadable", path = path.as_str(), why = error.to_string());
            vec![Check::fail("state_dir", detail, tr!(app.messages, "doctor-unreadable-fix"))]
        }
        Ok(metadata) if !metadata.is_dir() => {
            let detail = tr!(app.messages, "doctor-no-folder", path = path);
            vec![Check::fail("state_dir", detail, tr!(app.messages, "doctor-no-folder-fix"))]
        }
        Ok(_) => {
            let open = open_to_others(folder);
            if open.is_empty() {
                return vec![Check::ok("state_dir", tr!(app.messages, "doctor-state-dir", path = path))];
            }
            open.into_iter()
                .map(|(path, mode)| {
                    let path = path.display().to_string();
                    let detail = tr!(
                        app.messages,
                        "doctor-open-mode",
                        path = path.as_str(),
                        mode = format!("{mode:o}")
                    );
                    let right = if Path::new(&path).is_dir() { "700" } else { "600" };
                    Check::warn("permissions", detail, format!("chmod {right} '{path}'"))
                })
                .collect()
        }
    }
}

/// The state directory, its folders and their files, as far as others may read or write them.
#[cfg(unix)]
fn open_to_others(folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;

    let mut open = Vec::new();
    let mut look = |path: &Path| {
        // A link's own mode says nothing, and what it points at is not ours to judge.
        if let Ok(metadata) = std::fs::symlink_metadata(path)
            && !metadata.is_symlink()
            && metadata.permissions().mode() & 0o077 != 0
        {
            open.push((path.to_owned(), metadata.permissions().mode() & 0o777));
        }
    };
    look(folder);
    for below in [folder.to_owned(), folder.join("logs"), folder.join("trace"), folder.join("_auths")] {
        if below != folder && below.is_dir() {
            look(&below);
        }
        let Ok(entries) = std::fs::read_dir(&below) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                look(&entry.path());
            }
        }
    }
    open
}

/// On Windows the folder's inherited access list keeps others out; there are no modes to look at.
#[cfg(not(unix))]
fn open_to_others(_folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    Vec::new()
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn finds_what_others_may_read() {
        let home = tempfile::tempdir().unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        set(home.path(), 0o700);
        std::fs::create_dir(home.path().join("logs")).unwrap();
        set(&home.path().join("logs"), 0o755);
        for (name, mode) in [("state.json", 0o600), ("logs/kmi.log", 0o644)] {
            std::fs::write(home.path().join(name), "").unwrap();
            set(&home.path().join(name), mode);
        }
        let found = open_to_others(home.path());
        assert_eq!(found, [(home.path().join("logs"), 0o755), (home.path().join("logs/kmi.log"), 0o644)]);
    }
}
