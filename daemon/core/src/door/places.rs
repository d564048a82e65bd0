//! Connections by peer, so that one peer cannot take them all.

use std::collections::HashMap;

use super::peer::Peer;

/// How many connections each peer has. Bounded by the limit over all connections.
#[derive(Debug, Default)]
pub struct Places(HashMap<Peer, usize>);

impl Places {
    /// Takes a place for one more connection, unless the peer has `most` already. Each place that was taken is given
    /// back by [`Places::leave`].
    pub fn enter(&mut self, peer: Peer, most: usize) -> bool {
        let count = self.0.entry(peer).or_default();
        if *count >= most {
            return false;
        }
        *count += 1;
        true
    }

    /// A connection has ended.
    pub fn leave(&mut self, peer: Peer) {
        if let Some(count) = self.0.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&peer);
            }
        }
    }

    /// Peers with connections.
    #[must_use]
    pub fn peers(&self) -> usize {
        self.0.len()
    }
}
