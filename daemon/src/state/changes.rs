//! What a person changes in the pool: which key is active, whether it rotates by itself, blocks. On disk before it is
//! answered.

use std::sync::Arc;

use kmid_core::key::Key;
use kmid_core::pool::view::{KeyState, KeyView};
use kmid_core::pool::{Pool, RotateError};
use kmid_core::said::{Said, clipped};
use kmid_core::{say, show_as_said};

use super::State;
use super::store::SaveError;
use crate::clock;

/// What a rotation did.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The key that is active now, with its secret, for the clients' config files.
    pub active: Arc<Key>,
    /// Label of the key that was.
    pub previous: Option<Arc<str>>,
    /// Whether they differ.
    pub rotated: bool,
    /// A stable word.
    pub reason: &'static str,
    /// What else to know, for example that the chosen key is cooling.
    pub warnings: Vec<Said>,
}

/// Why a change was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// No key has this label.
    UnknownLabel {
        /// As asked, clipped: it can be as long as a request.
        label: String,
        /// All labels.
        known: String,
    },
    /// There are no keys.
    NoKeys,
    /// The key is switched off in its file.
    Disabled {
        /// As asked.
        label: String,
    },
    /// KMI_AUTO_ROTATE_ALLOWED=0
    NotAllowed,
    /// No key could serve.
    NoneServes {
        /// Every key's state.
        states: Vec<Said>,
    },
    /// Another process takes over.
    Leaving,
    /// The state file could not be written.
    NotSaved(SaveError),
}

impl Refused {
    /// That none of these keys has the label that was asked for.
    pub(crate) fn unknown_label<'a>(asked: &str, keys: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = keys.collect();
        Self::UnknownLabel { label: clipped(asked).into_owned(), known: known.join(", ") }
    }

    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::UnknownLabel { label, known } => {
                say!(unknown_label, label = label.as_str(), known = known.as_str())
            }
            Self::NoKeys => say!(no_keys),
            Self::Disabled { label } => say!(key_disabled, label = label.as_str()),
            Self::NotAllowed => say!(rotation_not_allowed),
            Self::NoneServes { states } => say!(none_serves, states = states.clone()),
            Self::Leaving => say!(leaving),
            Self::NotSaved(error) => say!(not_saved, why = error.said()),
        }
    }
}

show_as_said!(Refused);

impl State {
    /// Switches to the best key or to the named one; on disk before it returns.
    ///
    /// # Errors
    /// When there is nothing to switch to.
    pub async fn rotate(&self, to: Option<&str>) -> Result<Rotation, Refused> {
        self.not_leaving()?;
        let rotated =
            self.change(|pool| pool.rotate(to, clock::now()).map_err(|error| refused(error, to, pool)))?;
        self.save().await?;
        let warnings = if rotated.state.serves() {
            Vec::new()
        } else {
            vec![say!(key_may_not_serve, key = &*rotated.active.label, state = said_state(rotated.state))]
        };
        Ok(Rotation {
            rotated: rotated.previous.as_ref() != Some(&rotated.active.label),
            active: rotated.active,
            previous: rotated.previous,
            reason: rotated.reason,
            warnings,
        })
    }

    /// Turns automatic rotation on or off; on disk before it returns.
    ///
    /// # Errors
    /// When it is not allowed.
    pub async fn set_auto(&self, enabled: bool) -> Result<(), Refused> {
        self.not_leaving()?;
        if !self.change(|pool| pool.set_auto(enabled)) {
            return Err(Refused::NotAllowed);
        }
        self.save().await
    }

    /// Clears blocks and cooldowns of one key or all; on disk before it returns. Returns the labels cleared.
    ///
    /// # Errors
    /// When no key has that label.
    pub async fn unblock(&self, label: Option<&str>) -> Result<Vec<Arc<str>>, Refused> {
        self.not_leaving()?;
        let cleared = self.change(|pool| {
            if let Some(label) = label
                && pool.key(label).is_none()
            {
                return Err(refused(RotateError::UnknownLabel, Some(label), pool));
            }
            Ok(pool.unblock(label, clock::now()))
        })?;
        self.save().await?;
        Ok(cleared)
    }

    fn not_leaving(&self) -> Result<(), Refused> {
        if self.leaving.is_on() { Err(Refused::Leaving) } else { Ok(()) }
    }

    async fn save(&self) -> Result<(), Refused> {
        self.store.save_now().await.map_err(Refused::NotSaved)
    }
}

fn refused(error: RotateError, to: Option<&str>, pool: &Pool) -> Refused {
    let label = to.unwrap_or_default().to_owned();
    match error {
        RotateError::NoKeys => Refused::NoKeys,
        RotateError::UnknownLabel => Refused::unknown_label(&label, pool.keys().map(|key| &*key.label)),
        RotateError::Disabled => Refused::Disabled { label },
        RotateError::NoneServes => {
            let view = pool.view(clock::now());
            let one = |key: &KeyView| {
                let (label, state) = (&*key.label, said_state(key.state));
                match key.until {
                    Some(until) => say!(key_is_until, key = label, state = state, until = until.to_string()),
                    None if key.state == KeyState::Disabled => say!(key_is, key = label, state = state),
                    None => {
                        let reason = key.reason.unwrap_or("-");
                        say!(key_is_because, key = label, state = state, reason = reason)
                    }
                }
            };
            Refused::NoneServes { states: view.keys.iter().map(one).collect() }
        }
    }
}

fn said_state(state: KeyState) -> Said {
    match state {
        KeyState::Ready => say!(state_ready),
        KeyState::Warn => say!(state_warn),
        KeyState::Cooling => say!(state_cooling),
        KeyState::Blocked => say!(state_blocked),
        KeyState::Disabled => say!(state_disabled),
    }
}
