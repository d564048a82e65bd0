//! Requests that wait for a key.
//!
//! The queue changes only while the pool is locked: whatever may free a slot serves the waiters before anybody else
//! can take it, so that nobody overtakes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kmid_core::client::ClientId;
use kmid_core::key::Fingerprint;
use kmid_core::pool::{self, Demand, Pool, Refusal};
use kmid_core::queue::{Queue, Ticket, Turn};
use kmid_core::session::SessionId;
use kmid_core::time::Time;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Late, Lease, State, lock};
use crate::clock;

/// A laptop sleeps while timers stand still: no longer without a look at the clock.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How long a request may wait for a key.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until then.
    pub until: Instant,
    /// Where so many wait already, it is refused (KMI_QUEUE_MAX).
    pub most: usize,
}

/// Why a request got no key.
#[derive(Debug)]
pub enum NoLease {
    /// No key can serve, and none will in time.
    Refused(Refusal),
    /// One would in time, but as many requests wait as may.
    QueueFull(Refusal),
    /// kmid is about to end: nobody waits any more.
    Ending,
}

/// What a request got, and how long it waited for that in the queue, if it did.
#[derive(Debug)]
pub struct Waited {
    /// A key, or why none.
    pub lease: Result<Lease, NoLease>,
    /// Time in the queue.
    pub queued: Option<Duration>,
}

type Answer = Result<pool::Lease, NoLease>;

/// One that waits.
#[derive(Debug)]
struct Waiter {
    tried: Vec<Fingerprint>,
    session: Option<SessionId>,
    client: Option<ClientId>,
    until: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Waiter {
    fn demand(&self) -> Demand<'_> {
        Demand { tried: &self.tried, session: self.session, client: self.client }
    }
}

/// The requests that wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    line: Mutex<Line>,
    /// Somebody waits for what may end by itself.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Line {
    queue: Queue<Waiter>,
    /// Nobody waits any more.
    ending: bool,
}

enum Entered<'a> {
    Done(Result<Lease, NoLease>),
    Waits(Place<'a>),
}

/// A place in the queue; given up when it is dropped, with a key that was handed to it meanwhile.
struct Place<'a> {
    state: &'a State,
    ticket: Ticket,
    answer: oneshot::Receiver<Answer>,
}

impl Place<'_> {
    /// Gives up the place, unless its turn has come.
    fn leave(&mut self) -> Option<Answer> {
        let _pool = lock(&self.state.pool);
        self.state.line().queue.remove(self.ticket);
        self.answer.close();
        self.answer.try_recv().ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(Ok(lease)) = self.leave() {
            let mut pool = lock(&self.state.pool);
            self.state.give_back(&mut pool, lease);
            self.state.serve_waiters(&mut pool);
        }
    }
}

impl State {
    /// Leases a key for one attempt. Where one is only full or paused for a moment, the request waits its turn.
    /// Dropped while it waits, it gives up its place.
    pub async fn lease_or_wait(self: &Arc<Self>, demand: &Demand<'_>, patience: Patience) -> Waited {
        let mut place = match self.lease_or_enter(demand, patience) {
            Entered::Done(lease) => return Waited { lease, queued: None },
            Entered::Waits(place) => place,
        };
        let began = Instant::now();
        let answer = match timeout_at(patience.until, &mut place.answer).await {
            Ok(Ok(answer)) => Some(answer),
            // Its turn may have come in the moment its time was over.
            Ok(Err(_)) | Err(_) => place.leave(),
        };
        let lease = match answer {
            Some(answer) => answer,
            None => {
                let mut pool = lock(&self.pool);
                self.serve_waiters(&mut pool);
                self.grant(&mut pool, demand, clock::now()).map_err(NoLease::Refused)
            }
        };
        Waited { lease: lease.map(|lease| self.wrap(lease)), queued: Some(began.elapsed()) }
    }

    fn lease_or_enter(self: &Arc<Self>, demand: &Demand<'_>, patience: Patience) -> Entered<'_> {
        let mut pool = lock(&self.pool);
        // A slot that has come free by time alone is for those who wait for it.
        self.serve_waiters(&mut pool);
        let now = clock::now();
        let refusal = match self.grant(&mut pool, demand, now) {
            Ok(lease) => return Entered::Done(Ok(self.wrap(lease))),
            Err(refusal) => refusal,
        };
        let mut line = self.line();
        let left = patience.until.saturating_duration_since(Instant::now());
        if left.is_zero() || patience.most == 0 || !refusal.may_end_by(now + left) {
            return Entered::Done(Err(NoLease::Refused(refusal)));
        }
        if line.ending {
            return Entered::Done(Err(NoLease::Ending));
        }
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter {
            tried: demand.tried.to_vec(),
            session: demand.session,
            client: demand.client,
            until: patience.until,
            answer: sender,
        };
        let Some(ticket) = line.queue.push(demand.session, patience.most, waiter) else {
            return Entered::Done(Err(NoLease::QueueFull(refusal)));
        };
        self.waiting.changed.notify_one();
        Entered::Waits(Place { state: self, ticket, answer })
    }

    fn grant(&self, pool: &mut Pool, demand: &Demand<'_>, now: Time) -> Result<pool::Lease, Refusal> {
        let lease = pool.lease(demand, now)?;
        self.leaving.tell(|| Late::Begun { key: lease.key.fingerprint });
        self.tell_moved(pool, &lease);
        Ok(lease)
    }

    pub(super) fn give_back(&self, pool: &mut Pool, lease: pool::Lease) {
        self.leaving.tell(|| Late::GivenBack { key: lease.key.fingerprint });
        pool.give_back(lease, clock::now());
    }

    fn wrap(self: &Arc<Self>, lease: pool::Lease) -> Lease {
        Lease::new(Arc::clone(self), lease)
    }

    /// Taken only while the pool is locked.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.waiting.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands what is free to those who wait, in the order of their turns; whoever waits for nothing any more is
    /// refused.
    pub(super) fn serve_waiters(&self, pool: &mut Pool) {
        let mut line = self.line();
        if line.queue.is_empty() {
            return;
        }
        let (now, instant) = (clock::now(), Instant::now());
        // Only who is served or refused is worth a choice among all keys: the others are hundreds at times.
        let mut outlook = pool.outlook(now);
        loop {
            let ask = |waiter: &Waiter| {
                let left = waiter.until.saturating_duration_since(instant);
                if outlook.waits(&waiter.demand(), now + left) {
                    return Turn::Waits;
                }
                Turn::Done(self.grant(pool, &waiter.demand(), now).map_err(NoLease::Refused))
            };
            let Some((waiter, answer)) = line.queue.serve(ask) else { break };
            let served = answer.is_ok();
            // It left in this moment.
            if let Err(Ok(lease)) = waiter.answer.send(answer) {
                self.give_back(pool, lease);
            }
            if served {
                outlook = pool.outlook(now);
            }
        }
        if !line.queue.is_empty() {
            self.waiting.changed.notify_one();
        }
    }

    /// How many requests wait for a key.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let _pool = lock(&self.pool);
        self.line().queue.len()
    }

    /// From now on nobody waits: whoever does is told that kmid ends.
    pub fn end_waiting(&self) {
        let waiters = {
            let _pool = lock(&self.pool);
            let mut line = self.line();
            line.ending = true;
            line.queue.take_all()
        };
        for waiter in waiters {
            // One that has left needs no answer.
            let _ = waiter.answer.send(Err(NoLease::Ending));
        }
    }

    /// Serves the waiters when something ends by its time: a pause, a rate limit, a step of a ramp.
    pub async fn serve_by_time(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let nap = async {
                match self.until_next_change() {
                    Some(pause) => sleep(pause.min(LONGEST_SLEEP)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.waiting.changed.notified() => continue,
                () = nap => self.serve_waiters(&mut lock(&self.pool)),
            }
        }
    }

    fn until_next_change(&self) -> Option<Duration> {
        let mut pool = lock(&self.pool);
        if self.line().queue.is_empty() {
            return None;
        }
        let now: Time = clock::now();
        pool.next_change(now).map(|next| next.since(now))
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
