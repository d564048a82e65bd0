//! Surgical edits of the Kimi clients' config files.
//!
//! Rotation writes the chosen key where the clients look for theirs: `config.toml` in `~/.kimi` (kimi-cli) and in
//! `~/.kimi-code` (kimi-code). What to change is decided without IO in `edit`; reading and writing is in `file`.
//! Everything here blocks on the disk: call it where blocking is allowed.

mod address;
mod connection;
mod document;
mod edit;
mod file;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kmid_core::door::Tokens;
use kmid_core::key::{Fingerprint, Key};
use kmid_core::said::Said;
use kmid_core::say;

pub use address::OwnAddress;
pub use connection::{Change as ClientChange, Outcome, connect, disconnect};
pub use edit::{Change, Edit, LeftAlone, Part, edit};
pub use wire::{PLACEHOLDER, ValueChange, Wiring};

/// A generation of the Kimi client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// kimi-cli: `~/.kimi`
    KimiCli,
    /// kimi-code: `~/.kimi-code`
    KimiCode,
}

impl Client {
    /// Both.
    pub const ALL: [Self; 2] = [Self::KimiCli, Self::KimiCode];

    /// Its name as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KimiCli => "kimi-cli",
            Self::KimiCode => "kimi-code",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.name() == name)
    }
}

/// The clients' config files, changed by one at a time: a change is several files, and two at once could leave one's
/// config beside the other's record, or none of the person's own key.
#[derive(Debug, Default)]
pub struct ClientFiles {
    homes: Homes,
    changing: Mutex<()>,
}

impl ClientFiles {
    /// Those in these places.
    #[must_use]
    pub fn new(homes: Homes) -> Self {
        Self { homes, changing: Mutex::new(()) }
    }

    /// For reading.
    #[must_use]
    pub fn homes(&self) -> &Homes {
        &self.homes
    }

    /// Runs a change of the files when no other one is under way. This blocks.
    pub fn change<T>(&self, change: impl FnOnce(&Homes) -> T) -> T {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&self.homes)
    }
}

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
    /// A client's config file, whether it exists or not.
    fn file(&self, client: Client) -> Option<PathBuf> {
        let (own, usual) = match client {
            Client::KimiCli => (&self.kimi_share_dir, ".kimi"),
            Client::KimiCode => (&self.kimi_code_home, ".kimi-code"),
        };
        let directory = own.clone().or_else(|| Some(self.home.as_ref()?.join(usual)))?;
        Some(directory.join("config.toml"))
    }

    /// The config files that may exist, each once.
    fn files(&self) -> Vec<(Client, PathBuf)> {
        let mut files: Vec<(Client, PathBuf)> = Vec::new();
        for client in Client::ALL {
            let Some(file) = self.file(client) else { continue };
            if !files.iter().any(|(_, other)| *other == file || is_same(other, &file)) {
                files.push((client, file));
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
    pub warnings: Vec<Said>,
}

/// Writes the key into every config file that exists. A file that holds it already is neither written nor
/// mentioned.
#[must_use]
pub fn write(homes: &Homes, key: &Key, own: &OwnAddress) -> Written {
    let mut outcome = Written::default();
    let change = Change { secret: &key.secret, base_url: &key.base_url, own };
    for (_, path) in homes.files() {
        match file::rewrite(&path, |text| edit(text, &change)) {
            Ok(None) => {}
            Ok(Some(done)) => {
                if done.changed {
                    outcome.written.push(path.clone());
                }
                let notes = done.left_alone.iter().map(|(part, why)| of_file(&path, why.of(*part)));
                outcome.warnings.extend(notes);
            }
            Err(why) => outcome.warnings.push(of_file(&path, why.said())),
        }
    }
    outcome
}

fn of_file(path: &Path, said: Said) -> Said {
    say!(of_file, path = path.display().to_string(), said = said)
}

/// The key that a Kimi client is configured with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Whose.
    pub client: Client,
    /// The config file.
    pub path: PathBuf,
    /// The provider in use.
    pub provider: Option<String>,
    /// Its key, if the file holds one.
    pub fingerprint: Option<Fingerprint>,
    /// The provider is kmid itself, so the key in the file is not the one that is used.
    pub points_at_kmid: bool,
    /// Whether the proxy takes what stands there for a token, where that can be said.
    pub token_accepted: Option<bool>,
    /// A record says that it was connected and not disconnected since.
    pub connected: bool,
    /// The upstream's name of the model in use, unless its provider is somebody else's.
    pub model: Option<String>,
    /// How many tokens the model takes, as the file says.
    pub max_context_size: Option<u64>,
    /// The `type` of the provider that the default model leads to.
    pub provider_type: Option<String>,
    /// Why nothing can be said, if so.
    pub problem: Option<Said>,
}

/// What each existing config file of a Kimi client is set to.
#[must_use]
pub fn current_key(homes: &Homes, own: &OwnAddress, tokens: &Tokens) -> Vec<Configured> {
    let read = |(client, path): (Client, PathBuf)| {
        let connected = connection::is_connected(&path);
        let found = match file::read(&path) {
            Ok(None) => return None,
            Ok(Some(text)) => edit::current(&text, own, tokens).map_err(|why| why.of(Part::File)),
            Err(why) => Err(why.said()),
        };
        Some(match found {
            Ok(current) => Configured {
                client,
                connected,
                model: current.model,
                max_context_size: current.max_context_size,
                provider_type: current.provider_type,
                path,
                provider: Some(current.provider),
                fingerprint: current.fingerprint,
                points_at_kmid: current.points_at_kmid,
                token_accepted: current.token_accepted,
                problem: None,
            },
            Err(problem) => Configured {
                client,
                connected,
                model: None,
                max_context_size: None,
                provider_type: None,
                path,
                provider: None,
                fingerprint: None,
                points_at_kmid: false,
                token_accepted: None,
                problem: Some(problem),
            },
        })
    };
    homes.files().into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests;
