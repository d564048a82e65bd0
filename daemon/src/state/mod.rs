//! The only door to the pool.

pub mod atomic_file;
mod changes;
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
use kmid_core::pool::view::PoolView;
use kmid_core::pool::{self, Decision, Demand, Effect, Mode, Pool, Rules};
use kmid_core::said::Said;
use kmid_core::time::Time;
use tokio::sync::Notify;

pub use self::changes::{Refused, Rotation};
use self::counted::Counted;
use self::issues::Issues;
pub use self::issues::Origin;
pub use self::late::{Late, LateFile, Left};
pub use self::lease::Lease;
pub use self::queue::{NoLease, Patience, Waited};
use self::store::Store;
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

impl State {
    /// Starts with what `snapshot` remembers; `state_file` is written from now on, and the history in the folder of
    /// its mode beside it (see [`usage::folder`]).
    ///
    /// # Errors
    /// When a writer's thread cannot start.
    pub fn start(
        rules: Rules,
        snapshot: Snapshot,
        state_file: &Path,
        trace: RecordLog<TraceRecord>,
    ) -> std::io::Result<Arc<Self>> {
        let usage_folder = usage::folder(snapshot.dry_run == Some(true));
        let pool = Arc::new(Mutex::new(Pool::new(rules, snapshot)));
        let source = Arc::clone(&pool);
        let store =
            Store::start(state_file.to_owned(), Box::new(move || lock(&source).snapshot(clock::now())))?;
        let usage = Usage::start(state_file.with_file_name(usage_folder), usage::COLLECT)?;
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
        let (moved, active) = self.change(|pool| {
            let before: Vec<Arc<Key>> = pool.keys().cloned().collect();
            let active_before = pool.active_key().cloned();
            pool.set_keys(keys, clock::now());
            let moved = |key: &Arc<Key>| {
                let old = before.iter().find(|old| old.fingerprint == key.fingerprint);
                old.is_some_and(|old| old.base_url != key.base_url)
            };
            let moved: Vec<Fingerprint> =
                pool.keys().filter(|key| moved(key)).map(|key| key.fingerprint).collect();
            (moved, active_before.zip(pool.active_key().cloned()))
        });
        if let Some((from, to)) = active.filter(|(from, to)| from.label != to.label) {
            let (from, to) = (&*from.label, &*to.label);
            tracing::warn!(from, to, reason = "the key files changed", "active_key_changed");
        }
        // Nothing is known of a key at its new host.
        self.stale.lock().unwrap_or_else(PoisonError::into_inner).extend(moved);
        self.store.changed();
        self.keys_or_quota_wanted.notify_one();
    }

    /// Puts new rules in force.
    pub fn set_rules(&self, rules: Rules) {
        self.change(|pool| pool.set_rules(rules));
    }

    /// The active key.
    #[must_use]
    pub fn active_key(&self) -> Option<Arc<Key>> {
        lock(&self.pool).active_key().cloned()
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

    /// See [`Lease::answered`]. Free of the lock while no upstream is in trouble and the key is not half-open.
    fn answered(&self, lease: &mut pool::Lease) {
        if !lease.probe && !self.trouble.load(Ordering::Relaxed) {
            return;
        }
        let effects = self.change(|pool| {
            let effects = pool.answered(lease, clock::now());
            self.trouble.store(pool.has_trouble(), Ordering::Relaxed);
            effects
        });
        self.store.changed();
        self.carry_out(effects);
    }

    /// See [`Lease::head_came`]. Free of the lock while no upstream is in trouble.
    fn head_came(&self, lease: &pool::Lease, proves: bool) {
        if !self.trouble.load(Ordering::Relaxed) {
            return;
        }
        let effects = self.change(|pool| {
            let effects = pool.head_came(lease, proves, clock::now());
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
                    self.keys_or_quota_wanted.notify_one();
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

    /// Returns when keys changed, one was blocked, or a key's quota should be read soon.
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

    /// Writes the state anew, though nothing changed: its file may be gone.
    pub fn save_soon(&self) {
        self.store.changed();
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
