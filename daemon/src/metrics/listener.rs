//! The metrics' own small HTTP server: `GET /metrics`, and nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use kmid_config::settings::{ListenAddr, Settings};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Metrics;
use crate::proxy::admission::{self, NotAdmitted};
use crate::proxy::listener::{BindError, bind_tcp};
use crate::proxy::server_tls::Certificate;

/// Most connections at a time; a scraper needs one.
const MOST_CONNECTIONS: usize = 16;
/// A scraper has so long for its request, and a connection lives no longer than ten of them.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
    remote: bool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Debug, Clone)]
struct OwnDoor {
    loopback: bool,
    /// The tokens in force, where others can reach it.
    settings: Option<Arc<ArcSwap<Settings>>>,
}

impl Bound {
    /// Binds KMI_METRICS_LISTEN, or takes the listener that is bound to it already. What other machines can reach has the proxy's TLS and token, which the settings'
    /// rules require then.
    ///
    /// # Errors
    /// When the address or the TLS files cannot be used.
    pub async fn bind(
        listen: &ListenAddr,
        certificate: Option<&Arc<Certificate>>,
        inherited: Option<std::net::TcpListener>,
    ) -> Result<Self, BindError> {
        let failed = |error: io::Error| BindError::Metrics {
            host: listen.host.clone(),
            port: listen.port,
            why: error.to_string(),
        };
        let remote = !listen.is_loopback();
        let certificate = certificate.filter(|_| remote);
        // This server speaks HTTP/1.1 only.
        let tls = certificate.map(|found| found.server_config(&[b"http/1.1"])).transpose()?;
        let listener = bind_tcp(listen, inherited).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr, remote, tls })
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

/// Serves until cancelled.
pub async fn serve(
    bound: Bound,
    metrics: Arc<Metrics>,
    settings: Arc<ArcSwap<Settings>>,
    cancel: CancellationToken,
) {
    let settings = bound.remote.then_some(settings);
    let own_door = OwnDoor { loopback: bound.addr.ip().to_canonical().is_loopback(), settings };
    let connections = TaskTracker::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = accept(&bound.listener, &room) => accepted,
        };
        let Ok((tcp, place)) = accepted else {
            // Out of descriptors: the proxy's listener says so.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (metrics, door, tls, cancel) =
            (Arc::clone(&metrics), own_door.clone(), bound.tls.clone(), cancel.clone());
        connections.spawn(async move {
            let served = async {
                match tls {
                    None => connection(tcp, metrics, door).await,
                    Some(tls) => {
                        let accepted = TlsAcceptor::from(tls).accept(tcp);
                        if let Ok(Ok(stream)) = tokio::time::timeout(REQUEST_TIMEOUT, accepted).await {
                            connection(stream, metrics, door).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = cancel.cancelled() => {}
                _ = tokio::time::timeout(LONGEST_CONNECTION, served) => {}
            }
            drop(place);
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.map_err(io::Error::other)?;
    let (tcp, _) = listener.accept().await?;
    Ok((tcp, place))
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, metrics: Arc<Metrics>, door: OwnDoor) {
    let service = service_fn(|request| {
        let (metrics, door) = (Arc::clone(&metrics), door.clone());
        async move { Ok::<_, Infallible>(answer(&metrics, &door, &request).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the metrics ended");
    }
}

async fn answer(metrics: &Metrics, door: &OwnDoor, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let admitted =
        admission::admit(door.loopback, method, uri, headers).and_then(|()| match &door.settings {
            Some(settings) => admission::token(&settings.load().proxy_tokens, headers).map(|_| ()),
            None => Ok(()),
        });
    if let Err(why) = admitted {
        let status = if why == NotAdmitted::Token { StatusCode::UNAUTHORIZED } else { StatusCode::FORBIDDEN };
        return plain(status, "not for you; the metrics are read by this machine's own programs\n");
    }
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "nothing is here; the metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let mut response = Response::new(Full::from(metrics.text().await));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(super::CONTENT_TYPE));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
