//! What a refusal did to a key, so that it can be taken back.

use super::super::entry::{Block, Cooldown, Entry, Strikes};
use crate::key::Fingerprint;

/// What a refusal may change of a key.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    cooldown: Option<Cooldown>,
    block: Option<Block>,
    rate_strikes: Strikes,
    quota_strikes: Strikes,
}

impl Kept {
    fn of(entry: &Entry) -> Self {
        Self {
            cooldown: entry.cooldown.clone(),
            block: entry.block.clone(),
            rate_strikes: entry.rate_strikes,
            quota_strikes: entry.quota_strikes,
        }
    }
}

/// A key before a refusal, and after it.
#[derive(Debug, Clone)]
pub(in super::super) struct Undo {
    pub(in super::super) fingerprint: Fingerprint,
    before: Kept,
    after: Kept,
}

impl Undo {
    /// A key as it is before it is punished.
    pub(in super::super) fn before(entry: &Entry) -> Self {
        let now = Kept::of(entry);
        Self { fingerprint: entry.key.fingerprint, before: now.clone(), after: now }
    }

    /// The same key afterwards.
    pub(in super::super) fn after(mut self, entry: &Entry) -> Self {
        self.after = Kept::of(entry);
        self
    }

    /// Whether the refusal changed anything.
    pub(in super::super) fn is_needed(&self) -> bool {
        self.before != self.after
    }

    /// Takes in a later refusal of the key, when nothing else happened between the two.
    pub(super) fn takes_in(&mut self, later: &Undo) -> bool {
        let follows = self.fingerprint == later.fingerprint && self.after == later.before;
        if follows {
            self.after = later.after.clone();
        }
        follows
    }

    /// Takes the refusal back, except what something else has changed since. Whether it paused the key.
    pub(in super::super) fn restore(self, entry: &mut Entry) -> bool {
        let (before, after) = (self.before, self.after);
        let mut freed = false;
        if before.cooldown != after.cooldown && entry.cooldown == after.cooldown {
            entry.cooldown = before.cooldown;
            freed = true;
        }
        // A recheck may have made it half-open meanwhile: it is the same block.
        let same = |one: &Option<Block>, other: &Option<Block>| match (one, other) {
            (Some(one), Some(other)) => {
                (one.until, one.reason, one.after) == (other.until, other.reason, other.after)
            }
            (one, other) => one.is_none() && other.is_none(),
        };
        if before.block != after.block && same(&entry.block, &after.block) {
            entry.unblock();
            entry.block = before.block;
            freed = true;
        }
        entry.rate_strikes.take_back(before.rate_strikes, after.rate_strikes);
        entry.quota_strikes.take_back(before.quota_strikes, after.quota_strikes);
        freed
    }
}
