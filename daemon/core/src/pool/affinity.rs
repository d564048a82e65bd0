//! A session stays with its key: the upstream keeps its context in that key's cache, and a session that changes its
//! key pays for all of it again [kimi-upstream.md, What the clients do, 2026-11].
//!
//! Only in auto mode. Failover and manual mode have one active key, which serves all sessions as it is.

use std::time::Duration;

use super::choose::Obstacle;
use super::{Demand, Mode, Pool};
use crate::account::AccountId;
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
        let Some(home) = self.index_of(session.home) else { return (Placement::Moved, None) };
        match self.obstacle(home, demand, now) {
            None => (Placement::Stayed, Some(home)),
            Some(obstacle) if self.is_lasting(home, obstacle, now) => (Placement::Moved, None),
            Some(_) => {
                let again = session.lent_to.and_then(|key| self.lent_again(key, demand, now));
                (Placement::LentOut, again)
            }
        }
    }

    /// Where a session was lent to before, a part of its context may be in the cache already; but a lower tier serves
    /// only while no key of a higher one can.
    fn lent_again(&mut self, key: Fingerprint, demand: &Demand<'_>, now: Time) -> Option<usize> {
        let again = self.index_of(key)?;
        let priority = self.entries[again].key.priority;
        if self.obstacle(again, demand, now).is_some() {
            return None;
        }
        for other in 0..self.entries.len() {
            let is_higher = self.entries[other].key.priority > priority;
            if is_higher && self.obstacle(other, demand, now).is_none() {
                return None;
            }
        }
        Some(again)
    }

    /// Whether a request that was lent out is one that its home has refused for what the key is: where it completes,
    /// its session lives from then on.
    pub(super) fn settles(&self, demand: &Demand<'_>, placement: Placement, now: Time) -> bool {
        let session = demand.session.filter(|_| placement == Placement::LentOut);
        let session = session.and_then(|id| self.sessions.get(id, now));
        session.is_some_and(|session| session.leaving && demand.tried.contains(&session.home))
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

    /// A session's request was refused for what its key is, as a tier that lacks the model. Whether the session has to
    /// leave shows when another key is asked: the model may be one that no key has.
    pub(super) fn session_was_refused(&mut self, id: SessionId, key: Fingerprint, verdict: &Verdict) {
        if verdict.whose == Party::Key && verdict.action == Action::Nothing {
            self.sessions.leave(id, key);
        }
    }

    /// A session's request completed. Whatever its home has refused before, it is home where it was served: there, or,
    /// of the request that was refused, elsewhere.
    pub(super) fn session_was_served(&mut self, id: SessionId, key: Fingerprint, settles: bool, now: Time) {
        if !settles {
            self.sessions.stay(id, key);
        } else if self.sessions.get(id, now).is_some_and(|session| session.leaving) {
            self.sessions.settle(id, key, now);
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

    /// Whether none of an account's keys can serve, and not for a moment only.
    pub(super) fn is_out(&self, account: AccountId, now: Time) -> bool {
        let mut keys = (0..self.entries.len()).filter(|&index| self.entries[index].account_id == account);
        keys.all(|index| !self.entries[index].can_serve(now) && self.is_lasting(index, Obstacle::State, now))
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
