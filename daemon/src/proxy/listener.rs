//! The proxy's listener: accepts, serves, drains.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use kmid_config::settings::{ListenAddr, TlsFiles};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cancelled::Cancelled;
pub use super::server_tls::TlsError;
use super::tap::ProxyBody;
use super::{Proxy, exchange, server_tls};
use crate::pulse::Pulse;

/// Most connections at a time; more wait in the system's queue.
const MOST_CONNECTIONS: usize = 4096;
/// A client has so long for a request's head, and for a TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// hyper's buffers grow no further.
const MOST_BUFFERED: usize = 64 * 1024;
/// A request may be under way on a connection that looks idle when a drain begins, the first one above all: it has so
/// long to arrive. Closed at once, it would be lost.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The same after a handover, when the connection is closed with an answer (`Connection: close`).
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// Pause after an accept error such as EMFILE: until descriptors are free there is nothing to do.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Why the proxy cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is in use or not this machine's.
    #[error("the proxy cannot listen on {host}:{port}: {why}")]
    Address {
        /// KMI_PROXY_LISTEN's host
        host: String,
        /// and port
        port: u16,
        /// What the system says, and what to do.
        why: String,
    },
    /// The metrics' address is in use or not this machine's.
    #[error(
        "the metrics cannot listen on {host}:{port}: {why}; choose another KMI_METRICS_LISTEN or leave it empty"
    )]
    Metrics {
        /// KMI_METRICS_LISTEN's host
        host: String,
        /// and port
        port: u16,
        /// What the system says.
        why: String,
    },
    /// Its TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Bound {
    /// Binds the address of the settings, or takes the listener that is bound to it already.
    ///
    /// # Errors
    /// When the address or the TLS files cannot be used.
    pub async fn bind(
        listen: &ListenAddr,
        tls: Option<&TlsFiles>,
        inherited: Option<std::net::TcpListener>,
    ) -> Result<Self, BindError> {
        let failed = |error: &io::Error| BindError::Address {
            host: listen.host.clone(),
            port: listen.port,
            why: match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program listens there; end it or choose another port with KMI_PROXY_LISTEN"
                        .to_owned()
                }
                io::ErrorKind::PermissionDenied => "not allowed; choose a port above 1023".to_owned(),
                _ => error.to_string(),
            },
        };
        let tls = match tls {
            Some(files) => Some(server_tls::server_config(&files.cert, &files.key)?),
            None => None,
        };
        let listener = bind_tcp(listen, inherited).await.map_err(|error| failed(&error))?;
        let addr = listener.local_addr().map_err(|error| failed(&error))?;
        Ok(Self { listener, addr, tls })
    }

    /// The address that is bound.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(unix)]
impl Bound {
    /// The socket once more, for a successor.
    ///
    /// # Errors
    /// As the system says.
    pub fn copy(&self) -> io::Result<std::os::fd::OwnedFd> {
        std::os::fd::AsFd::as_fd(&self.listener).try_clone_to_owned()
    }
}

/// A listener of the address; `inherited` is one that has been checked to be it (`crate::inherited`).
pub(crate) async fn bind_tcp(
    listen: &ListenAddr,
    inherited: Option<std::net::TcpListener>,
) -> io::Result<TcpListener> {
    if let Some(listener) = inherited {
        listener.set_nonblocking(true)?;
        return TcpListener::from_std(listener);
    }
    TcpListener::bind((listen.host.trim_matches(['[', ']']), listen.port)).await
}

/// How the listener ends: `leave` and `drain` stops accepting and lets requests in flight finish, `abort` cuts them off.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// No new requests.
    pub drain: CancellationToken,
    /// No requests at all.
    pub abort: CancellationToken,
    /// Another process accepts from here on; this one answers on the connections that it has.
    pub leave: CancellationToken,
}

impl Ending {
    /// Some time after the drain began, or after another process took over: a connection is closed with the next
    /// answer then, and one without a request has longer to bring one.
    async fn drained(&self) {
        tokio::select! {
            () = Cancelled::of(&self.drain) => tokio::time::sleep(LAST_WORDS).await,
            () = Cancelled::of(&self.leave) => tokio::time::sleep(LAST_REQUEST).await,
        }
    }
}

/// Serves until drained or aborted; returns when no connection is left. `pulse` answers while connections are accepted.
pub async fn serve(bound: Bound, proxy: Arc<Proxy>, ending: Ending, pulse: Pulse) {
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            () = ending.drain.cancelled() => break,
            () = ending.abort.cancelled() => break,
            () = ending.leave.cancelled() => break,
            () = pulse.beat() => continue,
            accepted = accept(&bound.listener, &room) => accepted,
        };
        let (tcp, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "proxy_accept_failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if std::mem::take(&mut failing) {
            tracing::info!("proxy_accept_recovered");
        }
        let connection = Connection {
            proxy: Arc::clone(&proxy),
            loopback: bound.addr.ip().to_canonical().is_loopback(),
            peer,
            ending: ending.clone(),
        };
        let tls = bound.tls.clone();
        connections.spawn(async move {
            connection.serve(tcp, tls).await;
            drop(place);
        });
    }
    drop(bound);
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, peer) = listener.accept().await?;
    Ok((tcp, peer, place))
}

/// What answers the requests of a connection.
struct Answers {
    proxy: Arc<Proxy>,
    loopback: bool,
    leave: CancellationToken,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    // Boxed, so that a connection that waits for its next request holds no room for it.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (proxy, loopback) = (Arc::clone(&self.proxy), self.loopback);
        let leave = self.leave.clone();
        let closes = request.version() <= Version::HTTP_11;
        Box::pin(async move {
            let mut answer = exchange::handle(proxy, request, loopback).await;
            // The client's next request goes to the process that took over.
            if closes && leave.is_cancelled() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    }
}

struct Connection {
    proxy: Arc<Proxy>,
    loopback: bool,
    peer: SocketAddr,
    ending: Ending,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) {
        // Events are small and must not wait for each other.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = tls else { return self.serve_http1(tcp).await };
        // Boxed, so that plain connections hold no room for TLS ones.
        Box::pin(self.accept_tls(tcp, tls)).await;
    }

    async fn accept_tls(self, tcp: TcpStream, tls: Arc<rustls::ServerConfig>) {
        // Without a handshake there is no request that a drain would have to wait for.
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HEAD_TIMEOUT, TlsAcceptor::from(tls).accept(tcp)) => handshake,
            () = self.ending.drain.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.serve_tls(stream).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "proxy_tls_failed"),
            Err(_) => tracing::debug!(peer = %self.peer, "proxy_tls_timeout"),
        }
    }

    fn service(&self) -> Answers {
        Answers { proxy: Arc::clone(&self.proxy), loopback: self.loopback, leave: self.ending.leave.clone() }
    }

    async fn serve_http1(self, tcp: TcpStream) {
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .preserve_header_case(true)
            .max_buf_size(MOST_BUFFERED)
            .serve_connection(TokioIo::new(tcp), self.service());
        self.run(connection).await;
    }

    async fn serve_tls(self, stream: tokio_rustls::server::TlsStream<TcpStream>) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .preserve_header_case(true)
            .max_buf_size(MOST_BUFFERED);
        builder.http2().timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(stream), self.service()).into_owned();
        self.run(connection).await;
    }

    async fn run<C: GracefulConnection>(&self, connection: C)
    where
        C::Error: std::fmt::Display,
    {
        let mut connection = std::pin::pin!(connection);
        // The connection comes first: bytes that have arrived are read before a drain closes what looks idle.
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = Cancelled::of(&self.ending.abort) => return self.proxy.state.cut_off(),
            () = self.ending.drained() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.ending.abort.cancelled() => return self.proxy.state.cut_off(),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer, %error, "a client's connection ended");
        }
    }
}
