//! Where sockets cannot be handed to another process: a restart is a stop and a start.

use super::{Parts, RestartError, Succeeded};
use crate::state::State;

/// Never made.
#[derive(Debug)]
pub enum Relay {}

impl Relay {
    /// Never called.
    pub fn close(self) {
        match self {}
    }
}

impl Succeeded {
    /// Never called.
    pub fn stop(&self) {
        match self.relay {}
    }
}

/// Never made.
#[derive(Debug)]
pub enum Predecessor {}

impl Predecessor {
    /// Never called.
    #[must_use]
    pub fn owns_socket(&self) -> bool {
        match *self {}
    }

    /// Never called.
    #[must_use]
    pub fn held(&self) -> crate::inherited::Held {
        match *self {}
    }

    /// Never called.
    #[must_use]
    pub fn behind(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn adopt(&mut self, _state: &State, _other_mode: bool) {
        match *self {}
    }

    /// Never called.
    pub async fn listen(
        self,
        _state: std::sync::Arc<State>,
        _files: super::Files,
        _word: super::ToPredecessor,
    ) {
        match self {}
    }
}

/// Never made.
#[derive(Debug)]
pub enum Takeover {}

impl Takeover {
    /// Says so.
    ///
    /// # Errors
    /// Always.
    pub fn from_stdin() -> std::io::Result<Self> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn stand_alone(&mut self, _flag: &str) -> std::io::Result<()> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn take(&mut self) -> std::io::Result<(std::fs::File, Predecessor)> {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    /// Never.
    pub fn serving(&mut self) -> std::io::Result<()> {
        match *self {}
    }

    /// Never called.
    pub fn failed(&mut self, _why: &str) {
        match *self {}
    }
}

/// Says so.
///
/// # Errors
/// Always.
pub async fn hand_over(_parts: Parts) -> Result<Succeeded, RestartError> {
    Err(RestartError::Unsupported)
}
