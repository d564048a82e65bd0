//! What happens after the state has gone to another process: told to that one, because it alone writes.
//!
//! The old process switches at one moment, under the pool's lock: what came before is in `state.json`, what comes
//! after is [`Late`]. Both processes keep a picture of the pool; the old one's serves the requests that it still has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Mutex, PoisonError};

use kmid_core::history::{Subject, Sums};
use kmid_core::key::Fingerprint;
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::Outcome;
use kmid_core::pool::{self, Placement, Pool};
use kmid_core::session::{Home, SessionId};
use kmid_core::time::Time;
use serde::{Deserialize, Serialize};

use super::store::SaveError;
use super::{State, lock};
use crate::clock;

/// What the old process tells the new one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "late")]
pub enum Late {
    /// An attempt began, after the switch.
    Begun {
        /// Its key.
        key: Fingerprint,
    },
    /// A lease was given back unused.
    GivenBack {
        /// Its key.
        key: Fingerprint,
    },
    /// An attempt ended.
    Ended {
        /// Its key.
        key: Fingerprint,
        /// What it meant.
        outcome: Outcome,
        /// What it took.
        tokens: Tokens,
    },
    /// A session lives elsewhere than before.
    Home {
        /// Where.
        home: Home,
    },
    /// A request ended: for the history.
    Used {
        /// When.
        at: Time,
        /// Its key and model.
        subject: Subject,
        /// What it adds.
        sums: Sums,
    },
    /// A finished line of a file.
    Line {
        /// Which one.
        file: LateFile,
        /// Without its newline.
        text: String,
    },
    /// Nothing more comes: the old process has done its work.
    Done,
}

/// A file of lines that only the new process writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LateFile {
    /// `trace/trace.jsonl`
    Trace,
    /// `logs/kmi.log`
    App,
    /// `logs/proxy.out`
    Daemon,
}

/// The way to the new process, in the old one.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    on: AtomicBool,
    to: Mutex<Option<SyncSender<Late>>>,
    lost: AtomicU64,
}

impl Leaving {
    /// Set and taken back only while the pool is locked.
    fn set(&self, to: Option<SyncSender<Late>>) {
        self.on.store(to.is_some(), Ordering::Relaxed);
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Whether the state has gone.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Tells it, if the state has gone; a full queue loses it, and that is counted. To be called with the pool locked.
    pub(super) fn tell(&self, late: impl FnOnce() -> Late) {
        if !self.is_on() {
            return;
        }
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        match to.as_ref().map(|to| to.try_send(late())) {
            // The other one is gone: there is nobody to tell.
            None | Some(Ok(()) | Err(TrySendError::Disconnected(_))) => {}
            Some(Err(TrySendError::Full(_))) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// The pool at the moment at which the state left.
#[derive(Debug)]
pub struct Left {
    /// How many attempts each key has in flight.
    pub in_flight: Vec<(Fingerprint, u32)>,
    /// Where the sessions live, the one that was used least recently first.
    pub homes: Vec<Home>,
}

/// Leases whose attempts the old process makes, in the new one.
#[derive(Debug, Default)]
pub(super) struct Adopted(Mutex<BTreeMap<Fingerprint, Vec<pool::Lease>>>);

impl Adopted {
    fn put(&self, lease: pool::Lease) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(lease.key.fingerprint).or_default().push(lease);
    }

    fn take(&self, key: Fingerprint) -> Option<pool::Lease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&key)?.pop()
    }

    fn take_all(&self) -> Vec<pool::Lease> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_values().flatten().collect()
    }
}

impl State {
    /// Writes everything for the last time; from this moment on nothing is written here, and `to` is told what
    /// happens. Returns what is not on the disk. Blocks.
    ///
    /// # Errors
    /// When the state cannot be written: then all is as before.
    pub fn leave(&self, to: SyncSender<Late>) -> Result<Left, SaveError> {
        self.store.pause()?;
        self.usage.leave(to.clone());
        let (snapshot, left) = {
            let (pool, now) = (lock(&self.pool), clock::now());
            self.leaving.set(Some(to));
            (pool.snapshot(now), Left { in_flight: pool.in_flight(), homes: pool.homes(now) })
        };
        if let Err(error) = self.store.write_last(snapshot) {
            self.stay();
            return Err(error);
        }
        Ok(left)
    }

    /// The other process did not come up: this one writes again. What it was to be told comes back by
    /// [`State::count_again`].
    pub fn stay(&self) {
        {
            let _pool = lock(&self.pool);
            self.leaving.set(None);
            // The pool knows what the other process would have missed.
            self.leaving.lost.store(0, Ordering::Relaxed);
        }
        self.usage.stay();
        self.store.resume();
    }

    /// After [`State::stay`], for each thing that was not told: the pool knows it all, the history does not.
    pub fn count_again(&self, late: Late) {
        if let Late::Used { at, subject, sums } = late {
            self.usage.count(at, subject, sums);
        }
    }

    /// How many things could not be told, because too many waited.
    #[must_use]
    pub fn late_lost(&self) -> u64 {
        self.leaving.lost.load(Ordering::Relaxed) + self.usage.late_lost()
    }

    /// Says how much of it there was, if any; after the last request.
    pub fn say_late_lost(&self) {
        let lost = self.late_lost();
        if lost > 0 {
            tracing::warn!(lost, "kmid_late_lost");
        }
    }

    /// In the new process: attempts that the old one has in flight, as it counted them at the switch.
    pub fn adopt(&self, in_flight: &[(Fingerprint, u32)]) {
        self.change(|pool| {
            let now = clock::now();
            for &(key, count) in in_flight {
                (0..count)
                    .filter_map(|_| pool.adopt(key, false, now))
                    .for_each(|lease| self.adopted.put(lease));
            }
        });
    }

    /// In the new process: where the sessions lived at the switch.
    pub fn learn_homes(&self, homes: impl IntoIterator<Item = Home>) {
        self.change(|pool| {
            let now = clock::now();
            homes.into_iter().for_each(|home| pool.learn_home(home, now));
        });
    }

    /// Tells where the session of a lease lives, where the choice has changed that. With the pool locked.
    pub(super) fn tell_moved(&self, pool: &Pool, lease: &pool::Lease) {
        if !matches!(lease.decision.placement, Placement::Stayed | Placement::NoSession) {
            self.tell_home(pool, lease.session, |_| true);
        }
    }

    /// Tells what the end of a request said of its session's home, where it did: that this has refused it, or that it
    /// is now the key to which the request was lent. With the pool locked.
    pub(super) fn tell_judged(&self, pool: &Pool, session: Option<SessionId>, lent_to: Option<Fingerprint>) {
        self.tell_home(pool, session, |home| home.leaving || Some(home.key) == lent_to);
    }

    fn tell_home(&self, pool: &Pool, session: Option<SessionId>, counts: impl Fn(&Home) -> bool) {
        if !self.leaving.is_on() {
            return;
        }
        if let Some(home) = session.and_then(|id| pool.home_of(id, clock::now())).filter(counts) {
            self.leaving.tell(|| Late::Home { home });
        }
    }

    /// In the new process: what the old one tells. A line is not the state's affair, and comes back.
    pub fn hear_late(&self, late: Late) -> Option<(LateFile, String)> {
        match late {
            Late::Begun { key } => {
                let lease = self.change(|pool| {
                    let lease = pool.adopt(key, true, clock::now());
                    // Restarted once more meanwhile, the next process has to know it, too.
                    lease.inspect(|_| self.leaving.tell(|| Late::Begun { key }))
                });
                if let Some(lease) = lease {
                    self.adopted.put(lease);
                }
                self.store.changed();
            }
            Late::GivenBack { key } => {
                if let Some(lease) = self.adopted.take(key) {
                    self.change(|pool| self.give_back(pool, lease));
                }
            }
            Late::Ended { key, outcome, tokens } => {
                // Of a key that is gone from here nothing is remembered.
                if let Some(mut lease) = self.adopted.take(key) {
                    lease.tokens = tokens;
                    self.record(lease, &outcome);
                }
            }
            Late::Home { home } => self.change(|pool| {
                pool.learn_home(home, clock::now());
                self.leaving.tell(|| Late::Home { home });
            }),
            Late::Used { at, subject, sums } => self.usage.count(at, subject, sums),
            Late::Line { file, text } => return Some((file, text)),
            Late::Done => {}
        }
        None
    }

    /// In the new process: the old one has ended. What it has not told was cut off with it; returns how much.
    pub fn old_one_ended(&self) -> usize {
        let left = self.adopted.take_all();
        let count = left.len();
        for lease in left {
            self.record(lease, &Outcome::CutOff);
        }
        count
    }
}

#[cfg(test)]
#[path = "late_tests.rs"]
mod tests;
