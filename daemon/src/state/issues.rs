//! What a person should know about, by where it comes from.

use std::sync::{Mutex, PoisonError};

use crate::command::Issue;

/// Where a set of issues comes from; a new set replaces the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Found while starting: the state file, permissions.
    Start,
    /// The settings.
    Settings,
    /// The key directory.
    Keys,
    /// The proxy's certificate.
    Certificate,
    /// The state directory while kmid runs.
    Place,
}

/// The issues that stand.
#[derive(Debug, Default)]
pub(super) struct Issues(Mutex<[Vec<Issue>; 5]>);

impl Issues {
    pub(super) fn set(&self, origin: Origin, issues: Vec<Issue>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[origin as usize] = issues;
    }

    pub(super) fn all(&self) -> Vec<Issue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).concat()
    }
}
