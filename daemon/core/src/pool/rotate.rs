//! A person's switch to another key.

use std::cmp::Ordering;
use std::sync::Arc;

use super::view::KeyState;
use super::{Mode, Pool};
use crate::key::Key;
use crate::time::Time;

/// What a rotation did.
#[derive(Debug, Clone)]
pub struct Rotated {
    /// The key that is active now.
    pub active: Arc<Key>,
    /// Label of the key that was.
    pub previous: Option<Arc<str>>,
    /// `chosen`, `best` (the most left), `better_state`, `fewer_errors`, `tie`, `next` (of equal ones, where the one
    /// before cannot serve), `only_one_serves`, `already_best`, `already_active`, `only_key`
    pub reason: &'static str,
    /// How the active key stands.
    pub state: KeyState,
}

/// Why a rotation was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotateError {
    /// There are no keys.
    NoKeys,
    /// No key has this label.
    UnknownLabel,
    /// The key is switched off in its file.
    Disabled,
    /// No key could serve.
    NoneServes,
}

impl Pool {
    /// Switches to the named key, or to the best one: by state, then the worst window's percent left, then the error
    /// rate; of several equal ones the next in pool order when KMI_ROTATE_ON_TIE is on, else the current one.
    ///
    /// # Errors
    /// When there is nothing to switch to.
    pub fn rotate(&mut self, to: Option<&str>, now: Time) -> Result<Rotated, RotateError> {
        if self.entries.is_empty() {
            return Err(RotateError::NoKeys);
        }
        let current = self.active_index();
        let (chosen, reason) = match to {
            Some(label) => (self.named(label)?, "chosen"),
            None => self.best(current, now)?,
        };
        let previous = current.map(|index| self.entries[index].key.label.clone());
        self.activate(chosen);
        let entry = &self.entries[chosen];
        let reason = if to.is_some() && current == Some(chosen) { "already_active" } else { reason };
        Ok(Rotated { active: entry.key.clone(), previous, reason, state: entry.state(&self.ledger, now) })
    }

    fn named(&self, label: &str) -> Result<usize, RotateError> {
        let index =
            self.entries.iter().position(|e| &*e.key.label == label).ok_or(RotateError::UnknownLabel)?;
        if self.entries[index].key.disabled { Err(RotateError::Disabled) } else { Ok(index) }
    }

    fn best(&self, current: Option<usize>, now: Time) -> Result<(usize, &'static str), RotateError> {
        let count = self.entries.len();
        let serves = |index: &usize| self.entries[*index].can_serve(now);
        let start = current.map_or(0, |index| index + 1);
        // In pool order from behind the current key, so that the first of several equal ones is the next one.
        let candidates: Vec<usize> = (0..count).map(|step| (start + step) % count).filter(serves).collect();
        let best = candidates
            .iter()
            .copied()
            .min_by(|&a, &b| self.compare(a, b, now))
            .ok_or(RotateError::NoneServes)?;
        let current = current.filter(|index| candidates.contains(index));
        let ties = current.is_some_and(|current| self.compare(best, current, now) == Ordering::Equal);
        match current {
            Some(current) if current == best => {
                Ok((current, if count == 1 { "only_key" } else { "already_best" }))
            }
            Some(current) if ties && !self.rules.rotate_on_tie => Ok((current, "already_best")),
            Some(_) if ties => Ok((best, "tie")),
            _ => Ok((best, self.why_best(best, current, &candidates, now))),
        }
    }

    /// What made the best key the best: measured at the one before, or at the next best where that cannot serve.
    fn why_best(&self, best: usize, before: Option<usize>, candidates: &[usize], now: Time) -> &'static str {
        let others = || candidates.iter().copied().filter(|&index| index != best);
        let Some(other) = before.or_else(|| others().min_by(|&a, &b| self.compare(a, b, now))) else {
            return "only_one_serves";
        };
        let left = |index| self.left(index, now);
        if left(best) > left(other) && others().all(|index| left(best) >= left(index)) {
            "best"
        } else if self.rank(best, now) < self.rank(other, now) {
            "better_state"
        } else if self.entries[best].error_rate() < self.entries[other].error_rate() {
            "fewer_errors"
        } else {
            "next"
        }
    }

    /// Less is better.
    fn compare(&self, a: usize, b: usize, now: Time) -> Ordering {
        let (entry_a, entry_b) = (&self.entries[a], &self.entries[b]);
        self.rank(a, now)
            .cmp(&self.rank(b, now))
            .then(self.left(b, now).total_cmp(&self.left(a, now)))
            .then(entry_a.error_rate().total_cmp(&entry_b.error_rate()))
    }

    fn rank(&self, index: usize, now: Time) -> u8 {
        match self.entries[index].state(&self.ledger, now) {
            KeyState::Ready => 0,
            KeyState::Warn => 1,
            KeyState::Cooling | KeyState::Blocked | KeyState::Disabled => 2,
        }
    }

    /// Percent left by the worst window's figure. Among keys of one state, a key whose quota is unknown comes last.
    fn left(&self, index: usize, now: Time) -> f64 {
        self.ledger.worst_percent(self.entries[index].account_id, now).unwrap_or(-1.0)
    }

    /// Turns automatic rotation on or off; `false` when it is not allowed.
    pub fn set_auto(&mut self, enabled: bool) -> bool {
        if enabled && !self.rules.allowed {
            return false;
        }
        self.auto = enabled;
        true
    }

    /// How keys are chosen.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.rules.allowed, self.auto) {
            (false, _) => Mode::Manual,
            (true, false) => Mode::Failover,
            (true, true) => Mode::Auto,
        }
    }
}
