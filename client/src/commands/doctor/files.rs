//! What can be seen of the state directory without the daemon.

use std::path::{Path, PathBuf};

use super::{Check, quoted};
use crate::app::App;
use crate::tr;

pub(super) fn check(app: &App, key_folders: &[PathBuf]) -> Vec<Check> {
    let folder = &app.settings.state_dir;
    let path = folder.display().to_string();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            vec![Check::ok("state_dir", tr!(app.messages, "doctor-no-state-dir", path = path))]
        }
        Err(error) => {
            let detail =
                tr!(app.messages, "doctor-unreadable", path = path.as_str(), why = app.messages.io(&error));
            vec![Check::fail("state_dir", detail, tr!(app.messages, "doctor-unreadable-fix"))]
        }
        Ok(metadata) if !metadata.is_dir() => {
            let detail = tr!(app.messages, "doctor-no-folder", path = path);
            vec![Check::fail("state_dir", detail, tr!(app.messages, "doctor-no-folder-fix"))]
        }
        Ok(_) => {
            let open = open_to_others(folder, in_use(key_folders));
            if open.is_empty() {
                return vec![Check::ok("state_dir", tr!(app.messages, "doctor-state-dir", path = path))];
            }
            open.into_iter()
                .map(|(path, mode)| {
                    let detail = tr!(
                        app.messages,
                        "doctor-open-mode",
                        path = path.display().to_string(),
                        mode = format!("{mode:o}")
                    );
                    let right = if path.is_dir() { "700" } else { "600" };
                    let fix = format!("chmod {right} {}", quoted(&path));
                    Check::warn("permissions", detail, fix).with_command()
                })
                .collect()
        }
    }
}

/// The key directory in use: the first that exists.
fn in_use(key_folders: &[PathBuf]) -> Option<&Path> {
    key_folders.iter().map(PathBuf::as_path).find(|folder| folder.is_dir())
}

/// Whether there is anything that a daemon would read keys from; nothing where it is not known where it would look.
pub(super) fn keys(app: &App, key_folders: &[PathBuf]) -> Option<Check> {
    let messages = &app.messages;
    let folder = in_use(key_folders).or(key_folders.first().map(PathBuf::as_path))?;
    let count = key_files(folder).len();
    let path = folder.display().to_string();
    let detail = tr!(messages, "doctor-key-folder", path = path, count = count);
    if count > 0 {
        return Some(Check::ok("key_files", detail));
    }
    let fix = tr!(messages, "doctor-no-keys-fix");
    Some(Check::warn("key_files", detail, fix).and_run("kmi keys add"))
}

/// Files of the key directory and one level of folders below it, as kmid reads them; 1000 at most.
pub(crate) fn key_files(folder: &Path) -> Vec<PathBuf> {
    const MOST: usize = 1000;
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    folders.extend(entries(folder).filter(|path| path.is_dir()).take(MOST));
    for path in folders.iter().flat_map(|folder| entries(folder)) {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let known = [".env", ".toml", ".json", ".json.bak"].iter().any(|ending| name.ends_with(ending));
        if known && path.is_file() && found.len() < MOST {
            found.push(path);
        }
    }
    found
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The state directory, its folders and their files, as far as others may read or write them.
#[cfg(unix)]
fn open_to_others(folder: &Path, key_folder: Option<&Path>) -> Vec<(PathBuf, u32)> {
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
    let mut folders =
        vec![folder.to_owned(), folder.join("logs"), folder.join("trace"), folder.join("_auths")];
    folders
        .extend(key_folder.filter(|folder| !folders.iter().any(|known| known == folder)).map(Path::to_owned));
    for below in folders {
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

/// On Windows there are no modes to look at; kmid looks at access lists and reports what it finds as issues.
#[cfg(not(unix))]
fn open_to_others(_folder: &Path, _key_folder: Option<&Path>) -> Vec<(PathBuf, u32)> {
    Vec::new()
}

#[cfg(all(test, unix))]
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
        let keys = tempfile::tempdir().unwrap();
        set(keys.path(), 0o700);
        std::fs::write(keys.path().join("alpha.env"), "").unwrap();
        set(&keys.path().join("alpha.env"), 0o640);
        let found = open_to_others(home.path(), Some(keys.path()));
        let expected =
            [("logs", 0o755), ("logs/kmi.log", 0o644)].map(|(name, mode)| (home.path().join(name), mode));
        assert_eq!(found[..2], expected);
        assert_eq!(found[2..], [(keys.path().join("alpha.env"), 0o640)]);
    }

    #[test]
    fn key_files_are_those_that_kmid_reads() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("team/deeper")).unwrap();
        for name in ["a.env", "b.txt", "team/c.JSON", "team/d.json.bak", "team/deeper/e.env"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut found = key_files(folder.path());
        found.sort();
        assert_eq!(found, ["a.env", "team/c.JSON", "team/d.json.bak"].map(|name| folder.path().join(name)));
    }
}
