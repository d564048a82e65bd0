//! Sending a reply over HTTP/1.1.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::reply::{Ending, Reply, Sent, Step};

/// Sends everything but the ending.
pub(super) async fn play<W: AsyncWrite + Unpin>(write: &mut W, reply: Reply, method: &str) -> io::Result<()> {
    for step in reply.before_head {
        match step {
            Step::Wait(gate) => gate.passed().await,
            Step::Send(bytes) => {
                write.write_all(&bytes).await?;
                write.flush().await?;
            }
            Step::Feed(_) => {}
        }
    }
    if matches!(reply.ending, Ending::CloseBeforeHead | Ending::ResetBeforeHead) {
        return Ok(());
    }
    let counted: usize = reply.body.iter().map(Step::length).sum();
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status).into_bytes();
    head.extend_from_slice(&reply.fields.to_wire());
    let length = match reply.framing {
        Sent::Counted => Some(counted as u64),
        Sent::Declared(length) => Some(length),
        _ => None,
    };
    if let Some(length) = length {
        head.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    if reply.framing == Sent::Chunked {
        head.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    if reply.ending != Ending::KeepAlive && reply.framing == Sent::ToEnd {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    write.write_all(&head).await?;
    write.flush().await?;
    if method == "HEAD" || reply.framing == Sent::Bodiless {
        return Ok(());
    }
    let chunked = reply.framing == Sent::Chunked;
    for step in reply.body {
        match step {
            Step::Wait(gate) => gate.passed().await,
            Step::Send(bytes) => send(write, &bytes, chunked).await?,
            Step::Feed(mut pieces) => {
                while let Some(bytes) = pieces.recv().await {
                    send(write, &bytes, chunked).await?;
                }
            }
        }
    }
    // A reply that is broken off has no last chunk.
    if chunked && reply.ending == Ending::KeepAlive {
        let mut end = b"0\r\n".to_vec();
        end.extend_from_slice(&reply.trailers.to_wire());
        end.extend_from_slice(b"\r\n");
        write.write_all(&end).await?;
        write.flush().await?;
    }
    Ok(())
}

async fn send<W: AsyncWrite + Unpin>(write: &mut W, bytes: &Bytes, chunked: bool) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    if chunked {
        let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
        framed.extend_from_slice(bytes);
        framed.extend_from_slice(b"\r\n");
        write.write_all(&framed).await?;
    } else {
        write.write_all(bytes).await?;
    }
    write.flush().await
}

impl Step {
    fn length(&self) -> usize {
        match self {
            Self::Send(bytes) => bytes.len(),
            Self::Wait(_) | Self::Feed(_) => 0,
        }
    }
}
