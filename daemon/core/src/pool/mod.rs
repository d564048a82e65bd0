//! All keys with their states; the one thing that decides.

mod affinity;
mod candidates;
mod choose;
mod decision;
mod entry;
mod hear;
mod late;
pub mod outage;
mod record;
mod rotate;
mod rules;
mod slots;
pub mod snapshot;
#[cfg(test)]
mod tests;
pub mod view;
mod wait;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use self::affinity::Placement;
pub use self::choose::{Obstacle, Refusal, RefusedKey};
pub use self::decision::{Considered, Decision};
use self::entry::Entry;
pub use self::entry::HALF_OPEN;
use self::outage::Outages;
pub use self::record::Effect;
pub use self::rotate::{RotateError, Rotated};
pub use self::rules::Rules;
use self::slots::TakenOver;
use self::snapshot::{KeyRecord, Memory, Snapshot};
use self::view::{FigureView, KeyView, PoolView};
pub use self::wait::Outlook;
use crate::account::AccountId;
use crate::client::ClientId;
use crate::key::{Fingerprint, Key};
use crate::kimi::usage::Tokens;
use crate::ledger::{Figure, Ledger, Source};
use crate::outcome::FullWindow;
use crate::policy::{Candidate, Ranked, Standing};
use crate::rate::RateWindow;
use crate::session::{SessionId, Table};
use crate::time::Time;

/// Records of keys that are gone are kept so long, in case the file comes back.
const KEEP_GONE: Duration = Duration::from_secs(30 * 24 * 3600);
/// And at most so many of them.
const KEEP_GONE_MAX: usize = 1000;

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only a person switches.
    Manual,
    /// The active key until it cannot serve, then the next that can.
    Failover,
    /// By the policy, per request.
    Auto,
}

impl Mode {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Failover => "failover",
            Self::Auto => "auto",
        }
    }
}

/// What a request asks of the pool for its next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand<'a> {
    /// Keys that this request has tried.
    pub tried: &'a [Fingerprint],
    /// The session it belongs to, where its body names one.
    pub session: Option<SessionId>,
    /// The program that sent it, where that is known.
    pub client: Option<ClientId>,
}

/// The right to use one key for one attempt. Ends exactly once, in [`Pool::record`].
#[derive(Debug)]
pub struct Lease {
    /// The key to use.
    pub key: Arc<Key>,
    /// This request decides whether a half-open key is good.
    pub probe: bool,
    /// Its answer has told already that the upstream works.
    told: bool,
    /// Where it completes, its session lives from then on.
    settles: bool,
    /// The round-robin position after this lease.
    pub rotation_index: u64,
    /// Why this key.
    pub decision: Decision,
    /// What the response says it took; to be filled in before [`Pool::record`].
    pub tokens: Tokens,
    /// The request's session, where sessions count.
    pub session: Option<SessionId>,
    client: Option<ClientId>,
    /// Counts leases: tells what a request that was under way already knows from what a later one learned.
    number: u64,
    granted_at: Time,
    /// When the key was last used before.
    used_before: Option<Time>,
}

/// All keys with their states.
#[derive(Debug)]
pub struct Pool {
    rules: Rules,
    entries: Vec<Entry>,
    /// Keys that were taken out of the pool while leased: their attempts still count for the account.
    leaving: Vec<Entry>,
    /// Leases granted since start.
    leases: u64,
    active: Option<Fingerprint>,
    /// The one that was active until it was gone.
    displaced: Option<Fingerprint>,
    /// The active key of a version 1 file, until the keys are there.
    old_active_index: Option<usize>,
    /// How many keys there were then.
    old_keys: usize,
    auto: bool,
    rotation_index: u64,
    last_refresh: Option<Time>,
    rate: RateWindow,
    ledger: Ledger,
    /// The account of the last lease that the pool chose.
    current: Option<AccountId>,
    taken_over: Vec<TakenOver>,
    /// Kept for its memory only: choosing allocates nothing.
    candidates: Vec<Candidate>,
    /// They are those of the choice under way.
    gathered: bool,
    ranked: Vec<Ranked>,
    /// What the last choice by a policy was made with.
    standing: Standing,
    sessions: Table,
    outages: Outages,
    gone: BTreeMap<Fingerprint, KeyRecord>,
    by_label: BTreeMap<String, KeyRecord>,
    dry_run: Option<bool>,
    other_mode: Option<Box<Memory>>,
}

impl Pool {
    /// A pool without keys that remembers what `snapshot` knows.
    #[must_use]
    pub fn new(rules: Rules, snapshot: Snapshot) -> Self {
        Self {
            rules,
            entries: Vec::new(),
            leaving: Vec::new(),
            leases: 0,
            active: snapshot.active,
            displaced: snapshot.displaced,
            old_active_index: snapshot.active_index,
            old_keys: snapshot.by_label.len(),
            auto: snapshot.auto_rotate,
            rotation_index: snapshot.rotation_index,
            last_refresh: snapshot.last_health_refresh,
            rate: RateWindow::default(),
            ledger: Ledger::default(),
            current: None,
            taken_over: Vec::new(),
            candidates: Vec::new(),
            gathered: false,
            ranked: Vec::new(),
            standing: Standing::default(),
            sessions: Table::default(),
            outages: Outages::default(),
            gone: snapshot.keys,
            by_label: snapshot.by_label,
            dry_run: snapshot.dry_run,
            other_mode: snapshot.other_mode,
        }
    }

    /// Puts new rules in force. Sessions that do not count any more are forgotten.
    pub fn set_rules(&mut self, rules: Rules) {
        if !rules.session_affinity {
            self.sessions.clear();
        }
        self.rules = rules;
    }

    /// Replaces the keys, given in pool order. State is kept by fingerprint: a key that stays keeps its counters and
    /// leases, a key that comes back finds its record, a key replaced under the same label starts clean.
    pub fn set_keys(&mut self, keys: Vec<Key>, now: Time) {
        let known = self.entries.drain(..).chain(self.leaving.drain(..));
        let mut old: BTreeMap<Fingerprint, Entry> =
            known.map(|entry| (entry.key.fingerprint, entry)).collect();
        for key in keys.into_iter().map(Arc::new) {
            let entry = match old.remove(&key.fingerprint) {
                Some(mut entry) => {
                    if entry.key.base_url != key.base_url {
                        entry.moved();
                        self.ledger.forget(entry.account_id);
                    }
                    if entry.key.revision != key.revision {
                        entry.file_changed();
                    }
                    entry.key = key;
                    entry
                }
                None => self.remembered(key),
            };
            self.entries.push(entry);
        }
        self.leaving = old.into_values().collect();
        let entries = &self.entries;
        self.outages.keep(|at| entries.iter().any(|entry| entry.key.base_url.shares_host(at)));
        self.part(now);
        self.forget_gone(now);
        self.keep_ledger();
        self.find_active();
    }

    /// The active key is there, or another one stands in until it is back: a file that is being replaced, or a keyring
    /// that is still locked, is no choice of anybody.
    fn find_active(&mut self) {
        if let Some(back) = self.displaced.and_then(|key| self.successor(key)) {
            self.active = Some(back);
            self.displaced = None;
        } else if let Some(gone) = self.active.filter(|_| self.active_index().is_none()) {
            match self.successor(gone) {
                Some(new) => self.active = Some(new),
                None => self.displaced = self.displaced.or(Some(gone)),
            }
        }
        if self.active_index().is_none() && !self.entries.is_empty() {
            // With a label missing, or another key among them, the place in the order of that time says nothing.
            let chosen_then = self
                .old_active_index
                .take()
                .filter(|_| self.by_label.is_empty() && self.entries.len() == self.old_keys);
            let first = chosen_then
                .and_then(|index| self.entries.get(index))
                .or(self.entries.iter().find(|e| !e.key.disabled))
                .or(self.entries.first());
            self.active = first.map(|entry| entry.key.fingerprint);
        }
    }

    /// This key if it is in the pool, else the one that has its label now.
    fn successor(&self, key: Fingerprint) -> Option<Fingerprint> {
        let is_it = |entry: &&Entry| entry.key.fingerprint == key;
        let label = || {
            let leaving = self.leaving.iter().find(is_it).map(|entry| &*entry.key.label);
            leaving.or_else(|| self.gone.get(&key).map(|record| record.label.as_str()))
        };
        let found = self.entries.iter().find(is_it).or_else(|| {
            let label = label()?;
            self.entries.iter().find(|entry| &*entry.key.label == label)
        });
        found.map(|entry| entry.key.fingerprint)
    }

    fn remembered(&mut self, key: Arc<Key>) -> Entry {
        let record = self.gone.remove(&key.fingerprint).or_else(|| self.by_label.remove(&*key.label));
        let mut entry = Entry::new(key);
        if let Some(record) = record {
            entry.restore(&record);
        }
        entry
    }

    /// Forgets the accounts that have no key any more; what a key remembers of its quota is known from the start.
    pub(super) fn keep_ledger(&mut self) {
        let known: std::collections::BTreeSet<AccountId> =
            self.known().map(|entry| entry.account_id).collect();
        self.ledger.retain(|account| known.contains(&account));
        for entry in &self.entries {
            let account = entry.account_id;
            if !self.ledger.lacks(account) {
                continue;
            }
            // A key that was away for a while may bring an older reading than the others of its account.
            let members = || self.entries.iter().filter(|other| other.account_id == account);
            let latest =
                members().filter_map(|other| other.reading.as_ref()).max_by_key(|(_, read_at)| *read_at);
            if let Some((quota, read_at)) = latest {
                self.ledger.poll(account, quota, *read_at);
                // A refusal beats the poll after a start, too. Which window it named is not remembered.
                for cooldown in members().filter_map(Entry::refused_for_quota) {
                    let since = cooldown.since.unwrap_or(*read_at);
                    self.ledger.refused(account, FullWindow::Unknown, cooldown.until, since);
                }
            }
        }
    }

    /// Lets go of the keys that were taken out and have no attempt in flight any more; their records stay.
    fn part(&mut self, now: Time) {
        for entry in self.leaving.extract_if(.., |entry| entry.in_flight == 0) {
            self.gone.insert(entry.key.fingerprint, entry.record(now));
        }
    }

    fn forget_gone(&mut self, now: Time) {
        let fresh = |record: &KeyRecord| record.last_seen.is_none_or(|seen| now.since(seen) < KEEP_GONE);
        self.gone.retain(|_, record| fresh(record));
        self.by_label.retain(|_, record| fresh(record));
        while self.gone.len() > KEEP_GONE_MAX {
            let oldest = self.gone.iter().min_by_key(|(_, record)| record.last_seen).map(|(f, _)| *f);
            oldest.map(|oldest| self.gone.remove(&oldest));
        }
    }

    /// When the next request may pass the limit over all keys; counts it when that is now (`None`).
    pub fn admit(&mut self, now: Time) -> Option<Time> {
        let limit = self.rules.limit;
        let until = self.rate.blocked_until(limit, now);
        if until.is_none() {
            self.rate.pass(limit, now);
        }
        until
    }

    /// What survives a restart.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let mut keys = self.gone.clone();
        keys.extend(self.known().map(|entry| (entry.key.fingerprint, entry.record(now))));
        Snapshot {
            active: self.active,
            displaced: self.displaced,
            active_index: self.old_active_index,
            auto_rotate: self.auto,
            rotation_index: self.rotation_index,
            last_health_refresh: self.last_refresh,
            keys,
            by_label: self.by_label.clone(),
            dry_run: self.dry_run,
            other_mode: self.other_mode.clone(),
        }
    }

    /// A picture for readers.
    #[must_use]
    pub fn view(&self, now: Time) -> PoolView {
        let residents = self.sessions.residents(now);
        let at_home = |key: Fingerprint| residents.get(&key).copied().unwrap_or_default();
        let view = |index: usize| KeyView {
            sessions: at_home(self.entries[index].key.fingerprint),
            ..self.key_view(index, now)
        };
        PoolView {
            keys: (0..self.entries.len()).map(view).collect(),
            sessions: residents.values().sum(),
            active: self.active_index(),
            auto: self.auto && self.rules.allowed,
            allowed: self.rules.allowed,
            mode: self.mode(),
            rotation_index: self.rotation_index,
            last_refresh: self.last_refresh,
            policy: self.rules.policy,
            empty_at: self.empty_at(now),
            upstreams: self.upstreams(now),
        }
    }

    fn key_view(&self, index: usize, now: Time) -> KeyView {
        let entry = &self.entries[index];
        let is_stale = |figure: &Figure| {
            now.since(figure.as_of) > self.rules.stale_after && figure.source != Source::Error
        };
        let figures = self.ledger.figures(entry.account_id, now);
        let figures = figures.map(|figure| FigureView { stale: is_stale(&figure), figure }).collect();
        KeyView { figures, ..entry.view(&self.ledger, self.slots_of(index, now), now) }
    }

    /// When the accounts that can serve have nothing left together.
    fn empty_at(&self, now: Time) -> Option<Time> {
        let serving = self.entries.iter().filter(|entry| entry.serves(now));
        let accounts: std::collections::BTreeSet<AccountId> = serving.map(|entry| entry.account_id).collect();
        self.ledger.empty_at(accounts.into_iter(), now)
    }

    /// A request of this key used tokens: its account's windows have less left than the last poll says.
    fn record_tokens(&mut self, fingerprint: Fingerprint, tokens: Tokens, now: Time) {
        if tokens == Tokens::default() {
            return;
        }
        if let Some(account) = self.entry(fingerprint).map(|entry| entry.account_id) {
            self.ledger.spend(account, tokens, now);
        }
    }

    /// The key with this label.
    #[must_use]
    pub fn key(&self, label: &str) -> Option<&Arc<Key>> {
        self.entries.iter().map(|entry| &entry.key).find(|key| &*key.label == label)
    }

    /// All keys in pool order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.entries.iter().map(|entry| &entry.key)
    }

    /// The active key.
    #[must_use]
    pub fn active_key(&self) -> Option<&Arc<Key>> {
        self.active_index().map(|index| &self.entries[index].key)
    }

    fn active_index(&self) -> Option<usize> {
        self.index_of(self.active?)
    }

    fn index_of(&self, fingerprint: Fingerprint) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key.fingerprint == fingerprint)
    }

    /// The keys of the pool and those that are leaving it.
    fn known(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().chain(&self.leaving)
    }

    fn known_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().chain(&mut self.leaving)
    }

    fn entry(&self, fingerprint: Fingerprint) -> Option<&Entry> {
        self.known().find(|entry| entry.key.fingerprint == fingerprint)
    }

    fn entry_mut(&mut self, fingerprint: Fingerprint) -> Option<&mut Entry> {
        self.known_mut().find(|entry| entry.key.fingerprint == fingerprint)
    }

    /// The keys that share an account with this one, itself included: limits belong to the account.
    fn sharers(&self, fingerprint: Fingerprint) -> impl Iterator<Item = &Entry> {
        let account = self.entry(fingerprint).map(|entry| entry.account_id);
        self.known().filter(move |entry| Some(entry.account_id) == account)
    }

    fn sharers_mut(&mut self, fingerprint: Fingerprint) -> impl Iterator<Item = &mut Entry> {
        let account = self.entry(fingerprint).map(|entry| entry.account_id);
        self.known_mut().filter(move |entry| Some(entry.account_id) == account)
    }
}
