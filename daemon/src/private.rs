//! Files and directories that only their owner may read, from their creation on.
//!
//! POSIX modes are given when a file is made, so that no umask and no moment in between leaves it open to others. On
//! Windows these modes mean nothing: there a directory gets an access list when it is made, and files take it over.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Mode of directories.
pub const DIR_MODE: u32 = 0o700;
/// Mode of files.
pub const FILE_MODE: u32 = 0o600;

/// Options that create a file for its owner alone.
#[must_use]
pub fn file_options() -> OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = OpenOptions::new();
        options.mode(FILE_MODE);
        options
    }
    #[cfg(not(unix))]
    OpenOptions::new()
}

/// Creates a directory, and those above it that are missing, for their owner alone.
///
/// # Errors
/// As the system says.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(DIR_MODE);
    }
    #[cfg(windows)]
    if !path.is_dir() {
        builder.create(path)?;
        // A disk without access lists is no reason to fail: the check that follows says so (`crate::instance`).
        let _ = crate::access_list::protect(path, true);
        return Ok(());
    }
    builder.create(path)
}

/// Whether others than the owner have any right to it.
#[cfg(unix)]
#[must_use]
pub fn open_to_others(_path: &Path, metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o077 != 0
}

/// Whether others than the owner, the system and the administrators have any right to it. A list that cannot be read
/// keeps us out, too, and the next use of the file says so.
#[cfg(windows)]
#[must_use]
pub fn open_to_others(path: &Path, _metadata: &Metadata) -> bool {
    crate::access_list::open_to(path).is_ok_and(|stranger| stranger.is_some())
}

/// Takes every right from others.
///
/// # Errors
/// As the system says.
#[cfg(unix)]
pub fn harden(path: &Path, metadata: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = if metadata.is_dir() { DIR_MODE } else { FILE_MODE };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Takes every right from others.
///
/// # Errors
/// As the system says; a disk may have no access lists.
#[cfg(windows)]
pub fn harden(path: &Path, metadata: &Metadata) -> io::Result<()> {
    crate::access_list::protect(path, metadata.is_dir())
}

/// What a person has to run so that a file or directory is for its owner alone.
#[cfg(unix)]
#[must_use]
pub fn advice(_path: &Path, is_dir: bool) -> String {
    format!("chmod {:o}", if is_dir { DIR_MODE } else { FILE_MODE })
}

/// What a person has to run so that a file or directory is for its owner alone.
#[cfg(windows)]
#[must_use]
pub fn advice(path: &Path, is_dir: bool) -> String {
    let inherit = if is_dir { "(OI)(CI)" } else { "" };
    let path = crate::access_list::shown(path);
    format!(r#"icacls "{path}" /inheritance:r /grant:r "%USERNAME%:{inherit}F""#)
}

/// Whether it belongs to the user that this process runs as.
#[cfg(unix)]
#[must_use]
pub fn is_ours(_path: &Path, metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether it belongs to the user that this process runs as. Where nobody tells, as on a disk without owners, it does.
#[cfg(windows)]
#[must_use]
pub fn is_ours(path: &Path, _metadata: &Metadata) -> bool {
    crate::access_list::is_ours(path).unwrap_or(true)
}

/// What tells a file from another that takes its name; `None` where the system does not say.
pub type Identity = Option<(u64, u64)>;

/// The identity of an open file.
#[cfg(unix)]
#[must_use]
pub fn identity_of(_file: &File, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// The identity of the file that has this name.
#[cfg(unix)]
#[must_use]
pub fn identity_at(_path: &Path, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

/// The identity of an open file. Times do not tell: a new file under a name that was free for less than 15 s gets the
/// time of creation of the one before (Microsoft "File Times", tunneling, 2026-11).
#[cfg(windows)]
#[must_use]
pub fn identity_of(file: &File, _metadata: &Metadata) -> Identity {
    let found = winapi_util::file::information(file).ok()?;
    Some((found.volume_serial_number(), found.file_index()))
}

/// The identity of the file that has this name.
#[cfg(windows)]
#[must_use]
pub fn identity_at(path: &Path, metadata: &Metadata) -> Identity {
    identity_of(&File::open(path).ok()?, metadata)
}
