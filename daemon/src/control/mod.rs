//! The control socket: JSON-RPC 2.0 for `kmi` and any other client.
//!
//! listener -> session -> dispatch -> `handlers/<noun>` -> state -> convert -> result, or a feed that becomes a stream.

mod backlog;
mod batch;
mod convert;
mod dispatch;
mod feed;
mod handlers;
pub mod listener;
mod session;
mod since;
mod socket;
mod streams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use kmid_config::settings::Settings;
use kmid_core::time::Time;
use tokio::sync::mpsc;

use crate::client_config::{ClientFiles, OwnAddress};
use crate::command::Command;
use crate::line_log::LineLog;
use crate::metrics::Metrics;
use crate::proxy::server_tls::Certificate;
use crate::state::State;

/// What handlers work with.
#[derive(Debug, Clone)]
pub struct Context {
    /// The door to the pool.
    pub state: Arc<State>,
    /// Settings in force; swapped on reload.
    pub settings: Arc<ArcSwap<Settings>>,
    /// Names of settings that were changed and wait for a restart.
    pub needs_restart: Arc<ArcSwap<Vec<&'static str>>>,
    /// To the rest of the daemon.
    pub commands: mpsc::Sender<Command>,
    /// `trace/trace.jsonl`
    pub trace: LineLog,
    /// Figures about the daemon.
    pub metrics: Arc<Metrics>,
    /// `logs/kmi.log`
    pub app_log: LineLog,
    /// `logs/proxy.out`
    pub daemon_log: LineLog,
    /// When the daemon started.
    pub started_at: Time,
    /// Where the proxy listens.
    pub proxy_addr: SocketAddr,
    /// The proxy's certificate, when it speaks TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// The Kimi clients' config files.
    pub client_files: Arc<ClientFiles>,
    /// The KMI_ variables of the environment; of secrets only their names.
    pub environment: BTreeMap<String, Option<String>>,
}

impl Context {
    /// Where kmid listens, as a client would write it down.
    #[must_use]
    pub fn own_address(&self) -> OwnAddress {
        OwnAddress {
            host: self.proxy_addr.ip().to_string(),
            port: self.proxy_addr.port(),
            base_path: self.settings.load().proxy_base_path.clone(),
        }
    }

    /// Where clients on this machine find the proxy.
    fn proxy_url(&self) -> String {
        let settings = self.settings.load();
        let names = self.certificate.as_ref().map(|certificate| certificate.names());
        convert::proxy_url(&settings.proxy_base_path, self.proxy_addr, names)
    }
}
