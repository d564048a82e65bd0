//! A session stays with its key: the upstream keeps its context in that key's cache, and a session that changes its
//! key pays for all of it again [kimi-upstream.md, What the clients do, 2026-11].
//!
//! Only in auto mode. Failover and manual mode have one active key, which serves all sessions as it is.

use std::time::Duration;

use super::choose::Obstacle;
use super::{Demand, Mode, Pool};
use crate::key::Fingerprint;
use crate::outcome::{Action, Party, Verdict};
use crate::session::{Home, SessionId};
use crate::time::Time;

/// A session waits elsewhere for its key to cool for so long at most; what takes longer moves it. Prompt caches are
/// said to live for minutes; how long the API keeps them is not known [2026-11].
const LENT_FOR_AT_MOST: Duration = Duration::from_secs(300);
/// Reasons of cooldowns that move a session, however short they are: the account has nothing left.
const NOTHING_LEFT: [&str; 2] = ["quota", "exhausted"];

/// Why a session's request got the key that it got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// A session that was not known: the policy gave it a home.
    New,
    /// At its home.
    Stayed,
    /// Its home cannot serve it any more: the policy gave it another one, for good.
    Moved,
    /// Its home cannot serve for a moment: another key does, and the session returns.
    LentOut,
    /// The request names no session, or sessions do not count: the mode or the policy chose.
    NoSession,
}

impl Placement {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Stayed => "stayed",
            Self::Moved => "moved",
            Self::LentOut => "lent_out",
            Self::NoSession => "no_session",
        }
    }
}

impl Pool {
    /// What a request's session makes of the choice: its placement, and the key where that is given. Without one the
    /// policy chooses.
    pub(super) fn place(&mut self, demand: &Demand<'_>, now: Time) -> (Placement, Option<usize>) {
        let Some(id) = self.session_that_counts(demand) else { return (Placement::NoSession, None) };
        let Some(session) = self.sessions.get(id, now) else { return (Placement::New, None) };
        let Some(home) = self.index_of(session.home).filter(|_| !session.leaving) else {
            return (Placement::Moved, None);
        };
        match self.obstacle(home, demand, now) {
            None => (Placement::Stayed, Some(home)),
            Some(obstacle) if self.is_lasting(home, obstacle, now) => (Placement::Moved, None),
            Some(_) => {
                // Where it was lent to before, a part of its context may be in the cache already.
                let again = session.lent_to.and_then(|key| self.index_of(key));
                (Placement::LentOut, again.filter(|&i| self.obstacle(i, demand, now).is_none()))
            }
        }
    }

    /// The home that a session is leaving, though that serves others.
    pub(super) fn left_by(
        &self,
        demand: &Demand<'_>,
        placement: Placement,
        now: Time,
    ) -> Option<Fingerprint> {
        if placement != Placement::Moved {
            return None;
        }
        self.sessions.get(demand.session?, now).filter(|session| session.leaving).map(|session| session.home)
    }

    /// Another key than the one that a session is leaving. Where no other can serve, it stays for this request, which
    /// may be for something else than what was refused, and goes on leaving.
    pub(super) fn choose_anew(
        &mut self,
        left: Fingerprint,
        demand: &Demand<'_>,
        now: Time,
    ) -> (Placement, Option<usize>) {
        let tried: Vec<Fingerprint> = demand.tried.iter().copied().chain([left]).collect();
        let elsewhere = self.choose_auto(&Demand { tried: &tried, ..*demand }, now);
        // The one that it leaves was left out: the record of the choice is to show all.
        self.gathered = false;
        if elsewhere.is_some() {
            return (Placement::Moved, elsewhere);
        }
        match self.index_of(left).filter(|&home| self.obstacle(home, demand, now).is_none()) {
            Some(home) => (Placement::Stayed, Some(home)),
            None => (Placement::Moved, None),
        }
    }

    /// Remembers where a session's request went. Returns the session, where it counts.
    pub(super) fn placed(
        &mut self,
        demand: &Demand<'_>,
        placement: Placement,
        key: Fingerprint,
        now: Time,
    ) -> Option<SessionId> {
        let id = self.session_that_counts(demand)?;
        match placement {
            Placement::New => self.sessions.settle(id, key, now),
            Placement::Moved => {
                if let Some(session) = self.sessions.get(id, now) {
                    self.outages.moved(id, session.home);
                }
                self.sessions.settle(id, key, now);
            }
            Placement::Stayed => self.sessions.used(id, None, now),
            Placement::LentOut => self.sessions.used(id, Some(key), now),
            Placement::NoSession => return None,
        }
        Some(id)
    }

    /// A session's request was refused for what its key is, as a tier that lacks the model: the key serves others, and
    /// it will never serve this session.
    pub(super) fn session_was_refused(&mut self, id: SessionId, key: Fingerprint, verdict: &Verdict) {
        if verdict.whose == Party::Key && verdict.action == Action::Nothing {
            self.sessions.leave(id, key);
        }
    }

    /// Sessions left a key for a refusal that has been taken back: their contexts are in its cache. The last move is
    /// taken back first.
    pub(super) fn bring_home(
        &mut self,
        moves: impl IntoIterator<Item = (SessionId, Fingerprint)>,
        now: Time,
    ) {
        for (id, home) in moves {
            if self.entries.iter().any(|entry| entry.key.fingerprint == home && entry.serves(now)) {
                self.sessions.come_back(id, home);
            }
        }
    }

    /// Where all sessions live, the one that was used least recently first.
    #[must_use]
    pub fn homes(&self, now: Time) -> Vec<Home> {
        self.sessions.homes(now)
    }

    /// Where a session lives.
    #[must_use]
    pub fn home_of(&self, id: SessionId, now: Time) -> Option<Home> {
        self.sessions.get(id, now).map(|session| session.home(id))
    }

    /// Takes over what another process knows of a session. A key that is not known here moves it with its next request.
    pub fn learn_home(&mut self, home: Home, now: Time) {
        if self.rules.session_affinity {
            self.sessions.learn(home, now);
        }
    }

    fn session_that_counts(&self, demand: &Demand<'_>) -> Option<SessionId> {
        demand.session.filter(|_| self.rules.session_affinity && self.mode() == Mode::Auto)
    }

    /// Whether an obstacle outlasts a session's patience: a block, a key that is switched off, an empty quota, a long
    /// pause.
    fn is_lasting(&self, index: usize, obstacle: Obstacle, now: Time) -> bool {
        if obstacle != Obstacle::State {
            return false;
        }
        let entry = &self.entries[index];
        match entry.cooling_until(now) {
            Some(cooldown) => {
                NOTHING_LEFT.contains(&cooldown.reason) || cooldown.until.since(now) > LENT_FOR_AT_MOST
            }
            None => true,
        }
    }
}
