//! The sessions that are known: where each one lives.

use std::collections::BTreeMap;
use std::time::Duration;

use lru::LruCache;

use super::{Home, SessionId};
use crate::key::Fingerprint;
use crate::time::Time;

/// So many sessions are known at most; the one that was used least recently goes first.
pub const MOST: usize = 100_000;
/// A session that was not used for so long is forgotten: the upstream's cache of it is long gone.
const IDLE: Duration = Duration::from_secs(3600);

/// What is known of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    /// The key that it stays with: the upstream holds its context in that key's cache.
    pub(crate) home: Fingerprint,
    /// The key that served it last while its home could not.
    pub(crate) lent_to: Option<Fingerprint>,
    /// Its home has refused a request for what the key is: it moves to the key that completes that request.
    pub(crate) leaving: bool,
    last_used: Time,
}

impl Session {
    pub(crate) fn home(&self, session: SessionId) -> Home {
        let Self { home: key, lent_to, leaving, last_used } = *self;
        Home { session, key, lent_to, leaving, last_used }
    }

    /// A last use as far ahead comes from a clock that was wrong.
    fn is_idle(&self, now: Time) -> bool {
        now.since(self.last_used).max(self.last_used.since(now)) >= IDLE
    }
}

/// The sessions that are known, bounded in number and age.
#[derive(Debug)]
pub(crate) struct Table {
    /// In the order of their last use.
    sessions: LruCache<SessionId, Session>,
    /// How many live at each key.
    residents: BTreeMap<Fingerprint, usize>,
}

impl Default for Table {
    fn default() -> Self {
        // A bounded one would take its room for all sessions at once.
        Self { sessions: LruCache::unbounded(), residents: BTreeMap::new() }
    }
}

impl Table {
    /// What is known of a session.
    pub(crate) fn get(&self, id: SessionId, now: Time) -> Option<Session> {
        self.sessions.peek(&id).copied().filter(|session| !session.is_idle(now))
    }

    /// Gives a session, new or known, a home.
    pub(crate) fn settle(&mut self, id: SessionId, home: Fingerprint, now: Time) {
        self.put(id, Session { home, lent_to: None, leaving: false, last_used: now });
        self.forget_idle(now);
        if self.sessions.len() > MOST {
            self.pop();
        }
    }

    /// A session was used: at home, or lent to another key.
    pub(crate) fn used(&mut self, id: SessionId, lent_to: Option<Fingerprint>, now: Time) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.last_used = now;
            session.lent_to = lent_to.or(session.lent_to);
        }
        self.forget_idle(now);
    }

    /// A session's home, if this still is it, has refused a request for what the key is.
    pub(crate) fn leave(&mut self, id: SessionId, home: Fingerprint) {
        if let Some(session) = self.sessions.peek_mut(&id).filter(|session| session.home == home) {
            session.leaving = true;
        }
    }

    /// A session's home, if this still is it, has completed a request.
    pub(crate) fn stay(&mut self, id: SessionId, home: Fingerprint) {
        if let Some(session) = self.sessions.peek_mut(&id).filter(|session| session.home == home) {
            session.leaving = false;
        }
    }

    /// A session goes back to an earlier home; where it was meanwhile, a part of its context may be.
    pub(crate) fn come_back(&mut self, id: SessionId, home: Fingerprint) {
        let Some(session) = self.sessions.peek_mut(&id) else { return };
        let left = std::mem::replace(&mut session.home, home);
        (session.lent_to, session.leaving) = (Some(left), false);
        *self.residents.entry(home).or_default() += 1;
        leave_home(&mut self.residents, left);
    }

    /// Everything that is known, the session that was used least recently first.
    pub(crate) fn homes(&self, now: Time) -> Vec<Home> {
        let known = self.sessions.iter().rev().filter(|(_, session)| !session.is_idle(now));
        known.map(|(id, session)| session.home(*id)).collect()
    }

    /// Takes over what another process knows of a session. Of two homes the one that was used later counts; that a home
    /// has refused the session holds whoever heard it.
    pub(crate) fn learn(&mut self, told: Home, now: Time) {
        let Home { session: id, key: home, lent_to, leaving, last_used } = told;
        let told = Session { home, lent_to, leaving, last_used };
        match self.sessions.peek_mut(&id) {
            _ if told.is_idle(now) => {}
            Some(known) if known.last_used > last_used => known.leaving |= leaving && known.home == home,
            Some(known) => {
                let leaving = leaving || (known.leaving && known.home == home);
                self.put(id, Session { leaving, ..told });
            }
            None => {
                self.put(id, told);
                if self.sessions.len() > MOST {
                    self.pop();
                }
            }
        }
    }

    /// Forgets all sessions.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many sessions live at each key; those that are idle are left out.
    pub(crate) fn residents(&self, now: Time) -> BTreeMap<Fingerprint, usize> {
        let mut residents = self.residents.clone();
        for (_, session) in self.sessions.iter().rev().take_while(|(_, session)| session.is_idle(now)) {
            leave_home(&mut residents, session.home);
        }
        residents
    }

    fn put(&mut self, id: SessionId, session: Session) {
        *self.residents.entry(session.home).or_default() += 1;
        if let Some(before) = self.sessions.put(id, session) {
            leave_home(&mut self.residents, before.home);
        }
    }

    fn forget_idle(&mut self, now: Time) {
        while self.sessions.peek_lru().is_some_and(|(_, session)| session.is_idle(now)) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, session)) = self.sessions.pop_lru() {
            leave_home(&mut self.residents, session.home);
        }
    }
}

/// One session fewer; a key without any is not listed.
fn leave_home(residents: &mut BTreeMap<Fingerprint, usize>, home: Fingerprint) {
    if let Some(count) = residents.get_mut(&home) {
        *count -= 1;
        if *count == 0 {
            residents.remove(&home);
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
