//! One side's reader of an HTTP/1.1 connection.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Fields;

/// A request's first line and fields.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// As sent.
    pub method: String,
    /// The target exactly as sent, query included.
    pub target: String,
    /// As sent.
    pub fields: Fields,
}

/// A response's first line and fields.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Status code.
    pub status: u16,
    /// As sent.
    pub reason: String,
    /// As sent.
    pub fields: Fields,
}

/// How a body is delimited, and how much of it is still to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// No body, or all of it has been read.
    Done,
    /// So many bytes are left.
    Length(u64),
    /// The next thing is a chunk's size line; the flag says that a chunk's line end comes first.
    ChunkSize(bool),
    /// So many bytes are left in this chunk.
    ChunkData(u64),
    /// The last chunk has come, its trailers have not.
    Trailers,
    /// Up to the connection's end.
    ToEnd,
}

/// Reads heads and bodies from one connection. Every method may be dropped and called again without loss.
#[derive(Debug)]
pub struct Wire<R> {
    io: R,
    buf: BytesMut,
    /// Trailers of the body read last.
    pub trailers: Fields,
}

/// Enough for any head that these tests send.
const MOST_FIELDS: usize = 128;

impl<R: AsyncRead + Unpin> Wire<R> {
    /// Reads from `io`.
    pub fn new(io: R) -> Self {
        Self { io, buf: BytesMut::new(), trailers: Fields::default() }
    }

    /// The connection itself; bytes read ahead are lost.
    pub fn into_inner(self) -> R {
        self.io
    }

    /// The connection itself, for writing.
    pub fn io(&mut self) -> &mut R {
        &mut self.io
    }

    /// Reads what has arrived into the buffer; `false` at the connection's end.
    ///
    /// # Errors
    /// What reading fails with, for example a reset.
    pub async fn fill(&mut self) -> io::Result<bool> {
        self.buf.reserve(16 * 1024);
        Ok(self.io.read_buf(&mut self.buf).await? > 0)
    }

    /// The next request head; `None` when the connection ended before its first byte.
    ///
    /// # Errors
    /// When the head is not HTTP or is cut off.
    pub async fn request_head(&mut self) -> io::Result<Option<RequestHead>> {
        loop {
            if let Some(head) = self.parse_request()? {
                return Ok(Some(head));
            }
            if !self.fill().await? {
                return if self.buf.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn parse_request(&mut self) -> io::Result<Option<RequestHead>> {
        let mut slots = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Request::new(&mut slots);
        let httparse::Status::Complete(length) = parsed.parse(&self.buf).map_err(not_http)? else {
            return Ok(None);
        };
        let head = RequestHead {
            method: parsed.method.unwrap_or_default().to_owned(),
            target: parsed.path.unwrap_or_default().to_owned(),
            fields: Fields::from_parsed(parsed.headers),
        };
        self.buf.advance(length);
        Ok(Some(head))
    }

    /// The next response head, interim ones (1xx) included.
    ///
    /// # Errors
    /// When the head is not HTTP, is cut off or never comes.
    pub async fn response_head(&mut self) -> io::Result<ResponseHead> {
        loop {
            if let Some(head) = self.parse_response()? {
                return Ok(head);
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn parse_response(&mut self) -> io::Result<Option<ResponseHead>> {
        let mut slots = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut parsed = httparse::Response::new(&mut slots);
        let httparse::Status::Complete(length) = parsed.parse(&self.buf).map_err(not_http)? else {
            return Ok(None);
        };
        let head = ResponseHead {
            status: parsed.code.unwrap_or_default(),
            reason: parsed.reason.unwrap_or_default().to_owned(),
            fields: Fields::from_parsed(parsed.headers),
        };
        self.buf.advance(length);
        Ok(Some(head))
    }

    /// The body bytes that have arrived, at least one; `None` at the body's proper end.
    ///
    /// # Errors
    /// When the connection ends or fails before the body does.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.take(framing)? {
                return Ok(Some(piece));
            }
            if *framing == Framing::Done {
                return Ok(None);
            }
            if !self.fill().await? {
                if *framing == Framing::ToEnd {
                    *framing = Framing::Done;
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Takes body bytes out of the buffer, going through chunk lines; `None` when more must be read.
    fn take(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        loop {
            match *framing {
                Framing::Done => return Ok(None),
                Framing::Length(0) => *framing = Framing::Done,
                Framing::ChunkData(0) => *framing = Framing::ChunkSize(true),
                Framing::Length(left) => {
                    let Some(piece) = self.split(left) else { return Ok(None) };
                    *framing = Framing::Length(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::ChunkData(left) => {
                    let Some(piece) = self.split(left) else { return Ok(None) };
                    *framing = Framing::ChunkData(left - piece.len() as u64);
                    return Ok(Some(piece));
                }
                Framing::ToEnd => return Ok(self.split(u64::MAX)),
                Framing::ChunkSize(true) => match self.line() {
                    Some(line) if line.is_empty() => *framing = Framing::ChunkSize(false),
                    Some(_) => return Err(not_http("a chunk is longer than its size")),
                    None => return Ok(None),
                },
                Framing::ChunkSize(false) => {
                    let Some(line) = self.line() else { return Ok(None) };
                    let digits = line.split(|b| *b == b';').next().unwrap_or_default();
                    let text = std::str::from_utf8(digits).map_err(not_http)?.trim();
                    let size = u64::from_str_radix(text, 16).map_err(not_http)?;
                    *framing = if size == 0 { Framing::Trailers } else { Framing::ChunkData(size) };
                    self.trailers = Fields::default();
                }
                Framing::Trailers => {
                    let Some(line) = self.line() else { return Ok(None) };
                    if line.is_empty() {
                        *framing = Framing::Done;
                    } else {
                        let line = String::from_utf8_lossy(&line);
                        let (name, value) = line.split_once(':').ok_or_else(|| not_http("no colon"))?;
                        self.trailers.0.push((name.to_owned(), value.trim().to_owned()));
                    }
                }
            }
        }
    }

    /// Up to `most` buffered bytes, if there are any.
    fn split(&mut self, most: u64) -> Option<Bytes> {
        let n = self.buf.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        (n > 0).then(|| self.buf.split_to(n).freeze())
    }

    /// A buffered line without its end.
    fn line(&mut self) -> Option<Bytes> {
        let end = self.buf.windows(2).position(|w| w == b"\r\n")?;
        let line = self.buf.split_to(end).freeze();
        self.buf.advance(2);
        Some(line)
    }
}

impl RequestHead {
    /// How the request's body is delimited.
    #[must_use]
    pub fn framing(&self) -> Framing {
        if self.fields.lists("transfer-encoding", "chunked") {
            return Framing::ChunkSize(false);
        }
        match self.fields.get("content-length").and_then(|v| v.trim().parse().ok()) {
            Some(length) => Framing::Length(length),
            None => Framing::Done,
        }
    }
}

impl ResponseHead {
    /// How the response's body is delimited, given the request's method (RFC 9112, section 6.3).
    #[must_use]
    pub fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            return Framing::Done;
        }
        if self.fields.lists("transfer-encoding", "chunked") {
            return Framing::ChunkSize(false);
        }
        match self.fields.get("content-length").and_then(|v| v.trim().parse().ok()) {
            Some(length) => Framing::Length(length),
            None => Framing::ToEnd,
        }
    }
}

fn not_http<E: Into<Box<dyn std::error::Error + Send + Sync>>>(error: E) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
