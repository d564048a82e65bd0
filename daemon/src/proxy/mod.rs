//! The local HTTP proxy that real clients talk to as if it were the API.

pub mod admission;
mod answer;
mod attempt;
mod cancelled;
mod decode;
mod door;
mod exchange;
mod failure;
mod health;
mod hold;
mod journal;
mod keepalive;
mod linger;
pub mod listener;
pub mod path;
mod prompt;
mod remote;
pub mod renewal;
mod replay;
mod reply;
pub mod rewrite;
pub mod server_tls;
mod taking;
mod tap;
mod watch;
mod zstd;

use std::sync::Arc;

use arc_swap::ArcSwap;
use kmid_config::settings::Settings;

use tokio_util::sync::CancellationToken;

use self::door::Doorkeeper;
use self::health::Health;
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
    door: Arc<Doorkeeper>,
    health: Health,
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
        let door = Arc::new(Doorkeeper::new(Arc::clone(&state)));
        let (budget, health) = (Budget::default(), Health::default());
        Arc::new(Self { state, settings, upstream, zone, budget, door, health })
    }

    /// Says once a minute how many requests and connections were not let in; until cancelled.
    pub fn report(&self, cancel: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.door).report(cancel)
    }
}
