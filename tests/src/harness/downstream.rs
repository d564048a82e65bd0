//! A client of the proxy that sends exactly what a test says and shows exactly what comes back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::net::sockopt::set_socket_linger;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::request::Request;
use super::wait::within;
use crate::http1::{Fields, Framing, ResponseHead, Wire};
use crate::upstream::tls;

/// How a response's body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As its framing promised.
    Proper,
    /// The connection broke before.
    Broken,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub fields: Fields,
    /// Body, without framing.
    pub body: Bytes,
    /// Trailer fields.
    pub trailers: Fields,
    /// How the body ended.
    pub end: End,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `error.type` of either wire.
    #[must_use]
    pub fn error_type(&self) -> String {
        self.json()["error"]["type"].as_str().unwrap_or_default().to_owned()
    }

    /// The label of the key that served it.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.fields.get("x-kmi-key")
    }

    /// Whether kmid made it itself.
    #[must_use]
    pub fn by_kmid(&self) -> bool {
        self.fields.get("x-kmi-origin") == Some("kmid")
    }
}

/// A connection to the proxy, or over TLS to whatever speaks it.
pub struct Connection {
    wire: Wire<Box<dyn AsyncRead + Send + Unpin>>,
    write: Box<dyn AsyncWrite + Send + Unpin>,
    socket: OwnedFd,
    method: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = tcp(address).await;
        let socket = stream.as_fd().try_clone_to_owned().unwrap();
        let (read, write) = split(stream);
        Self { wire: Wire::new(Box::new(read)), write: Box::new(write), socket, method: String::new() }
    }

    /// Connects with TLS to `localhost`.
    ///
    /// # Panics
    /// When nobody listens there, or its certificate is not of this authority.
    pub async fn open_tls(address: SocketAddr, ca_pem: &str) -> Self {
        Self::try_tls(address, tls::client_config(ca_pem)).await.unwrap()
    }

    /// Connects with TLS to `localhost`, as this client.
    ///
    /// # Errors
    /// When TLS does not come about.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn try_tls(address: SocketAddr, client: Arc<ClientConfig>) -> io::Result<Self> {
        let stream = tcp(address).await;
        let socket = stream.as_fd().try_clone_to_owned().unwrap();
        let connector = TlsConnector::from(client);
        let stream = within("TLS", connector.connect("localhost".try_into().unwrap(), stream)).await?;
        let (read, write) = split(stream);
        Ok(Self { wire: Wire::new(Box::new(read)), write: Box::new(write), socket, method: String::new() })
    }

    /// Sends a whole request. A server that answers early and closes is no failure here; the answer will tell.
    pub async fn send(&mut self, request: &Request) {
        self.method.clone_from(&request.method);
        let mut bytes = BytesMut::from(&request.head()[..]);
        bytes.extend_from_slice(&request.framed_body());
        let _ = self.send_raw(&bytes).await;
    }

    /// Sends a request's head only.
    pub async fn send_head(&mut self, request: &Request) {
        self.method.clone_from(&request.method);
        self.send_raw(&request.head()).await.unwrap();
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the other side is gone.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("the proxy to read", self.write.write_all(bytes)).await
    }

    /// The next head, interim ones included.
    ///
    /// # Errors
    /// When none comes.
    pub async fn any_head(&mut self) -> io::Result<ResponseHead> {
        within("a response head", self.wire.response_head()).await
    }

    /// The next final head.
    ///
    /// # Panics
    /// When none comes.
    pub async fn head(&mut self) -> ResponseHead {
        loop {
            let head = self.any_head().await.unwrap();
            if head.status >= 200 {
                return head;
            }
        }
    }

    /// The framing of the body that follows a head.
    #[must_use]
    pub fn framing(&self, head: &ResponseHead) -> Framing {
        head.framing(&self.method)
    }

    /// The body bytes that have arrived; `None` at its proper end.
    ///
    /// # Errors
    /// When the connection breaks first.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        within("body bytes", self.wire.piece(framing)).await
    }

    /// Reads exactly so many body bytes.
    ///
    /// # Panics
    /// When more or fewer come.
    pub async fn exactly(&mut self, framing: &mut Framing, length: usize) -> Bytes {
        let mut bytes = BytesMut::new();
        while bytes.len() < length {
            let piece = self.piece(framing).await.unwrap().unwrap_or_else(|| panic!("ended after {bytes:?}"));
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes.len(), length, "more came than was sent");
        bytes.freeze()
    }

    /// The rest of a response after its head.
    pub async fn rest(&mut self, head: ResponseHead) -> Answer {
        let mut framing = self.framing(&head);
        let chunked = framing == Framing::ChunkSize(false);
        let mut body = BytesMut::new();
        let end = loop {
            match self.piece(&mut framing).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) => break End::Proper,
                Err(_) => break End::Broken,
            }
        };
        let trailers = if chunked { std::mem::take(&mut self.wire.trailers) } else { Fields::default() };
        Answer { status: head.status, fields: head.fields, body: body.freeze(), trailers, end }
    }

    /// The next whole response.
    pub async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        self.rest(head).await
    }

    /// Sends a request and reads its whole response, at the same time: once a body is answered early, the rest of
    /// it is not sent.
    pub async fn exchange(&mut self, request: Request) -> Answer {
        self.method.clone_from(&request.method);
        let mut bytes = BytesMut::from(&request.head()[..]);
        bytes.extend_from_slice(&request.framed_body());
        let (write, wire) = (&mut self.write, &mut self.wire);
        let sending = async {
            // The answer tells when the server did not want all of it.
            let _ = write.write_all(&bytes).await;
        };
        let head = async {
            loop {
                match wire.response_head().await {
                    Ok(head) if head.status < 200 => {}
                    other => return other,
                }
            }
        };
        let receiving = async {
            tokio::pin!(sending, head);
            tokio::select! {
                head = &mut head => head,
                () = &mut sending => head.await,
            }
        };
        let head = within(format!("the answer to {} {}", request.method, request.target), receiving).await;
        let head = head.unwrap_or_else(|e| panic!("no answer to {} {}: {e}", request.method, request.target));
        self.rest(head).await
    }

    /// Whether the other side has closed; returns once it has, or sends something.
    pub async fn closed(&mut self) -> bool {
        matches!(within("the proxy to close", self.wire.fill()).await, Ok(false) | Err(_))
    }

    /// Closes in order, both directions.
    pub async fn close(mut self) {
        let _ = self.write.shutdown().await;
    }

    /// Resets the connection.
    ///
    /// # Panics
    /// When the socket refuses.
    pub fn reset(self) {
        set_socket_linger(&self.socket, Some(Duration::ZERO)).unwrap();
    }
}

async fn tcp(address: SocketAddr) -> TcpStream {
    let stream = within("a connection", TcpStream::connect(address)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
