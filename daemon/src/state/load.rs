//! Reading `state.json` at start: the present version, an older one, a newer one, or something that is none.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use kmid_core::pool::snapshot::{SCHEMA_VERSION, Snapshot};
use kmid_core::say;
use kmid_core::time::Time;
use serde::{Deserialize, Serialize};

use super::atomic_file;
use super::migrations::v1;
use crate::command::Issue;

/// A state of a thousand keys is well under 2 MiB.
const MAX_BYTES: u64 = 16 << 20;
/// How many files set aside in the same second get names of their own.
const MAX_SAME_NAME: u32 = 100;

/// What was found at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The pool's memory; empty when there was none.
    pub snapshot: Snapshot,
    /// What a person should know: a file that was set aside or migrated.
    pub issues: Vec<Issue>,
}

/// Why the daemon must not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Written by a newer program.
    #[error(
        "{} has version {found}, this kmid knows versions up to {SCHEMA_VERSION}: install a kmid that writes version \
         {found}, or set KMI_STATE_DIR to another directory; nothing was changed",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// It had to be replaced, but the old one could not be kept.
    #[error("{} cannot be used and could not be kept as {}; move it away by hand", path.display(), kept.display())]
    CannotKeep {
        /// The file.
        path: PathBuf,
        /// Where it should have gone.
        kept: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The migrated state could not be written.
    #[error("{} could not be written; free space or check the rights of its directory", path.display())]
    CannotWrite {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Version 2 on disk.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u64,
    #[serde(flatten)]
    snapshot: &'a Snapshot,
}

#[derive(Deserialize)]
struct Version {
    schema_version: u64,
}

enum Parsed {
    Present(Box<Snapshot>),
    V1(v1::StateV1),
    Newer(u64),
}

/// Reads the state. What cannot be read is set aside, never overwritten.
///
/// # Errors
/// When the file is newer than this program, or when it must be replaced and cannot be kept.
pub fn load(path: &Path, now: Time) -> Result<Loaded, LoadError> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::default()),
        Err(error) => return set_aside(path, now, &error.to_string()),
    };
    match parse(&bytes) {
        Ok(Parsed::Present(snapshot)) => Ok(Loaded { snapshot: *snapshot, issues: Vec::new() }),
        Ok(Parsed::V1(old)) => migrate_v1(path, &bytes, old, now),
        Ok(Parsed::Newer(found)) => Err(LoadError::Newer { path: path.to_owned(), found }),
        Err(why) => set_aside(path, now, &why),
    }
}

/// The state as it is written: JSON, version first.
///
/// # Errors
/// When it does not serialise, which no snapshot does.
pub(super) fn encode(snapshot: &mut Snapshot) -> Result<Vec<u8>, serde_json::Error> {
    // JSON has no NaN: it would be written as null and the whole file would not read back.
    for quota in
        snapshot.keys.values_mut().chain(snapshot.by_label.values_mut()).filter_map(|r| r.quota.as_mut())
    {
        quota.quota.windows.retain(|window| window.percent_left.is_finite());
    }
    let mut bytes = serde_json::to_vec(&Document { schema_version: SCHEMA_VERSION, snapshot })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A FIFO or a device would never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

fn parse(bytes: &[u8]) -> Result<Parsed, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let version: Version = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match version.schema_version {
        0 => Err("its version is 0".to_owned()),
        1 => serde_json::from_slice(bytes).map(Parsed::V1).map_err(|error| error.to_string()),
        SCHEMA_VERSION => serde_json::from_slice(bytes)
            .map(|s| Parsed::Present(Box::new(s)))
            .map_err(|error| error.to_string()),
        newer => Ok(Parsed::Newer(newer)),
    }
}

/// The copy comes first: until the new file has the name, the old one has it.
fn migrate_v1(path: &Path, bytes: &[u8], old: v1::StateV1, now: Time) -> Result<Loaded, LoadError> {
    let kept = free_name(path, "v1");
    atomic_file::write(&kept, bytes).map_err(|source| LoadError::CannotKeep {
        path: path.to_owned(),
        kept: kept.clone(),
        source,
    })?;
    let mut snapshot = v1::migrate(old, now);
    encode(&mut snapshot)
        .map_err(io::Error::from)
        .and_then(|bytes| atomic_file::write(path, &bytes))
        .map_err(|source| LoadError::CannotWrite { path: path.to_owned(), source })?;
    let issue = Issue {
        kind: "state",
        error: false,
        subject: path.display().to_string(),
        message: say!(state_migrated, kept = kept.display().to_string()),
    };
    Ok(Loaded { snapshot, issues: vec![issue] })
}

fn set_aside(path: &Path, now: Time, why: &str) -> Result<Loaded, LoadError> {
    let moment = now.timestamp().strftime("%Y%m%dT%H%M%SZ");
    let kept = free_name(path, &format!("corrupt-{moment}"));
    fs::rename(path, &kept)
        .and_then(|()| atomic_file::sync_dir(path))
        .map_err(|source| LoadError::CannotKeep { path: path.to_owned(), kept: kept.clone(), source })?;
    let issue = Issue {
        kind: "state",
        error: true,
        subject: path.display().to_string(),
        message: say!(state_set_aside, why = why, kept = kept.display().to_string()),
    };
    Ok(Loaded { snapshot: Snapshot::default(), issues: vec![issue] })
}

/// `path.ending`, or `path.ending-2` and so on while that is taken: a file that was kept once is kept for good.
pub(super) fn free_name(path: &Path, ending: &str) -> PathBuf {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{ending}"));
        if number > 1 {
            name.push(format!("-{number}"));
        }
        PathBuf::from(name)
    };
    (1..MAX_SAME_NAME)
        .map(name)
        .find(|name| fs::symlink_metadata(name).is_err())
        .unwrap_or_else(|| name(MAX_SAME_NAME))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
