//! The only door to the pool.

pub mod atomic_file;
mod load;
mod migrations;
pub mod store;
pub mod trace;

use std::sync::Arc;

use kmid_core::key::Key;
use kmid_core::pool::view::PoolView;

use crate::command::Issue;

/// The pool, its counters and its memory.
#[derive(Debug)]
pub struct State {}

/// What a rotation did.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The key that is active now, with its secret, for the clients' config files.
    pub active: Key,
    /// Label of the key that was.
    pub previous: Option<Arc<str>>,
    /// Whether they differ.
    pub rotated: bool,
    /// A stable word.
    pub reason: &'static str,
    /// What else to know, for example that the chosen key is cooling.
    pub warnings: Vec<String>,
}

/// Why a change was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// No key has this label.
    #[error("no key is called {label}; known: {known}")]
    UnknownLabel {
        /// As asked.
        label: String,
        /// All labels.
        known: String,
    },
    /// There are no keys.
    #[error("there are no keys; put one into the key directory")]
    NoKeys,
    /// The key is switched off in its file.
    #[error("{label} is disabled in its file")]
    Disabled {
        /// As asked.
        label: String,
    },
    /// KMI_AUTO_ROTATE_ALLOWED=0
    #[error("automatic rotation is not allowed; set KMI_AUTO_ROTATE_ALLOWED=1 and run `kmi proxy-restart`")]
    NotAllowed,
    /// No key could serve.
    #[error("no key can serve: {states}")]
    NoneServes {
        /// Every key's state.
        states: String,
    },
    /// The state file could not be written.
    #[error("the change could not be saved: {0}")]
    NotSaved(String),
}

/// Requests since start.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestTotals {
    /// Finished and in flight.
    pub total: u64,
    /// Now.
    pub in_flight: u64,
    /// Finished with an error that the client saw.
    pub failed: u64,
}

impl State {
    /// The pool as it is now.
    pub fn view(&self) -> PoolView {
        unreachable!("the pool comes with the next commit")
    }

    /// Requests since start.
    pub fn requests(&self) -> RequestTotals {
        RequestTotals::default()
    }

    /// Key files that could not be used, settings warnings, lost lines.
    pub fn issues(&self) -> Vec<Issue> {
        Vec::new()
    }

    /// Switches to the best key or to the named one; on disk before it returns.
    ///
    /// # Errors
    /// When there is nothing to switch to.
    pub async fn rotate(&self, _to: Option<&str>) -> Result<Rotation, Refused> {
        Err(Refused::NoKeys)
    }

    /// Turns automatic rotation on or off; on disk before it returns.
    ///
    /// # Errors
    /// When it is not allowed.
    pub async fn set_auto(&self, _enabled: bool) -> Result<(), Refused> {
        Err(Refused::NotAllowed)
    }

    /// Clears blocks and cooldowns of one key or all; on disk before it returns. Returns the labels cleared.
    ///
    /// # Errors
    /// When no key has that label.
    pub async fn unblock(&self, _label: Option<&str>) -> Result<Vec<Arc<str>>, Refused> {
        Err(Refused::NoKeys)
    }
}
