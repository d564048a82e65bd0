//! Connecting a client's config file and undoing it: the file, its original and the record beside it.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use kmid_core::said::Said;
use kmid_core::say;
use serde::{Deserialize, Serialize};

use super::edit::Part;
use super::file::{self, FileError};
use super::wire::{Replaced, ValueChange, Wiring, undo, wire};
use super::{Client, Homes};

/// What came of a change to a client's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The config file.
    pub path: PathBuf,
    /// What was done, or with a dry run, what would be.
    pub outcome: Outcome,
    /// Values that differ from before.
    pub changes: Vec<ValueChange>,
    /// Where the original lies, if it is still there.
    pub original: Option<PathBuf>,
    /// What was left alone and why; never a secret.
    pub warnings: Vec<Said>,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The file points at kmid now.
    Connected,
    /// It did so before.
    AlreadyConnected,
    /// The file is byte for byte what it was.
    Disconnected,
    /// It was edited meanwhile: only what was still ours was taken back.
    TakenBack,
    /// There is no record of a connection.
    NotConnected,
    /// Nothing was changed; the warnings say why.
    LeftAlone,
}

impl Outcome {
    /// The stable word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::AlreadyConnected => "already_connected",
            Self::Disconnected => "disconnected",
            Self::TakenBack => "taken_back",
            Self::NotConnected => "not_connected",
            Self::LeftAlone => "left_alone",
        }
    }
}

/// What was changed in a file; holds the keys that were there.
#[derive(Serialize, Deserialize)]
struct Record {
    schema_version: u32,
    replaced: Vec<Replaced>,
}

const SCHEMA_VERSION: u32 = 1;

/// Points a client's config at kmid. Its original is kept as `config.toml.before-kmi`, what changed as
/// `config.toml.kmi-connection`, both for the owner only. With `dry_run` nothing is written.
#[must_use]
pub fn connect(homes: &Homes, client: Client, wiring: &Wiring, dry_run: bool) -> Change {
    let Some(path) = homes.file(client) else { return no_home() };
    let before = match read_record(&path) {
        Ok(record) => record,
        Err(why) => return left_alone(path, why),
    };
    // a second time starts from what an undoing would leave, so that the record always leads back to the person's own
    let edit = |text: &str| {
        let in_file = |why| FileError::LeftAlone { part: Part::File, why };
        let own = match &before {
            Some(record) => undo(text, &record.replaced).map_err(in_file)?.text,
            None => text.to_owned(),
        };
        let wired = wire(&own, wiring).map_err(|(part, why)| FileError::LeftAlone { part, why })?;
        Ok(((wired.text != text).then(|| wired.text.clone()), (own, wired)))
    };
    let kept = Cell::new(false);
    let keep = |_: &str, (own, wired): &(String, super::wire::Wired)| {
        if before.is_none() {
            put_aside(&path, own)?;
        }
        kept.set(true);
        file::replace(&original_path(&path), own.as_bytes())?;
        write_record(&path, &Record { schema_version: SCHEMA_VERSION, replaced: wired.replaced.clone() })
    };
    let done = if dry_run { file::preview(&path, edit) } else { file::rewrite_keeping(&path, edit, keep) };
    match done {
        Ok(Some(((_, wired), changed))) => Change {
            outcome: if changed { Outcome::Connected } else { Outcome::AlreadyConnected },
            changes: if changed { wired.changes } else { Vec::new() },
            original: Some(original_path(&path)).filter(|original| original.exists()),
            warnings: wired
                .left_alone
                .iter()
                .map(|(part, why)| why.of(*part))
                .chain(asked_elsewhere(client, &wired.provider, wiring))
                .collect(),
            path,
        },
        Ok(None) => left_alone(path, say!(config_absent)),
        Err(why) => {
            if kept.get() {
                match &before {
                    // It leads back from what still stands in the file. That the change failed is what is reported.
                    Some(record) => drop(write_record(&path, record)),
                    None => forget(&path),
                }
            }
            left_alone(path, why.said())
        }
    }
}

/// kimi-cli asks for the models of the managed provider at its start, with the provider's key, and not at the
/// provider's `base_url` [kimi-cli 1.50: auth/platforms.py, 2026-11].
fn asked_elsewhere(client: Client, provider: &str, wiring: &Wiring) -> Option<Said> {
    (client == Client::KimiCli && provider == "managed:kimi-code")
        .then(|| say!(models_asked_elsewhere, provider = provider, url = wiring.url.as_str()))
}

/// Undoes [`connect`]; what somebody else wrote meanwhile stays. With `dry_run` nothing is written.
#[must_use]
pub fn disconnect(homes: &Homes, client: Client, dry_run: bool) -> Change {
    let Some(path) = homes.file(client) else { return no_home() };
    let record = match read_record(&path) {
        Ok(Some(record)) => record,
        Ok(None) => {
            return Change { outcome: Outcome::NotConnected, ..left_alone(path, Said::default()) }.quiet();
        }
        Err(why) => return left_alone(path, why),
    };
    let original = original_path(&path);
    let edit = |text: &str| {
        let undone =
            undo(text, &record.replaced).map_err(|why| FileError::LeftAlone { part: Part::File, why })?;
        Ok(((undone.text != text).then(|| undone.text.clone()), undone))
    };
    let done =
        if dry_run { file::preview(&path, edit) } else { file::rewrite_keeping(&path, edit, |_, _| Ok(())) };
    let undone = match done {
        Ok(Some((undone, _))) => undone,
        Ok(None) => {
            if !dry_run {
                // the original stays: it is the only copy
                let _ = std::fs::remove_file(record_path(&path));
            }
            let gone = left_alone(path, say!(config_gone));
            return Change {
                outcome: Outcome::NotConnected,
                original: Some(original).filter(|at| at.exists()),
                ..gone
            };
        }
        Err(why) => {
            return Change {
                original: Some(original).filter(|at| at.exists()),
                ..left_alone(path, why.said())
            };
        }
    };
    let whole = matches!(file::read(&original), Ok(Some(text)) if text == undone.text);
    if !dry_run {
        if whole {
            forget(&path);
        } else {
            // what the person had before may be wanted still
            let _ = std::fs::remove_file(record_path(&path));
        }
    }
    Change {
        outcome: if whole { Outcome::Disconnected } else { Outcome::TakenBack },
        changes: undone.changes,
        original: Some(original).filter(|at| at.exists()),
        warnings: undone
            .stays
            .iter()
            .map(|place| say!(config_stays_edited, place = place.as_str()))
            .collect(),
        path,
    }
}

/// Whether a record says that the file was connected.
pub(super) fn is_connected(path: &Path) -> bool {
    record_path(path).exists()
}

impl Change {
    fn quiet(mut self) -> Self {
        self.warnings.clear();
        self
    }
}

fn left_alone(path: PathBuf, why: Said) -> Change {
    Change { path, outcome: Outcome::LeftAlone, changes: Vec::new(), original: None, warnings: vec![why] }
}

fn no_home() -> Change {
    left_alone(PathBuf::new(), say!(no_home))
}

fn read_record(path: &Path) -> Result<Option<Record>, Said> {
    let at = record_path(path);
    let unusable = |why: Said| {
        let original = original_path(path).display().to_string();
        say!(record_unusable, at = at.display().to_string(), why = why, original = original)
    };
    let text = match file::read(&at) {
        Ok(None) => return Ok(None),
        Ok(Some(text)) => text,
        Err(why) => return Err(unusable(why.said())),
    };
    // the parser's own words would quote the record, which holds keys
    let record: Record = serde_json::from_str(&text).map_err(|_| unusable(say!(record_is_none)))?;
    if record.schema_version != SCHEMA_VERSION {
        return Err(unusable(say!(record_of_version, version = record.schema_version)));
    }
    Ok(Some(record))
}

fn write_record(path: &Path, record: &Record) -> io::Result<()> {
    file::replace(&record_path(path), &serde_json::to_vec_pretty(record)?)
}

/// Most originals of a file that are put aside.
const MOST_ORIGINALS: usize = 100;

/// An original that is there and says something else may be the only copy of the person's own key: it is kept as
/// `config.toml.before-kmi.1` and so on.
fn put_aside(path: &Path, own: &str) -> io::Result<()> {
    let original = original_path(path);
    if !original.exists() || matches!(file::read(&original), Ok(Some(text)) if text == own) {
        return Ok(());
    }
    let names = (1..=MOST_ORIGINALS).map(|number| file::beside(&original, &format!(".{number}")));
    let mut free = names.filter(|name| std::fs::symlink_metadata(name).is_err());
    let free = free.next().ok_or_else(|| io::Error::other("too many older originals lie beside it"))?;
    std::fs::rename(original, free)
}

fn forget(path: &Path) {
    // what stays behind is seen and reported at the next connect
    let _ = std::fs::remove_file(record_path(path));
    let _ = std::fs::remove_file(original_path(path));
}

fn original_path(path: &Path) -> PathBuf {
    file::beside(path, ".before-kmi")
}

fn record_path(path: &Path) -> PathBuf {
    file::beside(path, ".kmi-connection")
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
