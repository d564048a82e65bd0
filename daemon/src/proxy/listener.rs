//! The proxy's listener: accepts, serves, drains.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use kmid_config::settings::{ListenAddr, Settings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cancelled::Cancelled;
use super::door::Visitor;
use super::server_tls::Certificate;
pub use super::server_tls::TlsError;
use super::tap::ProxyBody;
use super::{Proxy, exchange, linger, rewrite};
use crate::open_files;
use crate::peer_watch::watch_over;
use crate::pulse::Pulse;
use crate::upstream::client_body::Unread;
use crate::upstream::simulator;

/// As many as hyper's parser has room for without an allocation.
const USUAL_HEADERS: usize = 100;
/// hyper's buffers grow no further.
const MOST_BUFFERED: usize = 64 * 1024;
/// A request may be under way on a connection that looks idle when a drain begins, the first one above all: it has so
/// long to arrive. Closed at once, it would be lost.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// The same after a handover, when the connection is closed with an answer (`Connection: close`).
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// Pause after an accept error such as EMFILE: until descriptors are free there is nothing to do.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After an error it has recovered when none came for so long.
const CALM: Duration = Duration::from_secs(1);

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
    /// Binds the address of the settings, or takes the listener that is bound to it already; with a certificate it
    /// speaks TLS.
    ///
    /// # Errors
    /// When the address or the certificate cannot be used.
    pub async fn bind(
        listen: &ListenAddr,
        certificate: Option<&Arc<Certificate>>,
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
        let tls = certificate.map(|found| found.server_config(&[b"h2", b"http/1.1"])).transpose()?;
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
        // Polled with every step of a request: without the dice that say who is asked first.
        tokio::select! {
            biased;
            () = Cancelled::of(&self.drain) => tokio::time::sleep(LAST_WORDS).await,
            () = Cancelled::of(&self.leave) => tokio::time::sleep(LAST_REQUEST).await,
        }
    }
}

/// Serves until drained or aborted; returns when no connection is left. `pulse` answers while connections are accepted.
pub async fn serve(bound: Bound, proxy: Arc<Proxy>, ending: Ending, pulse: Pulse) {
    let connections = TaskTracker::new();
    let settings = proxy.settings.load_full();
    let room = Arc::new(Semaphore::new(open_files::room(settings.proxy_max_connections)));
    let exposure = settings.exposure(bound.addr.ip());
    drop(settings);
    let mut failed: Option<Instant> = None;
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
                if failed.replace(Instant::now()).is_none() {
                    tracing::error!(%error, "proxy_accept_failed");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // One descriptor that came free in between is no recovery.
        if failed.take_if(|at| at.elapsed() >= CALM).is_some() {
            tracing::info!("proxy_accept_recovered");
        }
        let settings = proxy.settings.load_full();
        let visitor = Visitor::new(peer.ip(), exposure, &settings);
        let Some(peer_place) = let_connect(&proxy, visitor, &settings) else { continue };
        let connection = Connection { proxy: Arc::clone(&proxy), visitor, settings, ending: ending.clone() };
        let tls = bound.tls.clone().map(|config| (config, connections.clone()));
        connections.spawn(async move {
            connection.serve(tcp, tls).await;
            drop((place, peer_place));
        });
    }
    drop(bound);
    connections.close();
    connections.wait().await;
}

/// A place for a connection of this peer. One that may not connect is closed without a word and noted.
fn let_connect(proxy: &Proxy, visitor: Visitor, settings: &Settings) -> Option<super::door::Place> {
    let refuse = |why: &'static str| {
        if proxy.door.note(visitor, why) {
            tracing::warn!(peer = %visitor.address, why, "proxy_unauthorized");
        }
    };
    if !visitor.exposure.lets_connect(visitor.address) {
        refuse("plain_text");
        return None;
    }
    let place = proxy.door.enter(visitor, settings.proxy_max_connections_per_peer);
    if place.is_none() {
        refuse("too_many_connections");
    }
    place
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
pub(super) struct Answers {
    proxy: Arc<Proxy>,
    visitor: Visitor,
    leave: CancellationToken,
    heard: Heard,
}

/// What a connection's requests were like, for its end.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard {
    /// Its client speaks HTTP/1.0.
    is_http10: Arc<AtomicBool>,
    unread: Unread,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    // Boxed, so that a connection that waits for its next request holds no room for it.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (proxy, visitor) = (Arc::clone(&self.proxy), self.visitor);
        let leave = self.leave.clone();
        let closes = request.version() <= Version::HTTP_11;
        let simulated = proxy.upstream.is_simulated();
        if request.version() == Version::HTTP_10 {
            self.heard.is_http10.store(true, Ordering::Relaxed);
        }
        let unread = self.heard.unread.clone();
        unread.begins(request.body());
        let (parts, body) = request.into_parts();
        // Boxed: the head goes from hand to hand on its request's way.
        let parts = Box::new(parts);
        Box::pin(async move {
            let mut answer = exchange::handle(proxy, parts, body, visitor, unread.clone()).await;
            // The answer to a load balancer says nothing of this.
            if simulated && answer.headers().contains_key(rewrite::REQUEST_ID) {
                let name = HeaderName::from_static(simulator::DRY_RUN_HEADER);
                answer.headers_mut().insert(name, HeaderValue::from_static("true"));
            }
            // The client's next request goes to the process that took over, or would stand behind a body that nobody
            // reads any more.
            let is_cut = unread.is_left() && answer.headers().contains_key(rewrite::ORIGIN);
            if closes && (is_cut || leave.is_cancelled()) {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    }
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Good,
    /// With an answer to what was not HTTP, or too much of it.
    Malformed,
    Broke,
}

pub(super) struct Connection {
    pub(super) proxy: Arc<Proxy>,
    pub(super) visitor: Visitor,
    /// Those in force when it was accepted.
    settings: Arc<Settings>,
    pub(super) ending: Ending,
}

impl Connection {
    async fn serve(self, tcp: TcpStream, tls: Option<(Arc<rustls::ServerConfig>, TaskTracker)>) {
        // Events are small and must not wait for each other.
        let _ = tcp.set_nodelay(true);
        if !self.visitor.is_shared() {
            watch_over(&tcp, self.settings.proxy_client_idle);
        }
        let Some((tls, tasks)) = tls else {
            return self.serve_http1(tcp, |tcp| drop(tcp.set_zero_linger())).await;
        };
        // Boxed, so that plain connections hold no room for TLS ones.
        Box::pin(self.accept_tls(tcp, tls, tasks)).await;
    }

    async fn accept_tls(self, tcp: TcpStream, tls: Arc<rustls::ServerConfig>, tasks: TaskTracker) {
        let settings = Arc::clone(&self.settings);
        // Without a handshake there is no request that a drain would have to wait for.
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(settings.proxy_header_time, TlsAcceptor::from(tls).accept(tcp)) => handshake,
            () = self.ending.drain.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                self.serve_http2(stream, tasks, &settings).await;
            }
            // TLS has an end of its own: without it, its client takes nothing for complete.
            Ok(Ok(stream)) => self.serve_http1(stream, |_| ()).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer(), %error, "proxy_tls_failed"),
            Err(_) => tracing::debug!(peer = %self.peer(), "proxy_tls_timeout"),
        }
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.visitor.address
    }

    pub(super) fn answers(&self, heard: &Heard) -> Answers {
        let (proxy, leave) = (Arc::clone(&self.proxy), self.ending.leave.clone());
        Answers { proxy, visitor: self.visitor, leave, heard: heard.clone() }
    }

    /// `reset` makes the end of a connection a reset. In HTTP/1.0 the end of a body is that of its connection: one that
    /// broke off would be taken for complete.
    async fn serve_http1<S>(self, stream: S, reset: impl FnOnce(&S))
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let most = self.settings.proxy_max_header as usize;
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.proxy_header_time)
            .preserve_header_case(true)
            .max_buf_size(MOST_BUFFERED.max(most))
            .max_header_size(most);
        // Where it says nothing new, it is not said.
        if self.settings.proxy_max_headers != USUAL_HEADERS {
            builder.max_headers(self.settings.proxy_max_headers);
        }
        let heard = Heard::default();
        let mut connection = builder.serve_connection(TokioIo::new(stream), self.answers(&heard));
        let ended = self.run(Pin::new(&mut connection)).await;
        if ended != End::Good && heard.is_http10.load(Ordering::Relaxed) {
            reset(connection.into_parts().io.inner());
        } else if ended == End::Malformed || (ended == End::Good && heard.unread.is_left()) {
            let stream = connection.into_parts().io.into_inner();
            // Boxed, as it is the exception.
            Box::pin(linger::let_read(stream, &self.ending)).await;
        }
    }

    async fn run<C>(&self, mut connection: Pin<&mut C>) -> End
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        // The connection comes first: bytes that have arrived are read before a drain closes what looks idle.
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = Cancelled::of(&self.ending.abort) => {
                self.proxy.state.cut_off();
                return End::Broke;
            }
            () = self.ending.drained() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.ending.abort.cancelled() => {
                        self.proxy.state.cut_off();
                        return End::Broke;
                    }
                }
            }
        };
        if let Err(error) = &ended {
            tracing::debug!(peer = %self.peer(), %error, "a client's connection ended");
        }
        match ended {
            Ok(()) => End::Good,
            Err(error) if error.is_parse() => End::Malformed,
            Err(_) => End::Broke,
        }
    }
}
