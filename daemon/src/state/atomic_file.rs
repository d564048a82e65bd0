//! Replacing a file so that a reader, a crash or a power cut finds the old content or the new one, whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::private;

/// Writes `content` to a new file beside `path`, brings it to the disk and gives it the name. Mode 0600 from the
/// first byte on. A directory that is missing is created. Only one writer at a time may use a path: the temporary
/// name is fixed, so that a process that is killed leaves at most one behind, which the next write removes.
///
/// # Errors
/// As the system says; the old file is then as it was and the temporary one is gone.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary(path)?;
    if let Some(parent) = parent(path) {
        private::create_dir_all(parent)?;
    }
    let result = write_and_rename(&temporary, path, content);
    if result.is_err() {
        // The first error is the one to tell; that the rest could not be removed either adds nothing.
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_and_rename(temporary: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create_new(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    sync_dir(path)
}

/// `create_new` follows no link, so nothing that lies there decides where the content goes.
fn create_new(path: &Path) -> io::Result<File> {
    let open = || private::file_options().write(true).create_new(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()
        }
        result => result,
    }
}

/// A rename is on the disk when its directory is.
#[cfg(unix)]
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(parent(path).unwrap_or(Path::new(".")))?.sync_all()
}

/// A directory cannot be opened as a file there; NTFS keeps the order of names by its own journal.
#[cfg(not(unix))]
pub(super) fn sync_dir(_path: &Path) -> io::Result<()> {
    Ok(())
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(".tmp");
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new").join("state.json");
        write(&path, b"a longer first content").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(path.parent().unwrap()), ["state.json"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_no_rest() {
        let dir = tempfile::tempdir().unwrap();
        // A directory with something in it cannot be replaced by a file.
        let path = dir.path().join("state.json");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), b"x").unwrap();
        assert!(write(&path, b"content").is_err());
        assert_eq!(names(dir.path()), ["state.json"]);
        assert_eq!(fs::read(path.join("inside")).unwrap(), b"x");
    }

    #[cfg(unix)]
    #[test]
    fn private_from_creation_and_not_led_astray_by_a_link() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, b"untouched").unwrap();
        std::os::unix::fs::symlink(&elsewhere, temporary(&path).unwrap()).unwrap();
        rustix::process::umask(rustix::fs::Mode::empty());
        write(&path, b"content").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert_eq!(names(dir.path()), ["elsewhere", "state.json"]);
    }
}
