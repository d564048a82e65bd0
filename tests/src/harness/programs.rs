//! Programs that a test makes.
//!
//! A process of their own writes them. What this process had open for writing would be open in the child as well that
//! another test forks at that moment, until its exec, and as long as a file is open for writing it cannot be run
//! (ETXTBSY).

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a program, and the folders above it where they lack. What was there is replaced.
///
/// # Panics
/// When it cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    make_room(path);
    let script = r#"cat >"$0" && chmod 755 "$0""#;
    let mut writer = Command::new("sh").args(["-c", script]).arg(path).stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(content.as_ref()).unwrap();
    assert!(writer.wait().unwrap().success(), "{}", path.display());
}

/// Copies a program.
///
/// # Panics
/// When that cannot be done.
pub fn copy(from: &Path, to: &Path) {
    make_room(to);
    let copied = Command::new("cp").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{}", to.display());
}

/// A program that runs is not written over.
fn make_room(path: &Path) {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).unwrap();
    }
    // Most often there is none.
    let _ = fs::remove_file(path);
}
