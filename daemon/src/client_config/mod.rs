//! Surgical edits of the Kimi clients' config files.
//!
//! Rotation writes the chosen key where the clients look for theirs: `config.toml` in `~/.kimi` (kimi-cli) and in
//! `~/.kimi-code` (kimi-code). What to change is decided without IO in `edit`; reading and writing is in `file`.
//! Everything here blocks on the disk: call it where blocking is allowed.

mod address;
mod document;
mod edit;
mod file;

use std::path::{Path, PathBuf};

use kmid_core::key::{Fingerprint, Key};

pub use address::OwnAddress;
pub use edit::{Change, Edit, LeftAlone, Part, edit};

/// Where the clients keep their files, as `config` read it from the environment.
#[derive(Debug, Clone, Default)]
pub struct Homes {
    /// The person's home directory.
    pub home: Option<PathBuf>,
    /// KIMI_SHARE_DIR of kimi-cli; instead of `~/.kimi`
    pub kimi_share_dir: Option<PathBuf>,
    /// KIMI_CODE_HOME of kimi-code; instead of `~/.kimi-code`
    pub kimi_code_home: Option<PathBuf>,
}

impl Homes {
    /// The config files that may exist, each once.
    fn files(&self) -> Vec<PathBuf> {
        let below_home = |name: &str| self.home.as_ref().map(|home| home.join(name));
        let directories = [
            self.kimi_share_dir.clone().or_else(|| below_home(".kimi")),
            self.kimi_code_home.clone().or_else(|| below_home(".kimi-code")),
        ];
        let mut files: Vec<PathBuf> = Vec::new();
        for file in directories.into_iter().flatten().map(|directory| directory.join("config.toml")) {
            let same = |other: &PathBuf| *other == file || is_same(other, &file);
            if !files.iter().any(same) {
                files.push(file);
            }
        }
        files
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What came of writing a key into the clients' files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Files that were changed.
    pub written: Vec<PathBuf>,
    /// What was left alone and why, each beginning with the file's path; never anything out of a file.
    pub warnings: Vec<String>,
}

/// Writes the key into every config file that exists. A file that holds it already is neither written nor
/// mentioned.
#[must_use]
pub fn write(homes: &Homes, key: &Key, own: &OwnAddress) -> Written {
    let mut outcome = Written::default();
    let change = Change { secret: &key.secret, base_url: &key.base_url, own };
    for path in homes.files() {
        match file::rewrite(&path, |text| edit(text, &change)) {
            Ok(None) => {}
            Ok(Some(done)) => {
                if done.changed {
                    outcome.written.push(path.clone());
                }
                let notes =
                    done.left_alone.iter().map(|(part, why)| format!("{}: {part} {why}", path.display()));
                outcome.warnings.extend(notes);
            }
            Err(why) => outcome.warnings.push(format!("{}: {why}", path.display())),
        }
    }
    outcome
}

/// The key that a Kimi client is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The config file.
    pub path: PathBuf,
    /// The provider in use.
    pub provider: Option<String>,
    /// Its key, if the file holds one.
    pub fingerprint: Option<Fingerprint>,
    /// The provider is kmid itself, so the key in the file is not the one that is used.
    pub points_at_kmid: bool,
    /// Why nothing can be said, if so.
    pub problem: Option<String>,
}

/// What each existing config file of a Kimi client is set to.
#[must_use]
pub fn current_key(homes: &Homes, own: &OwnAddress) -> Vec<Configured> {
    let read = |path: PathBuf| {
        let found = match file::read(&path) {
            Ok(None) => return None,
            Ok(Some(text)) => edit::current(&text, own).map_err(|why| format!("{} {why}", Part::File)),
            Err(why) => Err(why.to_string()),
        };
        Some(match found {
            Ok(current) => Configured {
                path,
                provider: Some(current.provider),
                fingerprint: current.fingerprint,
                points_at_kmid: current.points_at_kmid,
                problem: None,
            },
            Err(problem) => Configured {
                path,
                provider: None,
                fingerprint: None,
                points_at_kmid: false,
                problem: Some(problem),
            },
        })
    };
    homes.files().into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
