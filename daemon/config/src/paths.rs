//! Paths as people write them -> absolute paths.

use std::path::{Component, Path, PathBuf};

use kmid_core::said::Said;
use kmid_core::say;

/// Expands `~` and makes the path absolute by `base`, without touching the disk.
pub(crate) fn expand(text: &str, base: Option<&Path>, home: Option<&Path>) -> Result<PathBuf, Said> {
    let text = text.trim();
    if text.is_empty() || text.contains('\0') {
        return Err(say!(use_path));
    }
    let no_home = || say!(set_home);
    let path = if text == "~" {
        home.ok_or_else(no_home)?.to_owned()
    } else if let Some(rest) =
        text.strip_prefix("~/").or_else(|| text.strip_prefix("~\\").filter(|_| cfg!(windows)))
    {
        home.ok_or_else(no_home)?.join(rest)
    } else if text.starts_with('~') {
        return Err(say!(use_home_path));
    } else {
        PathBuf::from(text)
    };
    if path.is_absolute() {
        return Ok(tidy(&path));
    }
    match base {
        Some(base) => Ok(tidy(&base.join(path))),
        None => Err(say!(use_whole_path)),
    }
}

/// Drops `.` parts and doubled separators.
fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// Whether `path` lies in `folder`, links followed as far as the parts exist.
pub(crate) fn lies_in(path: &Path, folder: &Path) -> bool {
    match (real(path), real(folder)) {
        (Some(path), Some(folder)) => path.starts_with(folder),
        _ => false,
    }
}

/// The path with the links of its existing part followed; `None` where that cannot be known for sure.
fn real(path: &Path) -> Option<PathBuf> {
    if let Ok(real) = path.canonicalize() {
        return Some(real);
    }
    // A dangling link may lead anywhere later on.
    if path.symlink_metadata().is_ok() {
        return None;
    }
    match path.components().next_back()? {
        Component::Normal(last) => Some(real(path.parent()?)?.join(last)),
        _ => None,
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<PathBuf, Said> {
        expand(text, Some(Path::new("/srv")), Some(Path::new("/home/me")))
    }

    #[test]
    fn home_and_relative_paths() {
        for (text, path) in
            [("~", "/home/me"), ("~/.kmi", "/home/me/.kmi"), ("./a//b/", "/srv/a/b"), ("/x/./y", "/x/y")]
        {
            assert_eq!(expanded(text), Ok(path.into()), "{text}");
        }
        for text in ["", " ", "~you/x", "a\0b"] {
            assert!(expanded(text).is_err(), "{text:?}");
        }
        assert!(expand("~/x", None, None).is_err() && expand("x", None, None).is_err());
    }

    #[test]
    fn what_lies_in_a_folder() {
        let temp = tempfile::tempdir().unwrap();
        let inside = temp.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink("/", inside.join("out")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", inside.join("dangling")).unwrap();
        assert!(lies_in(&inside.join("new/er"), &inside) && lies_in(&inside, &inside));
        for path in ["..", "../other", "new/../../x", "out", "out/etc", "dangling", "dangling/x"] {
            assert!(!lies_in(&inside.join(path), &inside), "{path}");
        }
    }
}
