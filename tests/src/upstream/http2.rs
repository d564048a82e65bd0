//! The same script over HTTP/2: heads and bodies, without what only HTTP/1.1 has.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

use super::reply::Step;
use super::seen::Record;
use super::{Ended, Ending, Reply, Script, Seen};
use crate::http1::{Fields, RequestHead};

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TlsStream<TcpStream>,
    number: u64,
    script: Arc<Script>,
    record: Arc<Record>,
) {
    let service = service_fn(move |request| {
        let (script, record) = (script.clone(), record.clone());
        async move { answer(request, number, &script, &record).await }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // The client's end of the connection is not ours to judge.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Why a stream is reset.
#[derive(Debug)]
struct BrokenOff;

impl std::fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken off by the script")
    }
}

impl std::error::Error for BrokenOff {}

async fn answer(
    request: http::Request<Incoming>,
    number: u64,
    script: &Script,
    record: &Record,
) -> Result<http::Response<Play>, BrokenOff> {
    let (parts, body) = request.into_parts();
    let fields = parts
        .headers
        .iter()
        .map(|(n, v)| (n.as_str().to_owned(), v.as_bytes().iter().map(|b| char::from(*b)).collect()));
    let target = parts.uri.path_and_query().map_or("/", |t| t.as_str()).to_owned();
    let head = RequestHead { method: parts.method.to_string(), target, fields: Fields(fields.collect()) };
    let seen = record.arrived(number, true, head);
    let guard = Guard(seen.clone());
    let queued = script.queued(&seen);
    if queued.as_ref().is_none_or(|reply| reply.read_body_first)
        && let Ok(body) = body.collect().await
    {
        seen.body_arrived(body.to_bytes());
    }
    let reply = queued.unwrap_or_else(|| script.answer(&seen));
    for step in &reply.before_head {
        if let Step::Wait(gate) = step {
            gate.passed().await;
        }
    }
    if matches!(reply.ending, Ending::CloseBeforeHead | Ending::ResetBeforeHead) {
        seen.end(Ended::BrokenOff);
        return Err(BrokenOff);
    }
    let mut response = http::Response::builder().status(reply.status);
    for (name, value) in &reply.fields.0 {
        response = response.header(name, value);
    }
    let (sender, pieces) = mpsc::channel(1);
    let ending = reply.ending;
    let player = tokio::spawn(push(reply, sender));
    response.body(Play { pieces, ending, guard, player }).map_err(|_| BrokenOff)
}

/// Sends the body's steps into the channel.
async fn push(reply: Reply, sender: mpsc::Sender<Bytes>) {
    for step in reply.body {
        match step {
            Step::Wait(gate) => gate.passed().await,
            Step::Send(bytes) => {
                let _ = sender.send(bytes).await;
            }
            Step::Feed(mut pieces) => {
                while let Some(bytes) = pieces.recv().await {
                    let _ = sender.send(bytes).await;
                }
            }
        }
    }
    if reply.ending == Ending::Stall {
        std::future::pending::<Infallible>().await;
    }
}

/// A body that a task of its own fills.
struct Play {
    pieces: mpsc::Receiver<Bytes>,
    ending: Ending,
    guard: Guard,
    player: tokio::task::JoinHandle<()>,
}

impl Body for Play {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.pieces.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Poll::Ready(None) if self.ending == Ending::KeepAlive => {
                self.guard.0.end(Ended::Answered);
                Poll::Ready(None)
            }
            Poll::Ready(None) => {
                self.guard.0.end(Ended::BrokenOff);
                Poll::Ready(Some(Err(BrokenOff)))
            }
        }
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.player.abort();
    }
}

/// A request that is dropped before its end was left by the client.
struct Guard(Arc<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end(Ended::ClientLeft);
    }
}
