//! Accounts: the owners of keys. Limits belong to them.

use sha2::{Digest, Sha256};

use crate::key::Fingerprint;

/// Names an account in a few bytes, so that it is compared cheaply: of the user id, or, while no reading has named
/// one, of the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u64);

impl AccountId {
    /// The account of this user at this host: each host has accounts of its own [kimi-upstream.md, Hosts, 2026-11].
    #[must_use]
    pub fn of_user(user: &str, host: &str) -> Self {
        Self::hash(b"user", format!("{host}/{user}").as_bytes())
    }

    /// The unknown account of a key: nobody else's.
    #[must_use]
    pub(crate) fn of_key(fingerprint: Fingerprint) -> Self {
        Self::hash(b"key", fingerprint.to_string().as_bytes())
    }

    fn hash(kind: &[u8], name: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(kind).chain_update(b":").chain_update(name).finalize();
        Self(digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }
}
