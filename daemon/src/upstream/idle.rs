//! Connections that wait for their next request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kmid_core::key::BaseUrl;
use kmid_core::time::Time;
use tokio::time::Instant;

use super::connection::Connection;
use crate::clock;

/// Most connections kept, over all hosts.
const MOST: usize = 256;
/// Servers close idle connections after a minute or more; a younger one is rarely stale.
const LONGEST: Duration = Duration::from_secs(60);

/// Connections that wait for their next request, the most recently used last.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "they come and go with every request")]
pub(super) struct IdleConnections(Vec<Box<Connection>>);

impl IdleConnections {
    /// The most recently used connection to a host that is still open.
    pub(super) fn take(&mut self, base: &BaseUrl, now: Time) -> Option<Box<Connection>> {
        let authority = base.authority();
        while let Some(place) = self.0.iter().rposition(|connection| connection.authority == authority) {
            let mut connection = self.0.remove(place);
            if connection.last_use.is_young(now) && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn keep(&mut self, mut connection: Box<Connection>, now: Time) {
        connection.last_use = LastUse::at(now);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(connection);
    }

    pub(super) fn reap(&mut self, now: Time) {
        self.0.retain_mut(|connection| connection.last_use.is_young(now) && connection.is_usable());
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// When a connection was last used, by both clocks: the monotonic one stands still while the machine sleeps, and whoever
/// wakes it may be in another network; the wall clock may be set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastUse {
    since: Instant,
    from: Time,
}

impl LastUse {
    /// Now, which the wall clock gives as `now`.
    pub(super) fn at(now: Time) -> Self {
        Self { since: Instant::now(), from: now }
    }

    /// Whether it is so short ago that the connection may be used again.
    pub(super) fn is_young(self, now: Time) -> bool {
        self.since.elapsed() < LONGEST && now.since(self.from) < LONGEST
    }
}

/// The requests that use a connection together.
#[derive(Debug, Clone)]
pub(super) struct Uses(Arc<Mutex<(usize, LastUse)>>);

impl Default for Uses {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((0, LastUse::at(clock::now())))))
    }
}

impl Uses {
    pub(super) fn begin(&self) -> InUse {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
        InUse(self.clone())
    }

    /// Whether a request is on its way, or one was a short time ago.
    pub(super) fn is_fresh(&self, now: Time) -> bool {
        let (running, last) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running > 0 || last.is_young(now)
    }
}

/// A request on such a connection; its end is the connection's last use.
#[derive(Debug)]
pub(super) struct InUse(Uses);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut uses = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        *uses = (uses.0.saturating_sub(1), LastUse::at(clock::now()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::super::connect::Stream;
    use super::super::connection::Http2;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_old_by_either_clock_is_not_used() {
        const NOON: i64 = 1_795_435_200;
        let base = BaseUrl::parse("https://api.example/v1").unwrap();
        let at = |seconds: i64| Time::from_millis((NOON + seconds) * 1000);
        let cases = [
            (0, 0, true),
            (59, 59, true),
            (60, 60, false),
            (60, -3600, false),
            (1, 3600, false),
            (1, 0, true),
        ];
        for (awake, wall, is_used) in cases {
            let (ours, _theirs) = tokio::io::duplex(1);
            let connection = Connection::handshake(Stream::new(ours, false), &base).await.unwrap();
            let mut idle = IdleConnections::default();
            idle.keep(connection, at(0));
            tokio::time::advance(Duration::from_secs(awake)).await;
            idle.reap(at(wall));
            assert_eq!(idle.0.len(), usize::from(is_used), "awake for {awake} s, {wall} s by the clock");
            let Some(connection) = idle.take(&base, at(wall)) else { continue };
            // What was looked at in time may be too old a moment later.
            idle.keep(connection, at(wall));
            assert!(idle.take(&base, at(wall + 60)).is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_is_one_of_http2_unless_a_request_is_on_it() {
        let (ours, _theirs) = tokio::io::duplex(4096);
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let http2 = Http2::handshake(Stream::new(ours, true), &tasks, &cancel).await.unwrap();
        let in_seconds = |seconds: i64| Time::from_millis(clock::now().as_millis() + seconds * 1000);
        assert!(http2.is_usable(in_seconds(50)));
        assert!(!http2.is_usable(in_seconds(70)));
        let in_use = http2.uses.begin();
        tokio::time::advance(Duration::from_secs(70)).await;
        assert!(http2.is_usable(in_seconds(70)), "a request is on its way");
        drop(in_use);
        assert!(http2.is_usable(in_seconds(50)), "its end was a use");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!http2.is_usable(in_seconds(0)));
        cancel.cancel();
    }
}
