//! What can be seen of the state directory without the daemon.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use kmid_core::pool::snapshot::SCHEMA_VERSION;

use super::{Check, quoted};
use crate::app::App;
use crate::tr;

/// A state is never larger; kmid sets such a file aside.
const MAX_BYTES: u64 = 16 << 20;

pub(super) fn check(app: &App, key_folders: &[PathBuf]) -> Vec<Check> {
    let folder = &app.settings.state_dir;
    let path = folder.display().to_string();
    match std::fs::metadata(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![missing(app, folder)],
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
            if let Some(error) = unwritable(folder) {
                let why = app.messages.io(&error);
                let detail = tr!(app.messages, "doctor-unwritable", path = path, why = why);
                return vec![Check::fail("state_dir", detail, tr!(app.messages, "doctor-unwritable-fix"))];
            }
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

/// A state directory that kmid has to make first.
fn missing(app: &App, folder: &Path) -> Check {
    let path = folder.display().to_string();
    let above = folder.ancestors().find(|folder| folder.is_dir());
    match above.and_then(|above| Some((above, unwritable(above)?))) {
        None => Check::ok("state_dir", tr!(app.messages, "doctor-no-state-dir", path = path)),
        Some((above, error)) => {
            let detail = tr!(
                app.messages,
                "doctor-unmakeable",
                path = path,
                above = above.display().to_string(),
                why = app.messages.io(&error)
            );
            Check::fail("state_dir", detail, tr!(app.messages, "doctor-unwritable-fix"))
        }
    }
}

/// Why a folder takes no files. Its rights alone do not tell: a file system may be mounted for reading only.
fn unwritable(folder: &Path) -> Option<io::Error> {
    tempfile::tempfile_in(folder).err()
}

/// A state that kmid would refuse, because a newer one wrote it.
pub(super) fn newer_state(app: &App) -> Option<Check> {
    let path = app.settings.state_dir.join("state.json");
    let found = schema_version(&path).filter(|found| *found > SCHEMA_VERSION)?;
    let detail = tr!(
        app.messages,
        "doctor-state-newer",
        path = path.display().to_string(),
        found = found.to_string(),
        known = SCHEMA_VERSION.to_string()
    );
    Some(Check::fail("state", detail, tr!(app.messages, "doctor-state-newer-fix")))
}

/// The version that the file says it has; what kmid cannot read at all, it sets aside by itself.
fn schema_version(path: &Path) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema_version: u64,
    }

    if !path.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Some(serde_json::from_slice::<Version>(bytes).ok()?.schema_version)
}

/// The key directory in use: the first that exists.
fn in_use(key_folders: &[PathBuf]) -> Option<&Path> {
    key_folders.iter().map(PathBuf::as_path).find(|folder| folder.is_dir())
}

/// Whether there is anything that a daemon would read keys from; nothing where it is not known where it would look.
pub(super) fn keys(app: &App, key_folders: &[PathBuf]) -> Vec<Check> {
    let messages = &app.messages;
    let Some(folder) = in_use(key_folders).or(key_folders.first().map(PathBuf::as_path)) else {
        return Vec::new();
    };
    let files = key_files(folder);
    let path = folder.display().to_string();
    if files.is_empty() {
        let detail = tr!(messages, "doctor-no-key-files", path = path);
        let fix = tr!(messages, "doctor-no-keys-fix");
        return vec![Check::warn("key_files", detail, fix).and_run("kmi keys add")];
    }
    let detail = tr!(messages, "doctor-key-folder", path = path, count = files.len());
    let mut checks = vec![Check::ok("key_files", detail)];
    for (file, error) in files.iter().filter_map(|file| Some((file, File::open(file).err()?))) {
        let (path, why) = (file.display().to_string(), messages.io(&error));
        let detail = tr!(messages, "doctor-unreadable", path = path, why = why);
        checks.push(Check::fail("key_files", detail, tr!(messages, "doctor-key-file-fix")));
    }
    checks
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

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("rights");
    }

    #[test]
    fn finds_what_others_may_read() {
        let home = tempfile::tempdir().unwrap();
        let set = set_mode;
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
    fn a_folder_that_takes_no_files_is_known() {
        let folder = tempfile::tempdir().unwrap();
        assert!(unwritable(folder.path()).is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
        // Nobody can make files there, not even root.
        if cfg!(target_os = "linux") {
            assert!(unwritable(Path::new("/proc")).is_some());
        }
        if crate::require::or_skip(!rustix::process::geteuid().is_root(), "root may write everywhere") {
            set_mode(folder.path(), 0o000);
            let error = unwritable(folder.path()).unwrap();
            set_mode(folder.path(), 0o700);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn the_version_of_a_state_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(schema_version(&path), None);
        for (text, version) in [
            (r#"{"schema_version":3,"keys":"a shape of its own"}"#, Some(3)),
            ("\u{feff}{\"schema_version\":2}", Some(2)),
            ("not JSON", None),
            ("{}", None),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(schema_version(&path), version, "{text}");
        }
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
