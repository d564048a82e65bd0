//! Connections that wait for their next request.

use std::time::Duration;

use kmid_core::key::BaseUrl;
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
    pub(super) fn take(&mut self, base: &BaseUrl) -> Option<Box<Connection>> {
        let authority = base.authority();
        while let Some(place) = self.0.iter().rposition(|connection| connection.authority == authority) {
            let mut connection = self.0.remove(place);
            if connection.idle_since.elapsed() < LONGEST && connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn keep(&mut self, mut connection: Box<Connection>) {
        connection.idle_since = Instant::now();
        if self.0.len() >= MOST {
            self.0.remove(0);
        }
        self.0.push(connection);
    }

    pub(super) fn reap(&mut self) {
        self.0.retain_mut(|connection| connection.idle_since.elapsed() < LONGEST && connection.is_usable());
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
