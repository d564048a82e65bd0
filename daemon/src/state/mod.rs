//! The only door to the pool.

pub mod atomic_file;
pub mod counted;
mod issues;
mod late;
mod lease;
mod load;
mod migrations;
mod queue;
pub mod store;
mod totals;
pub mod trace;
mod unknown;
pub mod usage;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kmid_core::history::{Subject, Sums};
use kmid_core::key::{Fingerprint, Key};
use kmid_core::kimi::error::ErrorText;
use kmid_core::kimi::quota::Quota;
use kmid_core::outcome::Outcome;
use kmid_core::pool::snapshot::Snapshot;
use kmid_core::pool::view::{KeyState, KeyView, PoolView};
use kmid_core::pool::{self, Decision, Demand, Effect, Mode, Pool, RotateError, Rules};
use kmid_core::said::Said;
use kmid_core::time::Time;
use kmid_core::{say, show_as_said};
use tokio::sync::Notify;

use self::counted::Counted;
use self::issues::Issues;
pub use self::issues::Origin;
pub use self::late::{Late, LateFile, Left};
pub use self::lease::Lease;
pub use self::queue::{NoLease, Patience, Waited};
use self::store::{SaveError, Store};
pub use self::totals::RequestTotals;
use self::trace::TraceRecord;
use self::unknown::Unknown;
use self::usage::Usage;
use crate::clock;
use crate::command::Issue;
use crate::line_log::RecordLog;

/// The pool, its memory on disk, its counters and its traces.
#[derive(Debug)]
pub struct State {
    pool: Arc<Mutex<Pool>>,
    waiting: queue::Waiting,
    store: Store,
    counters: totals::Counters,
    counted: Counted,
    issues: Issues,
    trace: RecordLog<TraceRecord>,
    usage: Usage,
    /// Keys whose quota should be read soon.
    stale: Mutex<BTreeSet<Fingerprint>>,
    keys_or_quota_wanted: Notify,
    /// Some upstream is in trouble: its answers matter.
    trouble: AtomicBool,
    /// Requests in flight are being cut off.
    cutting_off: AtomicBool,
    unknown: Unknown,
    /// After a restart, in the old process.
    leaving: late::Leaving,
    /// After a restart, in the new process.
    adopted: late::Adopted,
}

/// What a rotation did.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The key that is active now, with its secret, for the clients' config files.
    pub active: Arc<Key>,
    /// Label of the key that was.
    pub previous: Option<Arc<str>>,
    /// Whether they differ.
    pub rotated: bool,
    /// A stable word.
    pub reason: &'static str,
    /// What else to know, for example that the chosen key is cooling.
    pub warnings: Vec<Said>,
}

/// Why a change was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// No key has this label.
    UnknownLabel {
        /// As asked.
        label: String,
        /// All labels.
        known: String,
    },
    /// There are no keys.
    NoKeys,
    /// The key is switched off in its file.
    Disabled {
        /// As asked.
        label: String,
    },
    /// KMI_AUTO_ROTATE_ALLOWED=0
    NotAllowed,
    /// No key could serve.
    NoneServes {
        /// Every key's state.
        states: Vec<Said>,
    },
    /// Another process takes over.
    Leaving,
    /// The state file could not be written.
    NotSaved(SaveError),
}

impl Refused {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::UnknownLabel { label, known } => {
                say!(unknown_label, label = label.as_str(), known = known.as_str())
            }
            Self::NoKeys => say!(no_keys),
            Self::Disabled { label } => say!(key_disabled, label = label.as_str()),
            Self::NotAllowed => say!(rotation_not_allowed),
            Self::NoneServes { states } => say!(none_serves, states = states.clone()),
            Self::Leaving => say!(leaving),
            Self::NotSaved(error) => say!(not_saved, why = error.said()),
        }
    }
}

show_as_said!(Refused);

impl State {
    /// Starts with what `snapshot` remembers; `state_file` is written from now on, and the history in the folder
    /// `usage` beside it.
    ///
    /// # Errors
    /// When a writer's thread cannot start.
    pub fn start(
        rules: Rules,
        snapshot: Snapshot,
        state_file: &Path,
        trace: RecordLog<TraceRecord>,
    ) -> std::io::Result<Arc<Self>> {
        let pool = Arc::new(Mutex::new(Pool::new(rules, snapshot)));
        let source = Arc::clone(&pool);
        let store =
            Store::start(state_file.to_owned(), Box::new(move || lock(&source).snapshot(clock::now())))?;
        let usage = Usage::start(state_file.with_file_name("usage"), usage::COLLECT)?;
        Ok(Arc::new(Self {
            pool,
            waiting: queue::Waiting::default(),
            store,
            counters: totals::Counters::default(),
            counted: Counted::default(),
            issues: Issues::default(),
            trace,
            usage,
            stale: Mutex::default(),
            keys_or_quota_wanted: Notify::new(),
            trouble: AtomicBool::new(false),
            cutting_off: AtomicBool::new(false),
            unknown: Unknown::default(),
            leaving: late::Leaving::default(),
            adopted: late::Adopted::default(),
        }))
    }

    /// Replaces the keys; leases in flight end as they were.
    pub fn set_keys(&self, keys: Vec<Key>) {
        let moved = self.change(|pool| {
            let before: Vec<Arc<Key>> = pool.keys().cloned().collect();
            pool.set_keys(keys, clock::now());
            let moved = |key: &Arc<Key>| {
                let old = before.iter().find(|old| old.fingerprint == key.fingerprint);
                old.is_some_and(|old| old.base_url != key.base_url)
            };
            pool.keys().filter(|key| moved(key)).map(|key| key.fingerprint).collect::<Vec<_>>()
        });
        // Nothing is known of a key at its new host.
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).extend(moved);
        self.store.changed();
        self.keys_or_quota_wanted.notify_one();
    }

    /// Puts new rules in force.
    pub fn set_rules(&self, rules: Rules) {
        self.change(|pool| pool.set_rules(rules));
    }

    /// The pool as it is now.
    #[must_use]
    pub fn view(&self) -> PoolView {
        lock(&self.pool).view(clock::now())
    }

    /// Which key the next new session would get, and the order of the rest.
    #[must_use]
    pub fn plan(&self) -> Decision {
        lock(&self.pool).plan(clock::now())
    }

    /// Why a demand got no key, for the trace.
    #[must_use]
    pub fn explain_refusal(&self, demand: &Demand<'_>) -> Decision {
        lock(&self.pool).explain_refusal(demand, clock::now())
    }

    /// How keys are chosen.
    #[must_use]
    pub fn mode(&self) -> Mode {
        lock(&self.pool).mode()
    }

    /// All keys in pool order.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<Key>> {
        lock(&self.pool).keys().cloned().collect()
    }

    /// When the next request may pass the limit over all keys; counts it when that is now (`None`).
    pub fn admit(&self) -> Option<Time> {
        lock(&self.pool).admit(clock::now())
    }

    /// Changes the pool; what that frees goes to the requests that wait.
    fn change<T>(&self, change: impl FnOnce(&mut Pool) -> T) -> T {
        let mut pool = lock(&self.pool);
        let done = change(&mut pool);
        self.serve_waiters(&mut pool);
        done
    }

    fn record(&self, lease: pool::Lease, outcome: &Outcome) {
        let (key, tokens, session) = (lease.key.fingerprint, lease.tokens, lease.session);
        let lent = lease.decision.placement == pool::Placement::LentOut;
        let effects = self.change(|pool| {
            self.leaving.tell(|| Late::Ended { key, outcome: *outcome, tokens });
            let effects = pool.record(lease, outcome, clock::now(), fastrand::u64(..));
            self.tell_judged(pool, session, lent.then_some(key));
            self.trouble.store(pool.has_trouble(), Ordering::Relaxed);
            effects
        });
        self.store.changed();
        self.carry_out(effects);
    }

    /// See [`Lease::answered`]. Free of the lock while no upstream is in trouble.
    fn upstream_answered(&self, lease: &mut pool::Lease) {
        if !self.trouble.load(Ordering::Relaxed) {
            return;
        }
        let effects = self.change(|pool| {
            let effects = pool.upstream_answered(lease);
            self.trouble.store(pool.has_trouble(), Ordering::Relaxed);
            effects
        });
        self.carry_out(effects);
    }

    /// From now on what ends unfinished was cut off by kmid and not left by its client.
    pub fn cut_off(&self) {
        self.cutting_off.store(true, Ordering::Relaxed);
    }

    /// What it means that a request is dropped before its end.
    #[must_use]
    pub fn unfinished(&self) -> Outcome {
        if self.cutting_off.load(Ordering::Relaxed) { Outcome::CutOff } else { Outcome::ClientLeft }
    }

    /// An error that no row knows: the log gets it once for each status and type.
    pub fn note_unknown(&self, status: u16, text: Option<&ErrorText>) {
        self.unknown.note(status, text);
    }

    /// Takes in a reading of a key's quota. A key that is sent elsewhere by now is another account's there: then the
    /// reading says nothing, and a new one is wanted.
    pub fn record_quota(&self, key: &Key, reading: Result<&Quota, &Said>) {
        let fingerprint = key.fingerprint;
        let effects = self.change(|pool| {
            let moved = |now: &Arc<Key>| now.fingerprint == fingerprint && now.base_url != key.base_url;
            if pool.keys().any(moved) {
                return vec![Effect::ReadQuota(fingerprint)];
            }
            match reading {
                Ok(quota) => pool.record_quota(fingerprint, quota, clock::now()),
                Err(error) => {
                    pool.record_quota_error(fingerprint, error);
                    self.counted.refresh_failed();
                    Vec::new()
                }
            }
        });
        self.store.changed();
        self.carry_out(effects);
    }

    /// A blocked key answered a live `/usages` well: its next request decides. Whether it was blocked.
    pub fn half_open(&self, fingerprint: Fingerprint) -> bool {
        let was_blocked = self.change(|pool| pool.half_open(fingerprint));
        self.store.changed();
        was_blocked
    }

    fn carry_out(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Cooled { label, until, reason: reason @ "rate_limited" } => {
                    tracing::warn!(key = %label, %until, reason, "proxy_key_rate_limited");
                }
                Effect::Cooled { label, until, reason } => {
                    tracing::warn!(key = %label, %until, reason, "proxy_key_cooling");
                }
                Effect::Blocked { label, until, reason } => {
                    let until = until.map(|until| until.to_string());
                    tracing::error!(key = %label, until, reason = reason.name(), "proxy_key_blocked");
                }
                Effect::Unblocked { label } => tracing::info!(key = %label, "proxy_key_unblocked"),
                Effect::Restored { label } => tracing::warn!(key = %label, "proxy_key_restored"),
                Effect::UpstreamDown { host, until, trouble } => {
                    tracing::error!(host, %until, trouble = trouble.name(), "upstream_breaker_open");
                }
                Effect::UpstreamUp { host } => tracing::info!(host, "upstream_breaker_closed"),
                Effect::ReadQuota(fingerprint) => {
                    self.stale.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
                    self.keys_or_quota_wanted.notify_one();
                }
            }
        }
    }

    /// Returns when keys changed or a key's quota should be read soon.
    pub async fn refresh_wanted(&self) {
        self.keys_or_quota_wanted.notified().await;
    }

    /// The keys whose quota should be read soon; asks once for each.
    #[must_use]
    pub fn take_stale(&self) -> BTreeSet<Fingerprint> {
        std::mem::take(&mut *self.stale.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request has begun.
    pub fn begin_request(&self) {
        self.counters.begin();
    }

    /// A request has ended: counts it and writes its trace line.
    pub fn end_request(&self, mut record: TraceRecord) {
        let failed = record.status == 0 || record.status >= 400 || record.error_code.is_some();
        let failed = failed && record.outcome != "client_left";
        self.counters.finish(failed);
        self.counted.request(&record);
        let (key, fingerprint) = record.key.clone().unzip();
        let model = record.model.take().unwrap_or_default();
        let sums = Sums { requests: 1, errors: u64::from(failed), tokens: record.tokens.unwrap_or_default() };
        let client = record.client_name.clone().unwrap_or_default();
        let subject = Subject { fingerprint, key: key.unwrap_or_default(), model, client };
        self.usage.count(record.ended_at, subject, sums);
        self.trace.push(record);
    }

    /// A request has ended that was not let in, one of many: it is only counted.
    pub fn end_unseen(&self) {
        self.counters.finish(true);
    }

    /// Requests since start.
    #[must_use]
    pub fn requests(&self) -> RequestTotals {
        self.counters.totals()
    }

    /// What was used, hour by hour.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What is counted since start.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Replaces the issues of one origin.
    pub fn set_issues(&self, origin: Origin, issues: Vec<Issue>) {
        self.issues.set(origin, issues);
    }

    /// Key files that could not be used, settings warnings, an unwritable state.
    #[must_use]
    pub fn issues(&self) -> Vec<Issue> {
        let mut issues = self.issues.all();
        issues.extend(self.store.issue());
        issues.extend(self.usage.issues());
        issues
    }

    /// Switches to the best key or to the named one; on disk before it returns.
    ///
    /// # Errors
    /// When there is nothing to switch to.
    pub async fn rotate(&self, to: Option<&str>) -> Result<Rotation, Refused> {
        self.not_leaving()?;
        let rotated =
            self.change(|pool| pool.rotate(to, clock::now()).map_err(|error| refused(error, to, pool)))?;
        self.save().await?;
        let warnings = if rotated.state.serves() {
            Vec::new()
        } else {
            vec![say!(key_may_not_serve, key = &*rotated.active.label, state = said_state(rotated.state))]
        };
        Ok(Rotation {
            rotated: rotated.previous.as_ref() != Some(&rotated.active.label),
            active: rotated.active,
            previous: rotated.previous,
            reason: rotated.reason,
            warnings,
        })
    }

    /// Turns automatic rotation on or off; on disk before it returns.
    ///
    /// # Errors
    /// When it is not allowed.
    pub async fn set_auto(&self, enabled: bool) -> Result<(), Refused> {
        self.not_leaving()?;
        if !self.change(|pool| pool.set_auto(enabled)) {
            return Err(Refused::NotAllowed);
        }
        self.save().await
    }

    /// Clears blocks and cooldowns of one key or all; on disk before it returns. Returns the labels cleared.
    ///
    /// # Errors
    /// When no key has that label.
    pub async fn unblock(&self, label: Option<&str>) -> Result<Vec<Arc<str>>, Refused> {
        self.not_leaving()?;
        let cleared = self.change(|pool| {
            if let Some(label) = label
                && pool.key(label).is_none()
            {
                return Err(refused(RotateError::UnknownLabel, Some(label), pool));
            }
            Ok(pool.unblock(label, clock::now()))
        })?;
        self.save().await?;
        Ok(cleared)
    }

    fn not_leaving(&self) -> Result<(), Refused> {
        if self.leaving.is_on() { Err(Refused::Leaving) } else { Ok(()) }
    }

    /// Writes the state anew, though nothing changed: its file may be gone.
    pub fn save_soon(&self) {
        self.store.changed();
    }

    async fn save(&self) -> Result<(), Refused> {
        self.store.save_now().await.map_err(Refused::NotSaved)
    }

    /// Writes out what is still in memory. Blocks: call it where that is allowed.
    pub fn close(&self) {
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "state_not_saved");
        }
        self.usage.close();
        self.trace.lines().close();
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(error: RotateError, to: Option<&str>, pool: &Pool) -> Refused {
    let label = to.unwrap_or_default().to_owned();
    match error {
        RotateError::NoKeys => Refused::NoKeys,
        RotateError::UnknownLabel => {
            let known: Vec<&str> = pool.keys().map(|key| &*key.label).collect();
            Refused::UnknownLabel { label, known: known.join(", ") }
        }
        RotateError::Disabled => Refused::Disabled { label },
        RotateError::NoneServes => {
            let view = pool.view(clock::now());
            let one = |key: &KeyView| {
                let (label, state) = (&*key.label, said_state(key.state));
                match key.until {
                    Some(until) => say!(key_is_until, key = label, state = state, until = until.to_string()),
                    None if key.state == KeyState::Disabled => say!(key_is, key = label, state = state),
                    None => {
                        let reason = key.reason.unwrap_or("-");
                        say!(key_is_because, key = label, state = state, reason = reason)
                    }
                }
            };
            Refused::NoneServes { states: view.keys.iter().map(one).collect() }
        }
    }
}

fn said_state(state: KeyState) -> Said {
    match state {
        KeyState::Ready => say!(state_ready),
        KeyState::Warn => say!(state_warn),
        KeyState::Cooling => say!(state_cooling),
        KeyState::Blocked => say!(state_blocked),
        KeyState::Disabled => say!(state_disabled),
    }
}
