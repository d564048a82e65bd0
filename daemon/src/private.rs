//! Files and directories that only their owner may read, from their creation on.
//!
//! POSIX modes are given when a file is made, so that no umask and no moment in between leaves it open to others. On
//! Windows these modes mean nothing: what lies in the user's profile inherits the profile's access list.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Mode of directories.
pub const DIR_MODE: u32 = 0o700;
/// Mode of files.
pub const FILE_MODE: u32 = 0o600;

/// Options that create a file for its owner alone.
#[must_use]
pub fn file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(FILE_MODE);
    }
    options
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
    builder.create(path)
}

/// Whether others than the owner have any right to it.
#[cfg(unix)]
#[must_use]
pub fn open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o077 != 0
}

/// Whether others than the owner have any right to it: not a question of modes here.
#[cfg(not(unix))]
#[must_use]
pub fn open_to_others(_metadata: &Metadata) -> bool {
    false
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

/// Takes every right from others: nothing to do here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn harden(_path: &Path, _metadata: &Metadata) -> io::Result<()> {
    Ok(())
}

/// Whether it belongs to the user that this process runs as.
#[cfg(unix)]
#[must_use]
pub fn is_ours(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.uid() == rustix::process::geteuid().as_raw()
}

/// Whether it belongs to the user that this process runs as: left to the access list.
#[cfg(not(unix))]
#[must_use]
pub fn is_ours(_metadata: &Metadata) -> bool {
    true
}

/// What tells one file from another that took its name.
#[cfg(unix)]
#[must_use]
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

/// What tells one file from another that took its name: the file index needs an open handle there, the time of
/// creation is as good for files that nobody forges.
#[cfg(windows)]
#[must_use]
pub fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::windows::fs::MetadataExt as _;
    (metadata.creation_time(), 0)
}
