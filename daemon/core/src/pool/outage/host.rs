//! One host in trouble: what its accounts met, and whether that is the host's doing.

use std::time::Duration;

use super::breaker::Breaker;
use super::own::OwnTrouble;
use super::undo::Undo;
use super::{Change, FAILURES, IN_A_ROW, Judged, LastAnswer, Met, Served, TOGETHER, Trouble};
use crate::client::ClientId;
use crate::key::{BaseUrl, Fingerprint};
use crate::session::SessionId;
use crate::time::Time;

/// Trouble that one account met.
#[derive(Debug)]
pub(super) struct Sighting {
    pub(super) trouble: Trouble,
    /// The key that met it.
    pub(super) key: Fingerprint,
    /// The keys of its account.
    pub(super) account: Vec<Fingerprint>,
    /// The leases of the first and the last refusal.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) began: Time,
    pub(super) latest: Time,
    /// Oldest first.
    pub(super) undo: Vec<Undo>,
    /// Sessions that left a key for it, and which. Oldest first.
    pub(super) moved: Vec<(SessionId, Fingerprint)>,
}

/// What is known of one host, for everybody or for one client: only while there is trouble.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) at: BaseUrl,
    /// The one that the gate refuses; all other trouble is everybody's.
    pub(super) client: Option<ClientId>,
    pub(super) breaker: Breaker,
    pub(super) sightings: Vec<Sighting>,
    /// Failures in a row, the first of them, and when the last was.
    pub(super) failures: u32,
    pub(super) failing_from: u64,
    pub(super) failed_at: Time,
    /// What opened the breaker, and the lease that met it first.
    pub(super) trouble: Trouble,
    pub(super) since: u64,
    pub(super) last: LastAnswer,
    /// The keys of the accounts that have met it while the breaker is not closed.
    pub(super) met: Vec<Fingerprint>,
    /// Those of accounts that were to decide and could not tell: others are asked before them.
    pub(super) could_not_tell: Vec<Fingerprint>,
    /// What turned out to be accounts' own.
    own: OwnTrouble,
}

impl Host {
    pub(super) fn new(met: &Met<'_>, now: Time) -> Self {
        Self {
            at: met.at.clone(),
            client: met.stops(),
            breaker: Breaker::default(),
            sightings: Vec::new(),
            failures: 0,
            failing_from: met.number,
            failed_at: now,
            trouble: met.trouble,
            since: met.number,
            last: LastAnswer::of(met.outcome),
            met: Vec::new(),
            could_not_tell: Vec::new(),
            own: OwnTrouble::default(),
        }
    }

    pub(super) fn is(&self, at: &BaseUrl) -> bool {
        self.at.shares_host(at)
    }

    pub(super) fn concerns(&self, client: Option<ClientId>) -> bool {
        self.client.is_none() || self.client == client
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.breaker.is_closed() && self.sightings.is_empty() && self.failures == 0 && self.own.is_empty()
    }

    pub(super) fn forget(&mut self, now: Time) {
        self.sightings.retain(|seen| is_near(seen.latest, now, TOGETHER));
        if !is_near(self.failed_at, now, IN_A_ROW) {
            self.failures = 0;
        }
        self.own.forget(now);
    }

    pub(super) fn works(&mut self, served: &Served<'_>, now: Time) -> Option<Change> {
        let &Served { account, number, proven } = served;
        if proven {
            self.own.served(account);
        }
        self.sightings.retain(|seen| {
            let disproved = proven || seen.trouble == Trouble::Failure;
            !disproved || seen.last >= number
        });
        if number > self.failing_from {
            self.failures = 0;
        }
        // `/models` and refusals of the request come through a shut gate, too.
        let disproves = proven || self.trouble == Trouble::Failure;
        if !disproves && self.breaker.is_probe(number) {
            self.breaker.probe_undecided();
            // Asked again and again, it would keep the others from deciding.
            add_new(&mut self.could_not_tell, account);
        }
        if !disproves || self.breaker.is_closed() || number <= self.since {
            return None;
        }
        let met_it = account.iter().any(|key| self.met.contains(key));
        if proven && !met_it && self.trouble.may_be_own() {
            self.own.learn(&self.met, self.trouble, now);
        }
        Some(self.close())
    }

    pub(super) fn undecided(&mut self, number: u64) {
        if self.breaker.is_probe(number) {
            self.breaker.probe_undecided();
        }
    }

    fn close(&mut self) -> Change {
        self.breaker.close();
        self.met.clear();
        self.could_not_tell.clear();
        Change::Closed { host: self.at.authority_text() }
    }

    /// A request that was to decide met trouble that is not of this kind.
    pub(super) fn heard_of(&mut self, met: &Met<'_>) -> Option<Change> {
        if !self.breaker.is_probe(met.number) {
            return None;
        }
        if met.trouble == Trouble::Failure {
            // It never came to the gate.
            self.breaker.probe_undecided();
            return None;
        }
        // Another refusal than the one that opened it: what was shut lets requests through again.
        self.failures = 0;
        Some(self.close())
    }

    pub(super) fn meets(&mut self, met: &Met<'_>, now: Time, random: u64) -> Judged {
        let same = self.trouble == met.trouble || met.trouble == Trouble::Failure;
        let mut change = None;
        if !self.breaker.is_closed() && same {
            self.last = LastAnswer::of(met.outcome);
            self.met_by(met.account);
            if self.breaker.is_probe(met.number) {
                self.breaker.probe_failed(now, random);
                self.trouble = met.trouble;
            }
            // Others were under way when it opened.
            return Judged { upstreams: true, ..Judged::default() };
        }
        if self.breaker.is_probe(met.number) {
            // Another refusal than the one that opened it: the upstream works again, and this is for itself.
            self.failures = 0;
            change = Some(self.close());
        }
        if met.trouble == Trouble::Failure {
            if self.failures == 0 {
                self.failing_from = met.number;
            }
            self.failures = self.failures.saturating_add(1);
            self.failed_at = now;
        }
        self.see(met, now);
        let is_own = self.own.is_of(met.account, met.trouble);
        let together = self.sightings.iter().any(|seen| {
            seen.trouble == met.trouble
                && !met.account.contains(&seen.key)
                && !(is_own && self.own.is_of(&seen.account, met.trouble))
        });
        let in_a_row = met.trouble == Trouble::Failure && self.failures >= FAILURES;
        if !together && !in_a_row {
            return Judged { changes: change.into_iter().collect(), ..Judged::default() };
        }
        let since = if together { u64::MAX } else { self.failing_from };
        let seen: Vec<Sighting> = self.sightings.extract_if(.., |seen| seen.trouble == met.trouble).collect();
        if self.breaker.is_closed() {
            let until = self.breaker.open(now, random);
            self.trouble = met.trouble;
            self.since = seen.iter().map(|seen| seen.first).min().unwrap_or(met.number).min(since);
            self.last = LastAnswer::of(met.outcome);
            self.failures = 0;
            seen.iter().for_each(|seen| self.met_by(&seen.account));
            change = Some(Change::Opened { host: self.at.authority_text(), until, trouble: met.trouble });
        }
        // The newest first: each is taken back to what it found.
        let mut judged =
            Judged { upstreams: true, changes: change.into_iter().collect(), ..Judged::default() };
        for seen in seen.into_iter().rev() {
            judged.undo.extend(seen.undo.into_iter().rev());
            judged.moved.extend(seen.moved.into_iter().rev());
        }
        judged
    }

    fn met_by(&mut self, account: &[Fingerprint]) {
        add_new(&mut self.met, account);
    }

    fn see(&mut self, met: &Met<'_>, now: Time) {
        let known = self.sightings.iter_mut().find(|seen| {
            seen.trouble == met.trouble
                && met.account.contains(&seen.key)
                && is_near(seen.began, now, TOGETHER)
        });
        match known {
            Some(seen) => {
                (seen.first, seen.last) = (seen.first.min(met.number), seen.last.max(met.number));
                seen.latest = now;
            }
            None => self.sightings.push(Sighting {
                trouble: met.trouble,
                key: met.key,
                account: met.account.to_vec(),
                first: met.number,
                last: met.number,
                began: now,
                latest: now,
                undo: Vec::new(),
                moved: Vec::new(),
            }),
        }
    }
}

fn add_new(list: &mut Vec<Fingerprint>, account: &[Fingerprint]) {
    for key in account {
        if !list.contains(key) {
            list.push(*key);
        }
    }
}

/// Near in either direction: a clock may have jumped.
fn is_near(then: Time, now: Time, within: Duration) -> bool {
    now.since(then).max(then.since(now)) <= within
}
