//! Sessions: the conversations that requests belong to.

mod chunks;
mod scan;
mod table;

use std::fmt;

use sha2::{Digest, Sha256};

pub use self::scan::{Named, scan};
pub(crate) use self::table::Table;
use crate::kimi::wire::Wire;

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

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
