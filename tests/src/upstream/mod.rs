//! A scriptable Kimi API that speaks real TLS on a free port.
//!
//! A test queues replies per key and path, or leaves the API to answer by itself; it sees every request exactly as
//! it came, and decides by gates and feeds when something happens. Nothing here sleeps.

pub mod api;
mod gate;
mod http2;
mod play;
mod reply;
mod script;
mod seen;
mod serve;
#[cfg(test)]
mod tests;
pub mod tls;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub use gate::{Feed, Gate};
pub use reply::{Ending, Reply};
pub use script::{ANY, Script};
pub use seen::{Ended, Seen};

use crate::harness::wait::within;
use seen::Record;

/// The path that stands before every endpoint, as on the real host.
pub const BASE_PATH: &str = "/coding/v1";

/// A running upstream; ends with its value.
#[derive(Debug)]
pub struct Upstream {
    /// What it answers.
    pub script: Arc<Script>,
    record: Arc<Record>,
    address: SocketAddr,
    ca_pem: String,
    accept: JoinHandle<()>,
}

impl Upstream {
    /// Starts one that speaks HTTP/1.1.
    pub async fn start() -> Self {
        Self::start_with(&[b"http/1.1"]).await
    }

    /// Starts one that offers these protocols by ALPN, the preferred one first.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn start_with(alpn: &[&[u8]]) -> Self {
        let authority = tls::Authority::new();
        let acceptor = TlsAcceptor::from(authority.server_config(alpn));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script::default());
        let record = Arc::new(Record::default());
        let accept = tokio::spawn(serve::accept(listener, acceptor, script.clone(), record.clone()));
        Self { script, record, address, ca_pem: authority.pem(), accept }
    }

    /// The base URL for a key file or `KMI_UPSTREAM_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("https://localhost:{}{BASE_PATH}", self.address.port())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The certificate that clients must trust, for `SSL_CERT_FILE`.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Queues one reply for one key (or [`ANY`]) at an endpoint such as `/models`.
    pub fn next(&self, key: &str, endpoint: &str, reply: Reply) {
        self.script.push(key, endpoint, reply);
    }

    /// Answers every request of a key (or [`ANY`]) at an endpoint by a function, once its body has been read.
    pub fn always(&self, key: &str, endpoint: &str, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.script.always(key, endpoint, answer);
    }

    /// All requests so far, in the order of their heads.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Seen>> {
        self.record.all()
    }

    /// The requests so far at one endpoint.
    #[must_use]
    pub fn at(&self, endpoint: &str) -> Vec<Arc<Seen>> {
        self.requests().into_iter().filter(|seen| seen.endpoint() == endpoint).collect()
    }

    /// The keys that were used at an endpoint, in order.
    #[must_use]
    pub fn keys_at(&self, endpoint: &str) -> Vec<String> {
        self.at(endpoint).iter().map(|seen| seen.key().unwrap_or_default()).collect()
    }

    /// The n-th request (from 1) at an endpoint, as soon as its head has arrived.
    pub async fn nth(&self, endpoint: &str, n: usize) -> Arc<Seen> {
        within(
            format!("request {n} at {endpoint}"),
            self.record.until(|| self.at(endpoint).get(n - 1).cloned()),
        )
        .await
    }

    /// How a request ended, as soon as it has.
    pub async fn ended(&self, seen: &Seen) -> Ended {
        within(
            format!("the end of {} {}", seen.head.method, seen.head.target),
            self.record.until(|| seen.ended()),
        )
        .await
    }

    /// A request's body, as soon as all of it has arrived.
    pub async fn body(&self, seen: &Seen) -> bytes::Bytes {
        within(format!("the body of {}", seen.head.target), self.record.until(|| seen.body())).await
    }

    /// Waits until something about the requests so far holds.
    pub async fn until<T>(&self, what: &str, check: impl FnMut() -> Option<T>) -> T {
        within(what, self.record.until(check)).await
    }

    /// Requests whose heads have come and whose answers have not ended.
    #[must_use]
    pub fn in_flight(&self, endpoint: &str) -> usize {
        self.at(endpoint).iter().filter(|seen| seen.ended().is_none()).count()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.record.connections()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
