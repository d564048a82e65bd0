//! Reading and writing a config file that belongs to another program.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use kmid_core::said::Said;
use kmid_core::{say, show_as_said};

use super::edit::{Edit, LeftAlone, Part};

/// A config file is a few kilobytes; what is larger is none.
const MAX_BYTES: u64 = 1024 * 1024;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// The file could not be read.
    Read(#[source] io::Error),
    /// It is too large, or no regular file.
    NotAConfig,
    /// Not UTF-8.
    NotText,
    /// What stands in it forbids the edit.
    LeftAlone {
        /// The part that forbids it.
        part: Part,
        /// The reason.
        why: LeftAlone,
    },
    /// The client wrote it at the same time, again and again.
    Busy,
    /// The backup could not be written.
    Backup(#[source] io::Error),
    /// The file could not be written.
    Write(#[source] io::Error),
}

impl FileError {
    /// For people.
    pub(super) fn said(&self) -> Said {
        match self {
            Self::Read(error) => say!(config_unread, why = error),
            Self::NotAConfig => say!(config_is_none),
            Self::NotText => say!(config_is_no_text),
            Self::LeftAlone { part, why } => why.of(*part),
            Self::Busy => say!(config_busy),
            Self::Backup(error) => say!(config_no_backup, why = error),
            Self::Write(error) => say!(config_unwritten, why = error),
        }
    }
}

show_as_said!(FileError);

/// The file's text; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, FileError> {
    match fs::metadata(path) {
        // a link that leads nowhere is there, and is reported
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            return Ok(None);
        }
        // opening a named pipe would wait for its other end
        Ok(metadata) if !metadata.is_file() => return Err(FileError::NotAConfig),
        other => other.map_err(FileError::Read)?,
    };
    let file = File::open(path).map_err(FileError::Read)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::Read)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::NotAConfig);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| FileError::NotText)
}

/// Edits the file; `None` when there is no such file.
///
/// The file that a symbolic link leads to is replaced, the link stays. The version before the edit is kept as
/// `config.toml.kmi-backup` beside `path`, readable for its owner only: beside the link rather than its target, because a
/// target often lies in a shared or versioned folder, where a copy with a key in it does not belong.
pub(super) fn rewrite(
    path: &Path,
    edit: impl Fn(&str) -> Result<Edit, LeftAlone>,
) -> Result<Option<Edit>, FileError> {
    let edit = |text: &str| {
        let edited = edit(text).map_err(|why| FileError::LeftAlone { part: Part::File, why })?;
        Ok((edited.changed.then(|| edited.text.clone()), edited))
    };
    let keep = |before: &str, _: &Edit| replace(&beside(path, ".kmi-backup"), before.as_bytes());
    Ok(rewrite_keeping(path, edit, keep)?.map(|(edited, _)| edited))
}

/// Edits the file, if the edit gives a new text, after `keep` has put aside what is wanted of the old text; tells whether the file changed. `None`
/// when there is no such file. A symbolic link stays, as with [`rewrite`].
pub(super) fn rewrite_keeping<T>(
    path: &Path,
    edit: impl Fn(&str) -> Result<(Option<String>, T), FileError>,
    keep: impl Fn(&str, &T) -> io::Result<()>,
) -> Result<Option<(T, bool)>, FileError> {
    // the client may save its settings between our reading and writing
    for _ in 0..3 {
        let Some(before) = read(path)? else { return Ok(None) };
        let (text, edited) = edit(&before)?;
        let Some(text) = text else { return Ok(Some((edited, false))) };
        let target = path.canonicalize().map_err(FileError::Write)?;
        let old = fs::metadata(&target).map_err(FileError::Write)?;
        keep(&before, &edited).map_err(FileError::Backup)?;
        let new = Temporary::write(&target, text.as_bytes(), Some(&old)).map_err(FileError::Write)?;
        if read(path)?.as_deref() == Some(before.as_str()) {
            new.rename_to(&target).map_err(FileError::Write)?;
            return Ok(Some((edited, true)));
        }
    }
    Err(FileError::Busy)
}

/// What [`rewrite_keeping`] would do, without writing.
pub(super) fn preview<T>(
    path: &Path,
    edit: impl Fn(&str) -> Result<(Option<String>, T), FileError>,
) -> Result<Option<(T, bool)>, FileError> {
    let Some(before) = read(path)? else { return Ok(None) };
    let (text, edited) = edit(&before)?;
    Ok(Some((edited, text.is_some())))
}

/// The file of this name with something added to it.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}

/// Writes a whole file, mode 0600; it is there completely or not at all.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    Temporary::write(path, bytes, None)?.rename_to(path)
}

/// A finished file beside the one that it will replace; removed unless renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// Writes and syncs the new content, mode 0600 from creation on; the owner and the permissions of the `old` file
    /// come when all is written.
    fn write(beside: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> io::Result<Self> {
        let (path, mut file) = create_beside(beside)?;
        let temporary = Self { path, renamed: false };
        file.write_all(bytes)?;
        if let Some(old) = old {
            keep_owner(&file, old)?;
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        Ok(temporary)
    }

    fn rename_to(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.renamed = true;
        sync_directory(path);
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // the error that led here is the one to report
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file stays its owner's, also where kmid runs as root; else its owner could not read it any more.
#[cfg(unix)]
fn keep_owner(file: &File, old: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};

    let new = file.metadata()?;
    let (uid, gid) = (old.uid(), old.gid());
    if (new.uid(), new.gid()) == (uid, gid) { Ok(()) } else { fchown(file, Some(uid), Some(gid)) }
}

/// On Windows a new file has the rights that its folder gives.
#[cfg(not(unix))]
fn keep_owner(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    // a process with the same id may have left such files when it was killed
    for _ in 0..100 {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".kmi-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(name);
        match options.open(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            other => return other.map(|file| (temporary, file)),
        }
    }
    Err(last)
}

/// Makes the rename itself durable. It has happened already, so a failure changes nothing for the caller.
fn sync_directory(path: &Path) {
    #[cfg(unix)]
    if let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    #[cfg(not(unix))]
    let _ = path;
}
