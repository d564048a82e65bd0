//! Values as they were written, and where each came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use kmid_core::said::Said;
use kmid_core::say;

use crate::env::{self, TakesEffect, Variable};

/// Where a value came from, strongest first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A command-line flag.
    Flag,
    /// The file named by KMI_ENV_PATH.
    EnvFile(PathBuf),
    /// The process environment.
    Environment,
    /// A `.env` found by default.
    FoundEnvFile(PathBuf),
    /// Nobody set it.
    Default,
}

impl Source {
    /// One word or two for tables.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Source::Flag => "flag",
            Source::EnvFile(_) => "file",
            Source::Environment => "environment",
            Source::FoundEnvFile(_) => "found file",
            Source::Default => "default",
        }
    }
}

impl Source {
    /// For people.
    pub(crate) fn said(&self) -> Said {
        match self {
            Source::Flag => say!(source_flag),
            Source::EnvFile(file) | Source::FoundEnvFile(file) => Said::plain(file.display().to_string()),
            Source::Environment => say!(source_environment),
            Source::Default => say!(source_default),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said())
    }
}

/// A value as it was written. No `Debug`: it may be a secret.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) text: String,
    pub(super) source: Source,
}

/// The strongest value of each variable that somebody set.
#[derive(Clone, Default)]
pub struct RawValues {
    values: BTreeMap<&'static str, Raw>,
    /// What needs a restart is not set any more.
    running: bool,
}

impl fmt::Debug for RawValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.values.iter().map(|(name, raw)| (name, &raw.source))).finish()
    }
}

impl RawValues {
    /// Sets a value unless a stronger source has set it. Empty means unset where the default is empty.
    pub fn set(&mut self, variable: &'static Variable, text: &str, source: Source) {
        let kept = self.running && variable.takes_effect == TakesEffect::Restart;
        if kept || (text.trim().is_empty() && variable.default.is_empty()) {
            return;
        }
        let stays = self.values.get(variable.name).is_some_and(|raw| raw.source < source);
        if !stays {
            self.values.insert(variable.name, Raw { text: text.to_owned(), source });
        }
    }

    /// Where the value of a variable comes from.
    #[must_use]
    pub fn source(&self, variable: &Variable) -> &Source {
        self.values.get(variable.name).map_or(&Source::Default, |raw| &raw.source)
    }

    pub(super) fn get(&self, variable: &Variable) -> Option<&Raw> {
        self.values.get(variable.name)
    }

    /// What a running daemon goes on with: its values of all variables that need a restart, set or not, and nothing
    /// yet of the others.
    #[must_use]
    pub fn kept_while_running(&self) -> Self {
        let needs_restart = |name: &&'static str| {
            env::find(name).is_some_and(|variable| variable.takes_effect == TakesEffect::Restart)
        };
        let values = self.values.iter().filter(|(name, _)| needs_restart(name));
        Self { values: values.map(|(name, raw)| (*name, raw.clone())).collect(), running: true }
    }
}
