//! Failed attempts to come in, by peer: each one makes the next wait longer.
//!
//! A peer that failed a few times gets its next attempts looked at one after the other, each after a growing pause.
//! What would have to wait too long is refused unseen, so that many connections guess no faster than one.

use std::time::Duration;

use lru::LruCache;

use super::peer::Peer;
use crate::time::Time;

/// Peers that are remembered; the one that failed longest ago is forgotten first.
pub const MOST: usize = 4096;
/// A person mistypes a token, and a client tries the wrong one a few times, without any wait.
pub const FREE: u32 = 3;
/// The first pause; each further one is twice as long.
pub const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Pauses grow no further.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An attempt waits for its turn no longer than this; what would have to is refused.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A peer that did not fail for so long is forgotten.
const MEMORY: Duration = Duration::from_secs(15 * 60);

/// When an attempt is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// At once.
    Now,
    /// After this pause.
    After(Duration),
    /// Not at all; it may come again after this.
    Refused(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Record {
    failures: u32,
    last: Time,
    /// When the next attempt may be looked at.
    free_at: Time,
}

/// Who failed, how often, and when the next attempt is due.
#[derive(Debug)]
pub struct Attempts {
    peers: LruCache<Peer, Record>,
}

impl Default for Attempts {
    fn default() -> Self {
        // A bounded one would take its room for all peers at once.
        Self { peers: LruCache::unbounded() }
    }
}

impl Attempts {
    /// When an attempt of this peer is looked at; its place in the row is taken with that, and it counts as a failure
    /// until it has shown that it is none, so that the pauses grow with what waits.
    pub fn turn(&mut self, peer: Peer, now: Time) -> Turn {
        let Some(record) = self.known(peer, now) else { return Turn::Now };
        let pause = pause(record.failures);
        if pause.is_zero() {
            return Turn::Now;
        }
        let at = record.free_at.max(now);
        let wait = at.since(now);
        if wait > LONGEST_WAIT {
            return Turn::Refused(wait);
        }
        record.free_at = at + pause;
        record.failures = record.failures.saturating_add(1);
        if wait.is_zero() { Turn::Now } else { Turn::After(wait) }
    }

    /// An attempt failed.
    pub fn failed(&mut self, peer: Peer, now: Time) {
        if let Some(record) = self.known(peer, now) {
            // From then on each turn has counted already.
            record.failures = record.failures.max((record.failures + 1).min(FREE));
            record.last = now;
        } else {
            if self.peers.len() >= MOST {
                self.peers.pop_lru();
            }
            self.peers.put(peer, Record { failures: 1, last: now, free_at: now });
        }
        self.peers.promote(&peer);
    }

    /// An attempt was good: what went before is forgotten.
    pub fn succeeded(&mut self, peer: Peer) {
        self.peers.pop(&peer);
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Peers that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Forgets those that did not fail for long.
    pub fn forget(&mut self, now: Time) {
        while let Some((_, record)) = self.peers.peek_lru()
            && is_old(record, now)
        {
            self.peers.pop_lru();
        }
    }

    fn known(&mut self, peer: Peer, now: Time) -> Option<&mut Record> {
        if self.peers.peek(&peer).is_some_and(|record| is_old(record, now)) {
            self.peers.pop(&peer);
        }
        let record = self.peers.peek_mut(&peer)?;
        // A clock that was put back would make everybody wait for as long.
        record.free_at = record.free_at.min(now + LONGEST_WAIT + LONGEST_PAUSE);
        Some(record)
    }
}

/// How far apart the attempts of a peer are looked at after so many failures.
#[must_use]
pub fn pause(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(grown) => FIRST_PAUSE.saturating_mul(1 << grown.min(20)).min(LONGEST_PAUSE),
    }
}

/// Also when its time lies ahead: then the clock was wrong.
fn is_old(record: &Record, now: Time) -> bool {
    now.since(record.last).max(record.last.since(now)) >= MEMORY
}
