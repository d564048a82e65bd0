//! The way to the API: connections, TLS, transport faults, and the embedded simulator.

pub mod body;
pub mod client_body;
pub mod connect;
pub mod connection;
pub mod fault;
mod idle;
mod lack;
pub mod request_body;
pub mod simulator;
pub mod tls;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use kmid_config::settings::UpstreamHttp;
use kmid_core::key::BaseUrl;
use kmid_core::outcome::{FaultKind, Phase};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::body::UpstreamBody;
use self::connect::Connector;
use self::connection::{Connection, Http2};
use self::fault::SendError;
use self::idle::IdleConnections;
use self::request_body::RequestBody;
use crate::clock;

/// How often idle connections are looked through for those that stood too long.
const REAP_EVERY: Duration = Duration::from_secs(30);

/// What a request to the upstream may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// KMI_PROXY_CONNECT_TIMEOUT_SECONDS: name, TCP and TLS together.
    pub connect: Duration,
    /// KMI_PROXY_IDLE_TIMEOUT_SECONDS: the longest silence.
    pub idle: Duration,
}

/// A client of the API: connections are kept, reused, and driven inside the futures of the requests that use them,
/// so that no other task hands each chunk over.
pub struct Upstream {
    connector: Connector,
    http: UpstreamHttp,
    idle: Mutex<IdleConnections>,
    http2: Mutex<Vec<(BaseUrl, Http2)>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("http", &self.http).finish_non_exhaustive()
    }
}

impl Upstream {
    /// A client without connections. `tasks` takes the HTTP/2 drivers and simulator connections, which end with
    /// `cancel`.
    #[must_use]
    pub fn new(
        connector: Connector,
        http: UpstreamHttp,
        tasks: TaskTracker,
        cancel: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            connector,
            http,
            idle: Mutex::new(IdleConnections::default()),
            http2: Mutex::new(Vec::new()),
            tasks,
            cancel,
        })
    }

    /// Whether answers come from the embedded simulator.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.connector.is_simulated()
    }

    /// Sends a request to the host of `base` and waits for the head of its response.
    ///
    /// `requests` makes the request when there is a connection for it, and once more when a reused connection turns out
    /// to have been closed before any byte of a response.
    ///
    /// # Errors
    /// The transport's fault with its cause, or that the client's own body broke.
    pub async fn send(
        self: &Arc<Self>,
        base: &BaseUrl,
        limits: Limits,
        requests: &mut (dyn Requests + Send),
    ) -> Result<Response<UpstreamBody>, SendError> {
        // A body that can be sent once must not meet a connection that may just have been closed.
        let mut may_reuse = requests.can_repeat();
        loop {
            if may_reuse && let Some(http2) = self.live_http2(base) {
                // Boxed: HTTP/2 is the exception, and its requests shall not make the others larger.
                let answer = Box::pin(http2.send(requests.make()?, limits));
                match answer.await {
                    Err(error) if !error.client_broke => {
                        let too_quiet = error.fault.kind == FaultKind::Timeout;
                        // A reset stream says nothing of its connection; else the next request shall not meet it.
                        if error.nothing_came || too_quiet {
                            self.drop_http2(base);
                        }
                        if !error.nothing_came || too_quiet {
                            return Err(error);
                        }
                        may_reuse = false;
                        continue;
                    }
                    answer => return answer,
                }
            }
            let idle = if may_reuse { self.take_idle(base) } else { None };
            let reused = idle.is_some();
            let connection = match idle {
                Some(connection) => connection,
                // Boxed, so that a request on an open connection holds no room for making one.
                None => match Box::pin(self.connect(base, limits)).await? {
                    Connected::Http1(connection) => connection,
                    Connected::Http2(http2) => {
                        let answer = Box::pin(http2.send(requests.make()?, limits));
                        return answer.await;
                    }
                },
            };
            let answer = connection.send(requests.make()?, limits, Arc::clone(self));
            match answer.await {
                Err(error) if reused && error.nothing_came && !error.client_broke => may_reuse = false,
                answer => return answer,
            }
        }
    }

    async fn connect(&self, base: &BaseUrl, limits: Limits) -> Result<Connected, SendError> {
        let timeout = || SendError::new(Phase::Connect, FaultKind::Timeout, "connecting took too long");
        tokio::time::timeout(limits.connect, async {
            let stream =
                self.connector.connect(base, limits.connect, self.http, &self.tasks, &self.cancel).await?;
            if stream.is_http2 {
                let http2 = Http2::handshake(stream, &self.tasks, &self.cancel).await?;
                let mut all = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|(url, http2)| {
                    url.authority() != base.authority() && http2.is_usable(clock::now())
                });
                all.push((base.clone(), http2.clone()));
                Ok(Connected::Http2(http2))
            } else {
                Connection::handshake(stream, base).await.map(Connected::Http1)
            }
        })
        .await
        .unwrap_or_else(|_| Err(timeout()))
    }

    fn live_http2(&self, base: &BaseUrl) -> Option<Http2> {
        if self.http == UpstreamHttp::Http1 {
            return None;
        }
        let mut all = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, http2)| http2.is_usable(clock::now()));
        all.iter().find(|(url, _)| url.authority() == base.authority()).map(|(_, http2)| http2.clone())
    }

    fn drop_http2(&self, base: &BaseUrl) {
        let mut all = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(url, _)| url.authority() != base.authority());
    }

    fn take_idle(&self, base: &BaseUrl) -> Option<Box<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take(base, clock::now())
    }

    fn keep(&self, connection: Box<Connection>) {
        if !self.cancel.is_cancelled() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).keep(connection, clock::now());
        }
    }

    /// Closes connections that stood idle for too long, until cancelled.
    pub async fn reap(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => break,
                () = tokio::time::sleep(REAP_EVERY) => {}
            }
            let now = clock::now();
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).reap(now);
            let mut http2 = self.http2.lock().unwrap_or_else(PoisonError::into_inner);
            http2.retain(|(_, http2)| http2.is_usable(now));
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What makes a request, as often as it has to be sent.
pub trait Requests {
    /// Whether it can be sent more than once.
    fn can_repeat(&self) -> bool;

    /// The request. It is made when there is a connection for it.
    ///
    /// # Errors
    /// When no request can be made of it, or its body is gone.
    fn make(&mut self) -> Result<Request<RequestBody>, SendError>;
}

/// A request without a body can be made at any time.
impl<F: FnMut() -> http::Result<Request<()>>> Requests for F {
    fn can_repeat(&self) -> bool {
        true
    }

    fn make(&mut self) -> Result<Request<RequestBody>, SendError> {
        let request =
            self().map_err(|error| SendError::new(Phase::Send, FaultKind::Protocol, error.to_string()))?;
        Ok(request.map(|()| RequestBody::empty()))
    }
}

enum Connected {
    Http1(Box<Connection>),
    Http2(Http2),
}
