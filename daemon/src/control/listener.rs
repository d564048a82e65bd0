//! Accepts connections on the control socket and keeps their sessions.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use interprocess::local_socket::tokio::Stream;
use kmi_proto::codec::encode;
use kmi_proto::envelope::{Id, Response};
use kmi_proto::error::{Kind, RpcError};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::dispatch::Service;
use super::socket::{Peer, Refusal};
use super::{Context, session};
use crate::pulse::Pulse;

pub use super::socket::{BindError, Bound, Share, adopt, bind};

/// Connections open at once; further ones are told so and closed.
const MAX_CONNECTIONS: usize = 64;
/// First pause after a failed accept, doubling up to [`LONGEST_BACKOFF`]: errors such as EMFILE stay for a while.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// Requests in flight get so long to be answered when the daemon ends.
const DRAIN: Duration = Duration::from_secs(2);
/// A connection that is turned away gets so long to take the reason.
const FAREWELL: Duration = Duration::from_millis(100);

/// Serves the control socket until `cancel`; returns when all sessions have ended, at most 2 s later, and the socket
/// file is gone, unless the socket was inherited.
/// `pulse` answers while connections are accepted.
pub async fn serve(mut bound: Bound, context: Context, cancel: CancellationToken, pulse: Pulse) {
    let mut sessions = JoinSet::new();
    let context = Arc::new(context);
    let mut failing = false;
    loop {
        tokio::select! {
            () = accept_loop(&bound, &context, &mut sessions, &cancel, &pulse) => break,
            () = bound.lost() => failing = !restored(&mut bound, failing),
        }
    }
    bound.remove_file();
    drain(sessions).await;
}

/// Puts a socket in the place of one whose file was removed; sessions that are open go on. It is tried again and again;
/// only the first failure is told.
fn restored(bound: &mut Bound, failing: bool) -> bool {
    let restored = bound.restore();
    match &restored {
        Ok(()) => tracing::warn!(reason = "its file was removed", "control_socket_restored"),
        Err(error) if !failing => tracing::error!(%error, "control_socket_lost"),
        Err(_) => {}
    }
    restored.is_ok()
}

/// Where connections come from.
trait Accept {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Result<Peer, Refusal>)>>;
}

impl Accept for Bound {
    type Stream = Stream;

    async fn accept(&self) -> io::Result<(Stream, Result<Peer, Refusal>)> {
        self.accept().await
    }
}

async fn accept_loop<A: Accept, H: Service>(
    acceptor: &A,
    service: &Arc<H>,
    sessions: &mut JoinSet<()>,
    cancel: &CancellationToken,
    pulse: &Pulse,
) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            // Ended sessions are cleared away at once: the set stands for the open connections.
            Some(_) = sessions.join_next(), if !sessions.is_empty() => continue,
            () = pulse.beat() => continue,
            accepted = acceptor.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "the control socket cannot accept a connection; trying on");
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
                continue;
            }
        };
        backoff = FIRST_BACKOFF;
        match admit(peer, sessions.len()) {
            Ok(peer) => {
                sessions.spawn(session::run(stream, Arc::clone(service), peer, cancel.clone()));
            }
            Err(error) => turn_away(stream, error).await,
        }
    }
}

fn admit(peer: Result<Peer, Refusal>, open: usize) -> Result<Peer, RpcError> {
    let peer = peer.map_err(|refusal| {
        tracing::warn!(%refusal, "a connection to the control socket was refused");
        RpcError::new(Kind::Forbidden, refusal.to_string())
    })?;
    if open >= MAX_CONNECTIONS {
        let why = format!("{MAX_CONNECTIONS} connections are open already; close one and try again");
        return Err(RpcError::new(Kind::TooManyConnections, why));
    }
    Ok(peer)
}

async fn turn_away(mut stream: impl AsyncWrite + Unpin, error: RpcError) {
    let line = encode(&Response::new(Id::Null, Err(error))).unwrap_or_default();
    // It fits into the socket's buffer; a client that is gone already misses nothing.
    let _ = tokio::time::timeout(FAREWELL, async {
        let _ = stream.write_all(&line).await;
        stream.shutdown().await
    })
    .await;
}

async fn drain(mut sessions: JoinSet<()>) {
    let ended = async { while sessions.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, ended).await.is_err() {
        tracing::warn!(sessions = sessions.len(), "connections to the control socket were cut at the end");
        sessions.shutdown().await;
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
