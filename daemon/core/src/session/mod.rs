//! Sessions: the conversations that requests belong to.

mod chunks;
mod scan;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::scan::{Named, scan};
pub use self::table::MOST as MOST_SESSIONS;
pub(crate) use self::table::Table;
use crate::key::Fingerprint;
use crate::kimi::wire::Wire;
use crate::time::Time;

/// Names a session without showing what the client calls it: the first eight bytes of a SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 8]);

impl SessionId {
    /// The id of the session that a client calls `name`. The same name on the other wire is another session: the
    /// programs that speak them choose their names apart from each other.
    #[must_use]
    pub fn of(wire: Wire, name: &str) -> Self {
        let wire = match wire {
            Wire::OpenAi => "openai",
            Wire::Anthropic => "anthropic",
        };
        let digest = Sha256::new().chain_update(wire).chain_update([0]).chain_update(name).finalize();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        Self(short)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::key::hex(&self.0, &mut [0; 16]))
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = crate::key::unhex(&text);
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a session is 16 hex digits"))
    }
}

/// Where a session lives, as one process tells another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Home {
    /// The session.
    pub session: SessionId,
    /// The key that it stays with.
    pub key: Fingerprint,
    /// The key that served it last while its home could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lent_to: Option<Fingerprint>,
    /// It has refused a request for what the key is: the session moves to the key that completes that request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// When it was last used.
    pub last_used: Time,
}
