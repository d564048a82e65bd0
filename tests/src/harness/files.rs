//! What lies in a directory tree.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Every file and directory below a path, sorted, the path itself first.
#[must_use]
pub fn tree(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while next < found.len() {
        if let Ok(entries) = fs::read_dir(&found[next]) {
            let mut inside: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            inside.sort();
            found.extend(inside);
        }
        next += 1;
    }
    found
}

/// The permission bits.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode()
        & 0o7777
}

/// Files below a path whose content contains a text.
#[must_use]
pub fn containing(root: &Path, text: &str) -> Vec<PathBuf> {
    let needle = text.as_bytes();
    tree(root)
        .into_iter()
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|m| m.is_file()))
        .filter(|path| fs::read(path).is_ok_and(|content| content.windows(needle.len()).any(|w| w == needle)))
        .collect()
}

/// The lines of a file and of its rotated predecessors (`FILE.2`, `FILE.1`, `FILE`), oldest first.
#[must_use]
pub fn rotated_lines(path: &Path) -> Vec<String> {
    let numbered = |n: u32| PathBuf::from(format!("{}.{n}", path.display()));
    let mut files: Vec<_> = (1..).map(numbered).take_while(|p| p.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    files
        .iter()
        .filter_map(|p| fs::read_to_string(p).ok())
        .flat_map(|t| t.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
