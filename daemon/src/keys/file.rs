//! Finding and reading key files without leaving the directory, waiting, or reading without end.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kmid_core::said::Said;
use kmid_core::say;
use zeroize::{Zeroize, Zeroizing};

use super::{Format, Refusal};

/// A key file has a few hundred bytes, a client's config a few thousand.
const LONGEST: u64 = 1 << 20;

/// More files than any person has keys; a bound for a directory named by mistake.
pub(super) const MOST_FILES: usize = 1000;

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// For people.
    pub(super) why: Refusal,
    /// It says nothing of the file: this process has as many open as it may.
    pub(super) is_shortage: bool,
    /// It says nothing of the file either, and may be over soon: a disk or share that fails, a program that has the file
    /// to itself.
    pub(super) may_pass: bool,
}

impl From<Said> for Unreadable {
    fn from(why: Said) -> Self {
        Self { why, is_shortage: false, may_pass: false }
    }
}

fn cannot(error: &io::Error) -> Unreadable {
    let is_lasting = matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
    );
    Unreadable {
        why: say!(key_file_unreadable, why = error),
        is_shortage: is_shortage(error),
        may_pass: !is_lasting,
    }
}

/// Whether there are too many open files, here or in the whole system (EMFILE, ENFILE).
pub(super) fn is_shortage(error: &io::Error) -> bool {
    #[cfg(unix)]
    let shortage = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(rustix::io::Errno::raw_os_error);
    // ERROR_TOO_MANY_OPEN_FILES
    #[cfg(not(unix))]
    let shortage = [4];
    error.raw_os_error().is_some_and(|code| shortage.contains(&code))
}

/// What the directory and one level of folders below it hold; paths are relative to it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Key files in the order of their names, at most [`MOST_FILES`].
    pub(super) files: Vec<PathBuf>,
    /// Folders that were looked into.
    pub(super) folders: Vec<PathBuf>,
    /// Paths that were not looked at, with the reason.
    pub(super) refused: Vec<(PathBuf, Refusal)>,
}

/// Lists the key files.
///
/// # Errors
/// When the directory itself cannot be read, or a folder for a reason that will pass.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut folders = Vec::new();
    for name in names(dir)? {
        let path = PathBuf::from(&name);
        let is_hidden = name.as_encoded_bytes().starts_with(b".");
        if is_key_file(&name) && !dir.join(&path).is_dir() {
            listing.files.push(path);
        } else if !is_hidden && dir.join(&path).is_dir() {
            folders.push(path);
        }
    }
    for folder in folders {
        if let Err(why) = resolve(dir, &folder) {
            listing.refused.push((folder, why.why));
            continue;
        }
        match names(&dir.join(&folder)) {
            Ok(names) => {
                let files = names.into_iter().filter(|name| is_key_file(name)).map(|name| folder.join(name));
                listing.files.extend(files.filter(|path| !dir.join(path).is_dir()));
                listing.folders.push(folder);
            }
            Err(error) if is_shortage(&error) => return Err(error),
            Err(error) => listing.refused.push((folder, say!(key_folder_unreadable, why = &error))),
        }
        if listing.files.len() > MOST_FILES {
            break;
        }
    }
    listing.files.sort();
    if listing.files.len() > MOST_FILES {
        listing.files.truncate(MOST_FILES);
        let why = say!(too_many_key_files, most = MOST_FILES);
        listing.refused.push((PathBuf::new(), why));
    }
    Ok(listing)
}

fn names(dir: &Path) -> io::Result<Vec<OsString>> {
    /// Also a bound on what is no key file.
    const MOST_NAMES: usize = 20_000;
    let mut names = fs::read_dir(dir)?
        .take(MOST_NAMES)
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<OsString>>>()?;
    names.sort();
    Ok(names)
}

/// Whether the name is that of a key file.
pub(super) fn is_key_file(name: &OsStr) -> bool {
    Format::of(&name.to_string_lossy()).is_some()
}

/// The real path of something in the directory; refuses links that lead out of it.
pub(super) fn resolve(dir: &Path, path: &Path) -> Result<PathBuf, Unreadable> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => say!(key_file_leads_nowhere).into(),
        _ => cannot(&error),
    };
    let real = dir.join(path).canonicalize().map_err(cannot)?;
    if real.starts_with(dir.canonicalize().map_err(cannot)?) {
        Ok(real)
    } else {
        Err(say!(key_file_leaves).into())
    }
}

/// When a file last changed, in milliseconds since the Unix epoch; 0 where that is not known.
pub(super) fn revision(real: &Path) -> u64 {
    let modified = fs::metadata(real).and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|modified| modified.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0)
}

/// Reads a file that [`resolve`] let pass. A pipe or device is refused before it is opened: opening may wait for ever.
/// The text is wiped when it is dropped.
pub(super) fn read(real: &Path) -> Result<Zeroizing<String>, Unreadable> {
    let cannot = |error: io::Error| cannot(&error);
    if !fs::metadata(real).map_err(cannot)?.is_file() {
        return Err(say!(it_is_no_file).into());
    }
    let file = File::open(real).map_err(cannot)?;
    // Room for all of it: a buffer that grows leaves copies of its content behind.
    let length = file.metadata().map_err(cannot)?.len().min(LONGEST);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 64));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LONGEST {
        return Err(say!(it_is_too_large).into());
    }
    let text = std::mem::take(&mut *bytes);
    String::from_utf8(text).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        say!(it_is_no_text).into()
    })
}
