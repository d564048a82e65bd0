//! Trouble that is accounts' own after all: another account was served while they met it.

use std::time::Duration;

use super::Trouble;
use crate::key::Fingerprint;
use crate::time::Time;

/// Who is not served for so long is judged anew. A block doubles up to a day, and then one request decides.
const REMEMBERED: Duration = Duration::from_secs(25 * 3600);
/// Keys that are remembered; the one of longest standing goes.
const MOST: usize = 1024;

/// Whose trouble is their own.
#[derive(Debug, Default)]
pub(super) struct OwnTrouble {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    key: Fingerprint,
    trouble: Trouble,
    since: Time,
}

impl OwnTrouble {
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// These keys met it, and another account was served.
    pub(super) fn learn(&mut self, keys: &[Fingerprint], trouble: Trouble, now: Time) {
        self.known.retain(|known| known.trouble != trouble || !keys.contains(&known.key));
        self.known.extend(keys.iter().map(|&key| Known { key, trouble, since: now }));
        let too_many = self.known.len().saturating_sub(MOST);
        self.known.drain(..too_many);
    }

    /// Whether it is this account's own.
    pub(super) fn is_of(&self, account: &[Fingerprint], trouble: Trouble) -> bool {
        self.known.iter().any(|known| known.trouble == trouble && account.contains(&known.key))
    }

    /// This account is served: whatever it was is over.
    pub(super) fn served(&mut self, account: &[Fingerprint]) {
        self.known.retain(|known| !account.contains(&known.key));
    }

    pub(super) fn forget(&mut self, now: Time) {
        // A time ahead comes from a clock that was wrong.
        self.known.retain(|known| known.since <= now && now.since(known.since) < REMEMBERED);
    }
}
