//! The load generator: connections that are kept, and requests one after another on each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kmi_tests::http1::Wire;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::target::Target;
use super::upstream::{EVENTS, STAMP};

/// Plain or TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// What is sent.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Below the base path, query included.
    pub endpoint: &'static str,
    /// The request's body.
    pub body: Bytes,
    /// Whether the answer is an event stream with times in it.
    pub events: bool,
}

impl Shape {
    /// The bytes for one target.
    pub(crate) fn request(&self, target: &Target) -> Bytes {
        let mut request = format!(
            "POST {}{} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: KimiCLI/1.50.0\r\nAccept: application/json\r\n\
             Content-Type: application/json\r\nAuthorization: Bearer client\r\nX-Msh-Platform: kimi_cli\r\n\
             Content-Length: {}\r\n\r\n",
            target.path,
            self.endpoint,
            self.body.len()
        )
        .into_bytes();
        request.extend_from_slice(&self.body);
        request.into()
    }
}

/// What one run measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// From the first byte sent to the last received, a request.
    pub latencies: Vec<Duration>,
    /// From an event's sending by the upstream to its arrival.
    pub delays: Vec<Duration>,
}

/// Connections to one target, open over all rounds of a scenario.
pub(crate) struct Load {
    connections: Vec<Connection>,
}

struct Connection {
    wire: Wire<Box<dyn Io>>,
    request: Bytes,
    events: bool,
}

impl Load {
    /// Opens connections and sends one request on each, so that what is measured later is warm.
    pub(crate) async fn open(target: &Target, shape: &Shape, connections: usize) -> Self {
        let mut opening = JoinSet::new();
        for _ in 0..connections {
            let (target, shape) = (target.clone(), shape.clone());
            opening.spawn(async move {
                let mut connection = Connection::open(&target, &shape).await.unwrap();
                connection.once(&mut Measured::default()).await.unwrap();
                connection
            });
        }
        Self { connections: opening.join_all().await }
    }

    /// Sends so many requests over all connections.
    pub(crate) async fn run(&mut self, requests: usize) -> Measured {
        let left = Arc::new(AtomicUsize::new(requests));
        let mut running = JoinSet::new();
        for mut connection in self.connections.drain(..) {
            let left = left.clone();
            running.spawn(async move {
                let mut measured = Measured::default();
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    connection.once(&mut measured).await.unwrap();
                }
                (connection, measured)
            });
        }
        let mut all = Measured::default();
        for (connection, measured) in running.join_all().await {
            self.connections.push(connection);
            all.latencies.extend(measured.latencies);
            all.delays.extend(measured.delays);
        }
        assert_eq!(all.latencies.len(), requests);
        all
    }
}

/// Opens a TCP connection.
pub(crate) async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

impl Connection {
    async fn open(target: &Target, shape: &Shape) -> io::Result<Self> {
        let stream = tcp(target.address).await?;
        let io: Box<dyn Io> = match &target.tls {
            None => Box::new(stream),
            Some(config) => {
                let name = "localhost".try_into().map_err(io::Error::other)?;
                Box::new(TlsConnector::from(config.clone()).connect(name, stream).await?)
            }
        };
        Ok(Self { wire: Wire::new(io), request: shape.request(target), events: shape.events })
    }

    async fn once(&mut self, measured: &mut Measured) -> io::Result<()> {
        let started = Instant::now();
        self.wire.io().write_all(&self.request).await?;
        self.wire.io().flush().await?;
        let head = self.wire.response_head().await?;
        if head.status != 200 {
            return Err(io::Error::other(format!("status {}", head.status)));
        }
        let mut framing = head.framing("POST");
        let mut events = Events::default();
        while let Some(piece) = self.wire.piece(&mut framing).await? {
            if self.events {
                events.read(&piece, &mut measured.delays);
            }
        }
        measured.latencies.push(started.elapsed());
        if self.events && events.seen != EVENTS {
            return Err(io::Error::other(format!("{} events of {EVENTS}", events.seen)));
        }
        Ok(())
    }
}

/// Finds the times in a stream of events.
#[derive(Default)]
struct Events {
    rest: Vec<u8>,
    seen: usize,
}

impl Events {
    fn read(&mut self, piece: &[u8], delays: &mut Vec<Duration>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.rest.extend_from_slice(piece);
        let mut from = 0;
        while let Some(length) = self.rest[from..].windows(2).position(|w| w == b"\n\n") {
            let event = &self.rest[from..from + length];
            from += length + 2;
            if let Some(sent) = sent(event) {
                self.seen += 1;
                delays.push(now.saturating_sub(sent));
            }
        }
        self.rest.drain(..from);
    }
}

/// The time of an event's sending.
fn sent(event: &[u8]) -> Option<Duration> {
    let event = std::str::from_utf8(event).ok()?;
    let digits = &event[event.find(STAMP)? + STAMP.len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok().map(Duration::from_nanos)
}
