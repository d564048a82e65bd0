//! The local HTTP proxy that real clients talk to as if it were the API.

pub mod admission;
mod answer;
mod attempt;
mod cancelled;
mod decode;
mod exchange;
mod failure;
mod hold;
mod journal;
mod keepalive;
pub mod listener;
pub mod path;
mod prompt;
mod replay;
mod reply;
pub mod rewrite;
pub mod server_tls;
mod tap;
mod watch;
mod zstd;

use std::sync::Arc;

use arc_swap::ArcSwap;
use kmid_config::settings::Settings;

use self::replay::Budget;
use crate::local_time::Zone;
use crate::state::State;
use crate::upstream::Upstream;

/// What every request works with.
#[derive(Debug)]
pub struct Proxy {
    state: Arc<State>,
    settings: Arc<ArcSwap<Settings>>,
    upstream: Arc<Upstream>,
    zone: Zone,
    /// Bytes of request bodies that are kept, over all requests.
    budget: Budget,
}

impl Proxy {
    /// A proxy without a listener.
    #[must_use]
    pub fn new(
        state: Arc<State>,
        settings: Arc<ArcSwap<Settings>>,
        upstream: Arc<Upstream>,
        zone: Zone,
    ) -> Arc<Self> {
        Arc::new(Self { state, settings, upstream, zone, budget: Budget::default() })
    }
}
