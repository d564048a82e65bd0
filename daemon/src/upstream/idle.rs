//! Connections that wait for their next request.

use std::time::Duration;

use kmid_core::key::BaseUrl;
use kmid_core::time::Time;
use tokio::time::Instant;

use super::connection::Connection;

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
            if is_young(&connection, now) && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn keep(&mut self, mut connection: Box<Connection>, now: Time) {
        (connection.idle_since, connection.idle_from) = (Instant::now(), now);
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(connection);
    }

    pub(super) fn reap(&mut self, now: Time) {
        self.0.retain_mut(|connection| is_young(connection, now) && connection.is_usable());
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// By both clocks: the monotonic one stands still while the machine sleeps, and whoever wakes it may be in another
/// network; the wall clock may be set back.
fn is_young(connection: &Connection, now: Time) -> bool {
    connection.idle_since.elapsed() < LONGEST && now.since(connection.idle_from) < LONGEST
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::super::connect::Stream;
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
}
