//! The only place that knows how long tests wait. Everything else waits for events.

use std::fmt::Display;
use std::future::Future;
use std::panic::Location;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that reaches it has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Long enough for the programs of others, which take seconds to start, several of them at a time.
pub const DEADLINE_OF_CLIENTS: Duration = Duration::from_secs(180);

/// How often something is asked again that cannot tell by itself when it changes: a file or a socket of another
/// process.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Waits for an event, and fails the test with its name when it does not come.
///
/// # Panics
/// At the deadline.
#[track_caller]
pub fn within<F: Future>(what: impl Display, event: F) -> impl Future<Output = F::Output> {
    within_at_most(DEADLINE, what, event)
}

/// The same with a deadline of its own.
///
/// # Panics
/// At the deadline.
#[track_caller]
pub fn within_at_most<F: Future>(
    deadline: Duration,
    what: impl Display,
    event: F,
) -> impl Future<Output = F::Output> {
    let (caller, what) = (Location::caller(), what.to_string());
    async move {
        match tokio::time::timeout(deadline, event).await {
            Ok(value) => value,
            Err(_) => panic!("{caller}: waited {deadline:?} for {what}"),
        }
    }
}

/// Asks until there is an answer, for what another process does without telling us.
///
/// # Panics
/// At the deadline.
#[track_caller]
pub fn eventually<T, F: Future<Output = Option<T>>>(
    what: impl Display,
    ask: impl FnMut() -> F,
) -> impl Future<Output = T> {
    eventually_at_most(DEADLINE, what, ask)
}

/// The same with a deadline of its own.
///
/// # Panics
/// At the deadline.
#[track_caller]
pub fn eventually_at_most<T, F: Future<Output = Option<T>>>(
    deadline: Duration,
    what: impl Display,
    mut ask: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let (caller, what) = (Location::caller(), what.to_string());
    let started = Instant::now();
    async move {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            assert!(started.elapsed() < deadline, "{caller}: waited {deadline:?} for {what}");
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

/// That an event does *not* come can only be watched for a while. Use it where nothing else could show the
/// opposite, after everything that could cause the event has happened.
///
/// # Panics
/// When the event comes.
#[track_caller]
pub fn stays_quiet<F: Future>(what: impl Display, span: Duration, event: F) -> impl Future<Output = ()> {
    let (caller, what) = (Location::caller(), what.to_string());
    async move {
        if tokio::time::timeout(span, event).await.is_ok() {
            panic!("{caller}: {what} came, and should not have");
        }
    }
}
