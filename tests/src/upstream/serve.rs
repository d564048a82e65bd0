//! Connections and requests over HTTP/1.1.

use std::future::Future;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::seen::Record;
use super::{Ended, Ending, Script, Seen, http2, play};
use crate::http1::{Framing, Wire};

type Stream = TlsStream<TcpStream>;

/// Serves connections until it is dropped.
pub(super) async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    script: Arc<Script>,
    record: Arc<Record>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (acceptor, script, record) = (acceptor.clone(), script.clone(), record.clone());
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            // A client that does not trust us, or that gives up, is its own affair.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let number = record.connected();
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                http2::serve(stream, number, script, record).await;
            } else {
                serve(stream, number, &script, &record).await;
            }
        });
    }
}

async fn serve(stream: Stream, number: u64, script: &Script, record: &Record) {
    let (read, mut write) = tokio::io::split(stream);
    let mut wire = Wire::new(read);
    // A head that is cut off or is not HTTP ends the connection like a proper end.
    while let Ok(Some(head)) = wire.request_head().await {
        let seen = record.arrived(number, false, head);
        let ending = exchange(&mut wire, &mut write, script, &seen).await;
        match ending {
            Ok(Ending::KeepAlive) => seen.end(Ended::Answered),
            Ok(Ending::Reset | Ending::ResetBeforeHead) => {
                seen.end(Ended::BrokenOff);
                let stream: Stream = wire.into_inner().unsplit(write);
                let _ = stream.get_ref().0.set_zero_linger();
                return;
            }
            Ok(Ending::Close) => {
                seen.end(Ended::Answered);
                break;
            }
            Ok(Ending::CloseBeforeHead | Ending::Stall) => {
                seen.end(Ended::BrokenOff);
                break;
            }
            Err(_) => {
                seen.end(Ended::ClientLeft);
                return;
            }
        }
    }
    let _ = write.shutdown().await;
}

/// One request; an error means that the client left.
async fn exchange(
    wire: &mut Wire<ReadHalf<Stream>>,
    write: &mut WriteHalf<Stream>,
    script: &Script,
    seen: &Seen,
) -> io::Result<Ending> {
    let queued = script.queued(seen);
    let mut framing = seen.head.framing();
    let reads = queued.as_ref().is_none_or(|reply| reply.read_body_first);
    if reads {
        if seen.head.fields.lists("expect", "100-continue") {
            write.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            write.flush().await?;
        }
        let body = read_body(wire, &mut framing).await?;
        seen.body_arrived(body);
    }
    let reply = queued.unwrap_or_else(|| script.answer(seen));
    let ending = reply.ending;
    if reads {
        or_left(wire, play::play(write, reply, &seen.head.method)).await??;
    } else {
        // What comes now is the request's body, not the client's leaving; it is read once the answer is out.
        play::play(write, reply, &seen.head.method).await?;
        if ending == Ending::KeepAlive {
            let body = read_body(wire, &mut framing).await?;
            seen.body_arrived(body);
        }
    }
    if ending == Ending::Stall {
        or_left(wire, std::future::pending::<()>()).await?;
    }
    Ok(ending)
}

async fn read_body(wire: &mut Wire<ReadHalf<Stream>>, framing: &mut Framing) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    while let Some(piece) = wire.piece(framing).await? {
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

/// Runs `work` unless the client leaves first.
async fn or_left<R: AsyncRead + Unpin, T>(
    wire: &mut Wire<R>,
    work: impl Future<Output = T>,
) -> io::Result<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            arrived = wire.fill() => if !arrived? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            },
        }
    }
}
