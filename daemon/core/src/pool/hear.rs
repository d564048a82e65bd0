//! What outcomes say about the upstreams, and what that does to the keys.

use std::sync::Arc;

use super::outage::{Change, Judged, Met, Served, Sign, Trouble, Undo, UpstreamView};
use super::{Effect, Lease, Pool};
use crate::client::ClientId;
use crate::key::{Fingerprint, Key};
use crate::outcome::Outcome;
use crate::time::Time;

/// An attempt that has ended.
pub(super) struct Ended<'a> {
    pub(super) key: &'a Key,
    pub(super) client: Option<ClientId>,
    pub(super) number: u64,
    /// Its answer has told already that the upstream works.
    pub(super) told: bool,
    pub(super) outcome: &'a Outcome,
    pub(super) now: Time,
    pub(super) random: u64,
}

/// Who answers for an outcome, as far as the upstreams go.
pub(super) enum Blame {
    /// The upstream or the client: no key.
    Upstreams,
    /// Whoever the verdict says.
    AsJudged,
    /// The same, until another account meets it, too.
    SoFar(Trouble, Vec<Fingerprint>),
}

impl Pool {
    /// The answer to a lease has begun well: its upstream works, and a key that was half-open is proven. Call it when that
    /// is known, because a body may last for minutes; the lease's end says it, too.
    pub fn answered(&mut self, lease: &mut Lease, now: Time) -> Vec<Effect> {
        if std::mem::replace(&mut lease.told, true) {
            return Vec::new();
        }
        let key = Arc::clone(&lease.key);
        let mut effects = self.works(&key, lease.number, true, now);
        effects.extend(self.proves(&key, lease.number));
        effects
    }

    /// The head of a good answer came, and its first output may take minutes: where this request was to decide whether
    /// failures are over, the next one may, too. What refuses by a status, as a membership that cannot be verified or the
    /// gate, is over with it, when the request `proves` anything: was one to a model.
    pub fn head_came(&mut self, lease: &Lease, proves: bool, now: Time) -> Vec<Effect> {
        let account = self.account_of(&lease.key);
        let served = Served { account: &account, number: lease.number, proven: proves };
        self.outages.head_came(&lease.key.base_url, &served, now).into_iter().map(effect).collect()
    }

    /// A half-open key has served: it and the others of its account are back.
    fn proves(&mut self, key: &Key, number: u64) -> Vec<Effect> {
        let Some(entry) = self.entry_mut(key.fingerprint) else { return Vec::new() };
        if entry.probe != Some(number) || entry.key.base_url != key.base_url {
            return Vec::new();
        }
        entry.probe = None;
        self.frees(key.fingerprint, number, true)
    }

    /// The request that decided about a key found it good: it is back, and so are the others of its account, unless
    /// what is wrong with them is their own. Only where it was `served` is there quota again.
    pub(super) fn frees(&mut self, fingerprint: Fingerprint, number: u64, served: bool) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut refilled = None;
        for entry in self.sharers_mut(fingerprint) {
            let concerns = entry.key.fingerprint == fingerprint || entry.is_blocked_with_its_account(number);
            let unblocked = concerns && entry.unblock().is_some();
            let has_quota = served && entry.quota_is_back();
            if has_quota {
                refilled = Some(entry.account_id);
            }
            if unblocked || has_quota {
                effects.push(Effect::Unblocked { label: entry.key.label.clone() });
            }
        }
        // Else it would be held for empty by the refusal that has just been disproved.
        if let Some(account) = refilled {
            self.ledger.forgive(account);
        }
        effects
    }

    fn works(&mut self, key: &Key, number: u64, proven: bool, now: Time) -> Vec<Effect> {
        if self.outages.is_quiet() {
            return Vec::new();
        }
        let account = self.account_of(key);
        let served = Served { account: &account, number, proven };
        self.outages.works(&key.base_url, &served, now).into_iter().map(effect).collect()
    }

    /// Whether some upstream is in trouble, so that its answers matter.
    #[must_use]
    pub fn has_trouble(&self) -> bool {
        !self.outages.is_quiet()
    }

    /// Takes in what an outcome says about its upstream.
    pub(super) fn hear(&mut self, ended: &Ended<'_>, effects: &mut Vec<Effect>) -> Blame {
        let &Ended { key, client, number, told, outcome, now, random } = ended;
        let at = &key.base_url;
        let trouble = match Sign::of(outcome) {
            Sign::Works { .. } if told || self.outages.is_quiet() => return Blame::AsJudged,
            Sign::Works { proven } => {
                effects.extend(self.works(key, number, proven, now));
                return Blame::AsJudged;
            }
            Sign::Trouble(trouble) => trouble,
            Sign::Cut if self.outages.decides(at, number) => Trouble::Failure,
            Sign::Cut | Sign::Silent => {
                self.outages.undecided(at, number);
                return Blame::AsJudged;
            }
        };
        let account = self.account_of(key);
        let met = Met { at, key: key.fingerprint, account: &account, client, number, trouble, outcome };
        let Judged { upstreams, undo, moved, changes } = self.outages.meets(&met, now, random);
        for undo in undo {
            let Some(entry) = self.entry_mut(undo.fingerprint) else { continue };
            if undo.restore(entry) {
                effects.push(Effect::Restored { label: entry.key.label.clone() });
            }
        }
        self.bring_home(moved, now);
        effects.extend(changes.into_iter().map(effect));
        if upstreams { Blame::Upstreams } else { Blame::SoFar(trouble, account) }
    }

    /// The keys that a refusal may change, as they are before it.
    pub(super) fn before(&self, fingerprint: Fingerprint) -> Vec<Undo> {
        self.sharers(fingerprint).map(Undo::before).collect()
    }

    /// What the refusal did to them, in case another account meets the same.
    pub(super) fn may_undo(
        &mut self,
        key: &Key,
        trouble: Trouble,
        account: &[Fingerprint],
        before: Vec<Undo>,
    ) {
        let undo = before.into_iter().filter_map(|before| {
            let entry = self.entry(before.fingerprint)?;
            Some(before.after(entry))
        });
        let undo = undo.collect();
        self.outages.remember(&key.base_url, trouble, account, undo);
    }

    /// The keys of a key's account at the host that it was used at; one whose account is not known stands for itself.
    fn account_of(&self, key: &Key) -> Vec<Fingerprint> {
        let there = self.entry(key.fingerprint).is_some_and(|entry| entry.key.base_url == key.base_url);
        if there {
            self.sharers(key.fingerprint).map(|entry| entry.key.fingerprint).collect()
        } else {
            vec![key.fingerprint]
        }
    }

    pub(super) fn upstreams(&self, now: Time) -> Vec<UpstreamView> {
        let mut views: Vec<UpstreamView> = Vec::new();
        for entry in &self.entries {
            let view = self.outages.view(&entry.key.base_url, now);
            if views.iter().all(|known| known.host != view.host) {
                views.push(view);
            }
        }
        views
    }
}

fn effect(change: Change) -> Effect {
    match change {
        Change::Opened { host, until, trouble } => Effect::UpstreamDown { host, until, trouble },
        Change::Closed { host } => Effect::UpstreamUp { host },
    }
}
