//! The door of the proxy: tokens, wrong ones slowed down, and what is said of those that were not let in.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use kmid_config::settings::Settings;
use kmid_core::door::Tokens;
use kmid_core::door::attempts::{Attempts, Turn};
use kmid_core::door::peer::{Exposure, Peer};
use kmid_core::door::places::Places;
use kmid_core::door::tally::Tally;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::admission::{self, NotAdmitted};
use crate::clock;
use crate::state::State;

/// How often is looked whether a minute of refusals is over, while there are some.
const LOOK: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    /// The other end of the connection.
    pub(super) address: IpAddr,
    /// How the listener that it came to may be reached.
    pub(super) exposure: Exposure,
    /// See [`Settings::is_shared`].
    shared: bool,
}

impl Visitor {
    /// By the settings in force when it connects.
    pub(super) fn new(address: IpAddr, exposure: Exposure, settings: &Settings) -> Self {
        Self { address, exposure, shared: settings.is_shared(exposure, address) }
    }

    fn peer(self) -> Peer {
        Peer::of(self.address)
    }

    /// Its address stands for many clients.
    pub(super) fn is_shared(self) -> bool {
        self.shared
    }
}

/// What came of a look at a request's token.
#[derive(Debug)]
pub(super) enum Look {
    /// It may come in; the name of its token, if that has one.
    In(Option<Arc<str>>),
    /// It may not.
    Out(NotAdmitted),
    /// It has to wait for its turn, and its token has not been looked at.
    Wait(Duration),
    /// Its token is wrong, and that is said late.
    Late(Duration),
}

/// What is remembered at the door.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    state: Arc<State>,
    attempts: Mutex<Attempts>,
    /// Somebody is remembered: while nobody is, no lock is taken.
    failing: AtomicBool,
    tally: Mutex<Tally>,
    counting: Notify,
    places: Mutex<Places>,
}

impl Doorkeeper {
    pub(super) fn new(state: Arc<State>) -> Self {
        Self {
            state,
            attempts: Mutex::default(),
            failing: AtomicBool::new(false),
            tally: Mutex::default(),
            counting: Notify::new(),
            places: Mutex::default(),
        }
    }

    /// Looks at a request's token. On an address that stands for many a right token always counts at once; from any
    /// other, after failures, it waits for its turn like a wrong one, so that the wait tells nothing.
    pub(super) fn look(&self, visitor: Visitor, tokens: &Tokens, headers: &HeaderMap) -> Look {
        if tokens.is_empty() && visitor.exposure == Exposure::Loopback {
            return Look::In(None);
        }
        if !visitor.is_shared() && self.failing.load(Ordering::Relaxed) {
            match lock(&self.attempts).turn(visitor.peer(), clock::now()) {
                Turn::Now => {}
                Turn::After(pause) => return Look::Wait(pause),
                Turn::Refused(pause) => return Look::Out(NotAdmitted::Slowed(pause)),
            }
        }
        self.compare(visitor, tokens, headers)
    }

    /// The same when its turn has come; settings may have changed meanwhile.
    pub(super) async fn look_later(
        &self,
        look: Look,
        visitor: Visitor,
        settings: &ArcSwap<Settings>,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<str>>, NotAdmitted> {
        let look = match look {
            Look::Wait(pause) => {
                tokio::time::sleep(pause).await;
                self.compare(visitor, &settings.load().proxy_tokens, headers)
            }
            look => look,
        };
        match look {
            Look::In(name) => Ok(name),
            Look::Out(why) => Err(why),
            Look::Wait(pause) | Look::Late(pause) => {
                tokio::time::sleep(pause).await;
                Err(NotAdmitted::Token)
            }
        }
    }

    fn compare(&self, visitor: Visitor, tokens: &Tokens, headers: &HeaderMap) -> Look {
        if let Ok(name) = admission::token(tokens, headers) {
            if !visitor.is_shared() && self.failing.load(Ordering::Relaxed) {
                let mut attempts = lock(&self.attempts);
                attempts.succeeded(visitor.peer());
                self.failing.store(!attempts.is_empty(), Ordering::Relaxed);
            }
            return Look::In(name.cloned());
        }
        let now = clock::now();
        let mut attempts = lock(&self.attempts);
        attempts.failed(visitor.peer(), now);
        self.failing.store(true, Ordering::Relaxed);
        if !visitor.is_shared() {
            return Look::Out(NotAdmitted::Token);
        }
        match attempts.turn(visitor.peer(), now) {
            Turn::Now => Look::Out(NotAdmitted::Token),
            Turn::After(pause) => Look::Late(pause),
            Turn::Refused(pause) => Look::Out(NotAdmitted::Slowed(pause)),
        }
    }

    /// Takes note of a refusal. Whether it is one of those that are said at once, which the caller then does.
    pub(super) fn note(&self, visitor: Visitor, why: &'static str) -> bool {
        self.state.counted().refused(why);
        let say = lock(&self.tally).note(visitor.peer(), why, clock::now());
        self.counting.notify_one();
        say
    }

    /// A place for a connection, given back when the value goes; `None` when the peer has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, visitor: Visitor, most: usize) -> Option<Place> {
        // What stands for many is bounded by the limit over all alone.
        if visitor.is_shared() {
            return Some(Place(None));
        }
        let entered = lock(&self.places).enter(visitor.peer(), most);
        entered.then(|| Place(Some((Arc::clone(self), visitor.peer()))))
    }

    /// Says once a minute how many were not let in; until cancelled.
    pub(super) async fn report(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.counting.notified() => {}
            }
            while self.is_counting() {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(LOOK) => self.say(),
                }
            }
        }
    }

    fn is_counting(&self) -> bool {
        !lock(&self.tally).is_empty() || !lock(&self.attempts).is_empty()
    }

    fn say(&self) {
        let now = clock::now();
        for report in lock(&self.tally).due(now) {
            let peer = report.peer.map(|peer| peer.to_string());
            let peer = peer.as_deref().unwrap_or("others");
            tracing::warn!(peer, why = report.why, count = report.count, seconds = 60, "proxy_unauthorized");
        }
        let mut attempts = lock(&self.attempts);
        attempts.forget(now);
        self.failing.store(!attempts.is_empty(), Ordering::Relaxed);
    }
}

/// A connection's place among those of its peer.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Doorkeeper>, Peer)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((door, peer)) = &self.0 {
            lock(&door.places).leave(*peer);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
