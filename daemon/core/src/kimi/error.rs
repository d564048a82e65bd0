//! The error table: status and structured text of an error answer -> what it means.

use serde::Serialize;

use crate::outcome::Verdict;

/// The structured fields of an error answer. Only these are searched, never the whole body: a user's prompt
/// echoed in a 400 must not block a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorText {
    /// `error.message`
    pub message: String,
    /// `error.type`
    pub kind: Option<String>,
    /// `error.code`
    pub code: Option<String>,
}

/// A row of the error table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// 401, dead key or wrong host
    InvalidKey,
    /// Anything that matches no row
    Unknown,
}

impl Row {
    /// Whether a row of the table matched.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Self::Unknown
    }

    /// The stable name used in traces and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::Unknown => "unknown",
        }
    }
}

/// Reads the structured error fields out of a body of either wire.
#[must_use]
pub fn parse(_body: &[u8]) -> Option<ErrorText> {
    None
}

/// What an error answer means.
#[must_use]
pub fn classify(_status: u16, _text: Option<&ErrorText>) -> Verdict {
    Verdict {
        row: Row::Unknown,
        whose: crate::outcome::Party::Request,
        action: crate::outcome::Action::Nothing,
        retry: crate::outcome::Retry::No,
    }
}
