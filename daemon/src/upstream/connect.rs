//! Opening a connection: TCP (through `HTTPS_PROXY` where set) and TLS, or a pipe to the simulator.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use kmid_config::settings::UpstreamHttp;
use kmid_core::key::BaseUrl;
use kmid_core::outcome::{FaultKind, Phase};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::fault::{BoxError, SendError};
use super::simulator::Simulator;
use super::{lack, tls};
use crate::peer_watch::watch_over;

/// The pipe between the proxy and the simulator holds so much.
const PIPE_BYTES: usize = 64 * 1024;
/// A connection on which the other end's system acknowledges nothing, or takes nothing of what waits, for so long is over: after a sleep, or a change of
/// the network, nobody says so. A model may be silent for minutes; its machine still acknowledges.
const LONGEST_UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Where connections lead.
pub enum Connector {
    /// To the API over TLS.
    Tls {
        /// Set on first use, as reading the roots takes a while.
        config: OnceCell<Arc<rustls::ClientConfig>>,
        /// Which hosts go through a proxy.
        proxies: Box<Matcher>,
    },
    /// To the simulator inside this process.
    Simulated(Arc<Simulator>),
}

/// An open connection that counts the bytes it moved.
pub(crate) struct Stream {
    io: Box<dyn Io>,
    pub(crate) is_http2: bool,
    pub(crate) moved: Arc<Moved>,
    /// Nothing can be written any more; what there is to be read says why.
    deaf: bool,
}

/// Bytes that went over a connection.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    read: AtomicU64,
    written: AtomicU64,
}

impl Moved {
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> u64 {
        self.read().wrapping_add(self.written.load(Ordering::Relaxed))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_simulated() { "Simulated" } else { "Tls" })
    }
}

impl Connector {
    /// Over TLS, with the proxies of the settings.
    #[must_use]
    pub fn tls(https_proxy: Option<&str>, no_proxy: Option<&str>) -> Self {
        let proxies = Matcher::builder()
            .https(https_proxy.unwrap_or_default().to_owned())
            .no(no_proxy.unwrap_or_default().to_owned())
            .build();
        Self::Tls { config: OnceCell::new(), proxies: Box::new(proxies) }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated(_))
    }

    pub(crate) async fn connect(
        &self,
        base: &BaseUrl,
        longest: Duration,
        http: UpstreamHttp,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Stream, SendError> {
        match self {
            Self::Simulated(simulator) => {
                let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                tasks.spawn(Arc::clone(simulator).serve(theirs, cancel.clone()));
                Ok(Stream::new(ours, false))
            }
            Self::Tls { config, proxies } => {
                let config = config.get_or_try_init(|| load_tls(http)).await.map_err(|error| {
                    let kind = if lack::is_full() { FaultKind::NoRoom } else { FaultKind::Tls };
                    SendError::new(Phase::Connect, kind, error)
                })?;
                let tcp = connect_tcp(base, proxies, longest).await?;
                handshake(tcp, base, http, config).await
            }
        }
    }
}

async fn load_tls(http: UpstreamHttp) -> Result<Arc<rustls::ClientConfig>, BoxError> {
    let mut config = tokio::task::spawn_blocking(tls::client_config).await??;
    config.alpn_protocols = match http {
        UpstreamHttp::Http1 => vec![b"http/1.1".to_vec()],
        UpstreamHttp::Http2 => vec![b"h2".to_vec()],
        UpstreamHttp::Auto => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

async fn connect_tcp(base: &BaseUrl, proxies: &Matcher, longest: Duration) -> Result<TcpStream, SendError> {
    let target: Uri =
        format!("https://{}:{}", base.host(), base.port()).parse().map_err(SendError::of_connect)?;
    let mut tcp = tcp_connector(GaiResolver::new(), longest);
    let io = match proxies.intercept(&target) {
        None => tcp.call(target).await.map_err(SendError::of_connect)?,
        Some(proxy) => {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
            if let Some(auth) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(auth.clone());
            }
            tunnel.call(target).await.map_err(SendError::of_connect)?
        }
    };
    let tcp = io.into_inner();
    watch_over(&tcp, LONGEST_UNACKNOWLEDGED);
    Ok(tcp)
}

/// Connects to the addresses of a name. They share the time, so that a dead one does not use up that of the others.
fn tcp_connector<R>(names: R, longest: Duration) -> HttpConnector<R> {
    let mut tcp = HttpConnector::new_with_resolver(names);
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(longest));
    tcp
}

async fn handshake(
    tcp: TcpStream,
    base: &BaseUrl,
    http: UpstreamHttp,
    config: &Arc<rustls::ClientConfig>,
) -> Result<Stream, SendError> {
    let name = base.host().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(SendError::of_connect)?;
    let tls =
        TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(SendError::of_connect)?;
    let chose_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    if http == UpstreamHttp::Http2 && !chose_http2 {
        let what = "the upstream does not speak HTTP/2; set KMI_UPSTREAM_HTTP=1.1 or auto";
        return Err(SendError::new(Phase::Connect, FaultKind::Protocol, what));
    }
    Ok(Stream::new(tls, chose_http2))
}

impl Stream {
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, is_http2: bool) -> Self {
        Self { io: Box::new(io), is_http2, moved: Arc::default(), deaf: false }
    }

    pub(crate) fn into_hyper(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let answer = Pin::new(&mut self.io).poll_read(cx, buf);
        self.moved.read.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
        answer
    }
}

impl Stream {
    /// A server may answer before it has read the whole request, and close. The write that then fails must not end
    /// the connection while that answer waits to be read: it stays pending, and the reading side, which is never
    /// pending on a broken connection, ends it with the answer or with its own error.
    fn written<T>(&mut self, answer: Poll<std::io::Result<T>>, cx: &Context<'_>) -> Poll<std::io::Result<T>> {
        if let Poll::Ready(Err(error)) = answer {
            tracing::debug!(%error, "writing to the upstream failed");
            self.deaf = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        answer
    }

    fn count(&self, answer: Poll<std::io::Result<usize>>) -> Poll<std::io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = answer {
            self.moved.written.fetch_add(count as u64, Ordering::Relaxed);
        }
        answer
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let answer = Pin::new(&mut self.io).poll_write(cx, buf);
        let answer = self.count(answer);
        self.written(answer, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let answer = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        let answer = self.count(answer);
        self.written(answer, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.deaf {
            return Poll::Pending;
        }
        let answer = Pin::new(&mut self.io).poll_flush(cx);
        self.written(answer, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::net::SocketAddr;

    use hyper_util::client::legacy::connect::dns::Name;
    use rustix::net::sockopt;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_system_watches_over_a_connection_to_the_api() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}/v1", listener.local_addr().unwrap());
        let proxies = Matcher::builder().build();
        let longest = Duration::from_secs(10);
        let tcp = connect_tcp(&BaseUrl::parse(&base).unwrap(), &proxies, longest).await.unwrap();
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&tcp).unwrap(), 60_000);
    }

    #[tokio::test]
    async fn a_dead_address_leaves_time_for_the_next_one() {
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = alive.local_addr().unwrap().port();
        // Nobody accepts there: once its queue is full, the system drops what comes.
        let dead = tokio::net::TcpSocket::new_v4().unwrap();
        dead.bind(([127, 0, 0, 2], port).into()).unwrap();
        let dead = dead.listen(1).unwrap();
        let address = dead.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(connected) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            filling.push(connected.unwrap());
            assert!(filling.len() < 8, "its queue has no end");
        }
        let names = Names(vec![address, alive.local_addr().unwrap()]);
        let longest = Duration::from_secs(2);
        let mut tcp = tcp_connector(names, longest);
        let target = format!("https://two.example:{port}").parse().unwrap();
        let connected =
            timeout(longest, tcp.call(target)).await.expect("the dead one took all the time").unwrap();
        assert_eq!(connected.inner().peer_addr().unwrap(), alive.local_addr().unwrap());
    }

    /// Every name has these addresses.
    #[derive(Clone)]
    struct Names(Vec<SocketAddr>);

    impl Service<Name> for Names {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _name: Name) -> Self::Future {
            std::future::ready(Ok(self.0.clone().into_iter()))
        }
    }
}
