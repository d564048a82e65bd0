//! Whether an upstream is down: refusals of several accounts seen together, and a breaker for each host.
//!
//! An outage looks like many bad keys. What tells them apart is time: two accounts that meet the same thing within ten
//! seconds, while nothing is served between, did not both go bad in that moment [gate 403 for everybody on
//! 2026-06-04, kimi-upstream.md "Errors"]. Then no key is at fault, what was done to them is taken back, and the
//! breaker of the host stops requests from burning the other keys.
//!
//! The breaker opens
//! - when two accounts meet the same trouble within [`TOGETHER`];
//! - or after [`FAILURES`] failures in a row, whatever the account, each within [`IN_A_ROW`] of the one before.
//!   Only failures that are the upstream's by themselves count for this (5xx, 529, overload, no connection, no
//!   answer), never a refusal.
//!
//! It closes when an answer to a request that was leased after the trouble began shows that the upstream works.
//!
//! Two accounts may still be bad at once. So the request that decides is one of an account that has not met the
//! trouble, where there is such a one. When that is served, the trouble is the others' own: from then on what they meet
//! together counts against each of them, until they are served themselves.
//!
//! The gate judges client programs, so that the same refusal of two accounts may be one client's own fault: the breaker
//! that it opens stops that client alone. Where the gate is shut for everybody, every client finds out for itself, at
//! the price of two refusals that touch no key; a request of any client that is served closes all of them.

mod breaker;
mod host;
mod own;
mod undo;

use std::time::Duration;

pub use self::breaker::{BreakerState, LONGEST as LONGEST_OPEN, SHORTEST as SHORTEST_OPEN};
use self::host::{Host, Sighting};
pub(super) use self::undo::Undo;
use crate::client::ClientId;
use crate::key::{BaseUrl, Fingerprint};
use crate::kimi::error::Row;
use crate::outcome::{Fault, FaultKind, Outcome, Phase};
use crate::session::SessionId;
use crate::time::Time;

/// Two accounts that meet the same trouble within this time show that it is neither's [issue: 10 s].
pub const TOGETHER: Duration = Duration::from_secs(10);
/// So many failures in a row open the breaker, also when one account met them all. A single error never does.
pub const FAILURES: u32 = 5;
/// A failure longer ago than this is no part of a row.
pub const IN_A_ROW: Duration = Duration::from_secs(60);
/// Changes to keys that one sighting remembers. More only come together when refusals of many kinds alternate.
const MOST_UNDO: usize = 4096;
/// Sessions that left a key for one sighting, and are remembered. The others stay where they went.
const MOST_MOVED: usize = 10_000;
/// Clients that the gate refuses, and that are remembered: names come from outside. The one of longest standing goes.
const MOST_CLIENTS: usize = 64;

/// What several accounts can meet together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The gate for client programs, 403. It has shut for everybody (2026-06-04).
    Gate,
    /// 402: the membership service cannot be asked, or two memberships lapsed in one moment, which nobody has seen.
    Membership,
    /// 429 for throughput: what the upstream says of each account when it is too busy for all.
    Throughput,
    /// 5xx, 529, overload, no connection, no answer: the upstream's by itself.
    Failure,
}

impl Trouble {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Membership => "membership",
            Self::Throughput => "throughput",
            Self::Failure => "failure",
        }
    }

    /// Whether accounts can meet it each for itself: a membership lapses, a limit of an unknown wording is reached.
    fn may_be_own(self) -> bool {
        match self {
            Self::Membership | Self::Throughput => true,
            Self::Gate | Self::Failure => false,
        }
    }
}

/// What an outcome says about the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It answers; `proven` when it did the very thing that it is there for.
    Works { proven: bool },
    /// It may be down.
    Trouble(Trouble),
    /// A stream broke: one stream's affair, unless it was to decide.
    Cut,
    /// Nothing.
    Silent,
}

impl Sign {
    pub(super) fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Works { proven: true },
            Outcome::Answered => Self::Works { proven: false },
            Outcome::Refused { verdict, .. } => match verdict.row {
                Row::ClientRefused => Self::Trouble(Trouble::Gate),
                Row::Payment => Self::Trouble(Trouble::Membership),
                Row::RateLimited => Self::Trouble(Trouble::Throughput),
                Row::Overloaded | Row::UpstreamError => Self::Trouble(Trouble::Failure),
                // Quotas, caps and dead keys are each account's own: two may well be empty at once. What matches no
                // row is an answer all the same.
                Row::InvalidKey
                | Row::BadModel
                | Row::QuotaCycle
                | Row::QuotaWeek
                | Row::QuotaMonth
                | Row::ConcurrentLimit
                | Row::Banned
                | Row::QuotaPeriod
                | Row::Balance
                | Row::TierLimit
                | Row::InvalidRequest
                | Row::ModelNotFound
                | Row::Unknown => Self::Works { proven: false },
            },
            Outcome::Broke(Fault { phase: Phase::Body, .. }) => Self::Cut,
            // The request could not be written down at all: kmid never got as far as the upstream.
            Outcome::Broke(Fault { phase: Phase::Send, kind: FaultKind::Protocol }) => Self::Silent,
            Outcome::Broke(_) => Self::Trouble(Trouble::Failure),
            Outcome::ClientLeft | Outcome::CutOff => Self::Silent,
        }
    }
}

/// The last answer that showed an upstream down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAnswer {
    /// Its status; `None` when there was no answer.
    pub status: Option<u16>,
    /// The error table's word for it, or `upstream_broke`.
    pub what: &'static str,
}

impl LastAnswer {
    fn of(outcome: &Outcome) -> Self {
        let status = match outcome {
            // In a 200 stream the error is in the event.
            Outcome::Refused { status, .. } => Some(*status).filter(|status| *status >= 400),
            _ => None,
        };
        Self { status, what: outcome.name() }
    }
}

/// An upstream that lets no request pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// `host` or `host:port`.
    pub host: String,
    /// When one request may pass.
    pub until: Time,
    /// What is given in place of an answer.
    pub last: LastAnswer,
    /// Its gate refuses this request's client; others may pass.
    pub only_for_client: bool,
}

/// One host's breaker, for readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamView {
    /// `host` or `host:port`.
    pub host: String,
    /// How its breaker stands.
    pub breaker: BreakerState,
    /// When the next request may pass, while it is open or one decides.
    pub until: Option<Time>,
    /// What opened it.
    pub trouble: Option<Trouble>,
    /// What it answered last, while the breaker is not closed.
    pub last: Option<LastAnswer>,
}

/// An attempt that met trouble.
#[derive(Debug)]
pub(super) struct Met<'a> {
    pub(super) at: &'a BaseUrl,
    pub(super) key: Fingerprint,
    /// The keys that are known by now to share its account, itself included. A name of the account would not do: it
    /// may become known between two refusals.
    pub(super) account: &'a [Fingerprint],
    pub(super) client: Option<ClientId>,
    pub(super) number: u64,
    pub(super) trouble: Trouble,
    pub(super) outcome: &'a Outcome,
}

impl Met<'_> {
    /// Whom it concerns; `None` is everybody.
    fn stops(&self) -> Option<ClientId> {
        self.client.filter(|_| self.trouble == Trouble::Gate)
    }
}

/// An answer that shows the upstream at work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served<'a> {
    /// The keys that share the account of the one that was used, itself included.
    pub(super) account: &'a [Fingerprint],
    pub(super) number: u64,
    /// It did the very thing that it is there for.
    pub(super) proven: bool,
}

/// What trouble turned out to be.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Not this account's fault.
    pub(super) upstreams: bool,
    /// What is to be taken back, in this order.
    pub(super) undo: Vec<Undo>,
    /// The sessions that left a key for it, with their homes until then, in this order.
    pub(super) moved: Vec<(SessionId, Fingerprint)>,
    pub(super) changes: Vec<Change>,
}

/// A change of a breaker, to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Opened { host: String, until: Time, trouble: Trouble },
    Closed { host: String },
}

/// All hosts in trouble.
#[derive(Debug, Default)]
pub(super) struct Outages {
    hosts: Vec<Host>,
}

impl Outages {
    /// No host is in trouble.
    pub(super) fn is_quiet(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Forgets hosts to which no key is sent any more.
    pub(super) fn keep(&mut self, wanted: impl Fn(&BaseUrl) -> bool) {
        self.hosts.retain(|host| wanted(&host.at));
    }

    /// Until when no request of this client may go there.
    pub(super) fn bars(&self, at: &BaseUrl, client: Option<ClientId>, now: Time) -> Option<Time> {
        self.concerning(at, client).filter_map(|host| host.breaker.bars(now)).max()
    }

    /// The keys whose accounts have met what opened a breaker whose next request decides, where that may be their own,
    /// or could not tell whether it is over.
    pub(super) fn met(
        &self,
        at: &BaseUrl,
        client: Option<ClientId>,
        now: Time,
    ) -> impl Iterator<Item = Fingerprint> {
        let deciding = self
            .concerning(at, client)
            .filter(move |host| host.trouble.may_be_own() && host.breaker.is_open_to_one(now));
        deciding.flat_map(|host| host.met.iter().chain(&host.could_not_tell).copied())
    }

    /// What a request that may not go there is told.
    pub(super) fn down(&self, at: &BaseUrl, client: Option<ClientId>, now: Time) -> Option<Down> {
        let until = |host: &&Host| host.breaker.bars(now);
        let host = self.concerning(at, client).max_by_key(until)?;
        Some(Down {
            host: at.authority_text(),
            until: until(&host)?,
            last: host.last,
            only_for_client: host.client.is_some(),
        })
    }

    /// The clients that the gate of this host refuses, as far as they are stopped for it now.
    pub(super) fn refused_clients(&self, at: &BaseUrl, now: Time) -> impl Iterator<Item = ClientId> {
        let here = self.hosts.iter().filter(move |host| host.is(at) && host.breaker.bars(now).is_some());
        here.filter_map(|host| host.client)
    }

    /// What stops everybody is shown before what stops single clients.
    pub(super) fn view(&self, at: &BaseUrl, now: Time) -> UpstreamView {
        let in_trouble = self.hosts.iter().filter(|host| host.is(at) && !host.breaker.is_closed());
        let host = in_trouble.max_by_key(|host| (host.client.is_none(), host.breaker.bars(now)));
        UpstreamView {
            host: at.authority_text(),
            breaker: host.map_or(BreakerState::Closed, |host| host.breaker.state(now)),
            until: host.and_then(|host| host.breaker.bars(now)),
            trouble: host.map(|host| host.trouble),
            last: host.map(|host| host.last),
        }
    }

    /// A request goes there: where the breaker is open, it decides.
    pub(super) fn leased(&mut self, at: &BaseUrl, client: Option<ClientId>, number: u64, now: Time) {
        for host in self.hosts.iter_mut().filter(|host| host.is(at) && host.concerns(client)) {
            if !host.breaker.is_closed() {
                host.breaker.begin_probe(number, now);
            }
        }
    }

    /// Whether this request decides about the host.
    pub(super) fn decides(&self, at: &BaseUrl, number: u64) -> bool {
        self.hosts.iter().any(|host| host.is(at) && host.breaker.is_probe(number))
    }

    /// An answer showed that the upstream works. One to a request from before the trouble says nothing about it.
    pub(super) fn works(&mut self, at: &BaseUrl, served: &Served<'_>, now: Time) -> Vec<Change> {
        let here = self.hosts.iter_mut().filter(|host| host.is(at));
        let changes = here.filter_map(|host| host.works(served, now)).collect();
        self.hosts.iter_mut().for_each(|host| host.forget(now));
        self.hosts.retain(|host| !host.is_quiet());
        changes
    }

    /// A request there is being answered well, and has not been served yet. It may still fail, so that the next one
    /// decides, too; but what refuses by a status has let it through.
    pub(super) fn head_came(&mut self, at: &BaseUrl, served: &Served<'_>, now: Time) -> Vec<Change> {
        let mut changes = Vec::new();
        for host in self.hosts.iter_mut().filter(|host| host.is(at) && !host.breaker.is_closed()) {
            if host.trouble == Trouble::Failure {
                host.undecided(served.number);
            } else if served.proven {
                changes.extend(host.works(served, now));
            }
        }
        self.hosts.retain(|host| !host.is_quiet());
        changes
    }

    /// An attempt ended and said nothing.
    pub(super) fn undecided(&mut self, at: &BaseUrl, number: u64) {
        self.hosts.iter_mut().filter(|host| host.is(at)).for_each(|host| host.undecided(number));
    }

    /// An attempt met trouble. `random` is any number.
    pub(super) fn meets(&mut self, met: &Met<'_>, now: Time, random: u64) -> Judged {
        self.hosts.iter_mut().for_each(|host| host.forget(now));
        self.hosts.retain(|host| !host.is_quiet());
        let stops = met.stops();
        let others = self.hosts.iter_mut().filter(|host| host.is(met.at) && host.client != stops);
        let closed: Vec<Change> = others.filter_map(|host| host.heard_of(met)).collect();
        if !self.hosts.iter().any(|host| host.is(met.at) && host.client == stops) {
            self.make_room(stops);
            self.hosts.push(Host::new(met, now));
        }
        let own = self.hosts.iter_mut().find(|host| host.is(met.at) && host.client == stops);
        let mut judged = own.map(|host| host.meets(met, now, random)).unwrap_or_default();
        judged.changes.splice(0..0, closed);
        judged
    }

    fn make_room(&mut self, client: Option<ClientId>) {
        let clients = self.hosts.iter().filter(|host| host.client.is_some()).count();
        if client.is_some() && clients >= MOST_CLIENTS {
            let oldest = self.hosts.iter().position(|host| host.client.is_some());
            oldest.map(|oldest| self.hosts.remove(oldest));
        }
    }

    /// A session leaves a key that cannot serve it any more. Where that may be taken back, so may this be.
    pub(super) fn moved(&mut self, session: SessionId, from: Fingerprint) {
        let sightings = self.hosts.iter_mut().flat_map(|host| &mut host.sightings);
        let of_this = |seen: &&mut Sighting| seen.undo.iter().any(|undo| undo.fingerprint == from);
        for seen in sightings.filter(of_this).filter(|seen| seen.moved.len() < MOST_MOVED) {
            seen.moved.push((session, from));
        }
    }

    /// What the refusal that was just met did to keys, in case it turns out to be nobody's fault.
    pub(super) fn remember(
        &mut self,
        at: &BaseUrl,
        trouble: Trouble,
        account: &[Fingerprint],
        undo: Vec<Undo>,
    ) {
        let here = self.hosts.iter_mut().filter(|host| host.is(at));
        let mut sightings = here.flat_map(|host| host.sightings.iter_mut().rev());
        let seen = sightings.find(|seen| seen.trouble == trouble && account.contains(&seen.key));
        let Some(seen) = seen else { return };
        for undo in undo.into_iter().filter(Undo::is_needed) {
            let earlier = seen.undo.iter_mut().rev().find(|known| known.fingerprint == undo.fingerprint);
            if !earlier.is_some_and(|earlier| earlier.takes_in(&undo)) && seen.undo.len() < MOST_UNDO {
                seen.undo.push(undo);
            }
        }
    }

    /// What stands between a client and a host.
    fn concerning(&self, at: &BaseUrl, client: Option<ClientId>) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(move |host| host.is(at) && host.concerns(client))
    }
}
