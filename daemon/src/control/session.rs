//! One connection: requests that overlap, one writer, and streams that end with it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use kmi_proto::codec::{Decoder, LineTooLong, MAX_LINE, encode};
use kmi_proto::envelope::{Call, Id, Incoming, Request, Response};
use kmi_proto::error::{Kind, RpcError};
use kmi_proto::method::Method;
use kmi_proto::notify::{self, CancelParams, Cancelled, Dropped, End, Subscribed};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::batch::{BatchAnswer, encode_response};
use super::dispatch::{Reply, Service, read, to_json};
use super::feed::{Feed, Gone, Sink};
use super::socket::Peer;
use super::streams::{Slot, Streams};

/// Requests of one connection that run at once; further ones wait unread.
const MAX_IN_FLIGHT: usize = 16;
/// Bytes of such requests, and of those whose answers are not yet written; any single line fits. With 64 connections
/// that is 64 MiB, whatever is asked.
const MAX_BYTES: u32 = MAX_LINE as u32;
/// Lines that wait for a reader; whoever has another one waits.
const QUEUE: usize = 32;
/// A stop waits so long for its answer to be written.
const STOP_ANSWER: Duration = Duration::from_secs(1);

const READ_SIZE: usize = 4 * 1024;

/// A line on its way out.
struct Outgoing {
    line: Vec<u8>,
    written: Option<oneshot::Sender<()>>,
    /// What the request that it answers takes of the connection's bytes: an answer may repeat much of it.
    _bytes: Option<OwnedSemaphorePermit>,
}

/// What a request takes of its connection.
struct Place {
    /// Given back when the answer is queued.
    in_flight: OwnedSemaphorePermit,
    /// Given back when the answer is written.
    bytes: OwnedSemaphorePermit,
}

/// What all requests of a connection share.
struct Shared<H> {
    service: Arc<H>,
    peer: Peer,
    out: mpsc::Sender<Outgoing>,
    streams: Arc<Streams>,
    /// The daemon ends.
    stopping: CancellationToken,
    /// The other side has said all it had to say.
    last_call: CancellationToken,
}

/// Serves one connection until the other side is gone, or the daemon ends and all requests in flight are answered.
pub(super) async fn run<S, H>(stream: S, service: Arc<H>, peer: Peer, stopping: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send,
    H: Service,
{
    let (read, write) = tokio::io::split(stream);
    let (out, lines) = mpsc::channel(QUEUE);
    let gone = CancellationToken::new();
    let last_call = CancellationToken::new();
    let streams = Arc::default();
    let shared = Arc::new(Shared { service, peer, out, streams, stopping, last_call });
    let reading = Box::pin(read_requests(read, shared, gone.clone()));
    tokio::join!(reading, write_lines(write, lines, gone));
}

async fn write_lines(
    mut write: impl AsyncWrite + Unpin,
    mut lines: mpsc::Receiver<Outgoing>,
    gone: CancellationToken,
) {
    let _gone = gone.drop_guard();
    while let Some(outgoing) = lines.recv().await {
        if write.write_all(&outgoing.line).await.is_err() {
            return;
        }
        if let Some(written) = outgoing.written {
            // Whoever waited may have given up.
            let _ = written.send(());
        }
    }
    // The other side may have closed already.
    let _ = write.shutdown().await;
}

async fn read_requests<H: Service>(
    mut read: impl AsyncRead + Unpin,
    shared: Arc<Shared<H>>,
    gone: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let bytes_in_flight = Arc::new(Semaphore::new(MAX_LINE));
    let mut decoder = Decoder::new();
    let mut buffer = vec![0; READ_SIZE];
    'reading: loop {
        let length = tokio::select! {
            () = shared.stopping.cancelled() => break,
            () = gone.cancelled() => break,
            length = read.read(&mut buffer) => length.unwrap_or(0),
        };
        let mut bytes = &buffer[..length];
        while let Some(line) = if length == 0 { decoder.finish() } else { decoder.next_line(&mut bytes) } {
            let length = line.as_ref().map_or(0, |line| u32::try_from(line.len()).unwrap_or(MAX_BYTES));
            let place = async {
                let in_flight = Arc::clone(&in_flight).acquire_owned().await.ok()?;
                let bytes = Arc::clone(&bytes_in_flight).acquire_many_owned(length).await.ok()?;
                Some(Place { in_flight, bytes })
            };
            let place = tokio::select! {
                () = shared.stopping.cancelled() => break 'reading,
                () = gone.cancelled() => break 'reading,
                place = place => place,
            };
            let Some(place) = place else { break 'reading };
            tasks.spawn(Arc::clone(&shared).carry_out(line, place));
            while let Some(done) = tasks.try_join_next() {
                report_panic(done);
            }
        }
        if length == 0 {
            break;
        }
    }
    // A client that only closed its sending side still gets its answers; one that is gone is noticed by the writer.
    shared.last_call.cancel();
    drop(shared);
    while let Some(done) = tasks.join_next().await {
        report_panic(done);
    }
}

fn report_panic(done: Result<(), JoinError>) {
    if let Err(error) = done
        && error.is_panic()
    {
        tracing::error!("a stream of the control socket ended by a panic");
    }
}

/// What is still to be done when the answer is on its way.
enum After {
    Stream(Slot, Box<Feed>),
    Stop { force: bool },
}

impl<H: Service> Shared<H> {
    /// Answers one line and runs the streams that it opened.
    async fn carry_out(self: Arc<Self>, line: Result<Vec<u8>, LineTooLong>, place: Place) {
        let (answer, after) = match line {
            Err(error) => {
                let error = RpcError::new(Kind::LineTooLong, error.to_string());
                (Some(encode_response(Response::new(Id::Null, Err(error)))), Vec::new())
            }
            // A blank line asks for nothing: people press the return key in `nc`.
            Ok(line) if line.iter().all(u8::is_ascii_whitespace) => return,
            Ok(line) => {
                let incoming = Incoming::parse(&line);
                // A batch has its own copy of it.
                drop(line);
                self.answer(incoming).await
            }
        };
        for after in &after {
            if let After::Stream(slot, _) = after {
                slot.start();
            }
        }
        let written = match answer {
            Some(line) => self.send(line, place.bytes).await,
            None => None,
        };
        drop(place.in_flight);
        let mut feeds = Vec::new();
        for after in after {
            match after {
                After::Stream(slot, feed) => feeds.push(self.run_stream(slot, feed)),
                After::Stop { force } => {
                    self.stop(force, written).await;
                    break;
                }
            }
        }
        join_all(feeds).await;
    }

    async fn answer(&self, incoming: Incoming) -> (Option<Vec<u8>>, Vec<After>) {
        match incoming {
            Incoming::Single(call) => {
                let (response, after) = self.perform(call).await;
                (response.map(encode_response), after.into_iter().collect())
            }
            Incoming::Batch(calls) => {
                let mut answers = BatchAnswer::to(calls.len());
                let mut afters = Vec::new();
                for call in calls {
                    let (response, after) = self.perform(call.read()).await;
                    answers.add(response);
                    afters.extend(after);
                }
                (answers.encoded(), afters)
            }
        }
    }

    async fn perform(&self, call: Call) -> (Option<Response>, Option<After>) {
        let request = match call {
            Ok(request) => request,
            Err(response) => return (Some(*response), None),
        };
        let id = request.id.clone();
        let reply = AssertUnwindSafe(self.reply(request)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a request on the control socket ended by a panic");
            Err(RpcError::new(Kind::Internal, "kmid failed inside; its log says more"))
        });
        let (outcome, after) = match reply {
            Ok(Reply::Result(value)) => (Ok(value), None),
            Ok(Reply::Stop { force }) => {
                (Ok(Value::Object(serde_json::Map::new())), Some(After::Stop { force }))
            }
            // Without an answer nobody would know the stream's name.
            Ok(Reply::Stream(_)) if id.is_none() => return (None, None),
            Ok(Reply::Stream(feed)) => match Streams::open(&self.streams) {
                Ok(slot) => {
                    let result = to_json(&Subscribed { subscription: slot.subscription });
                    (result, Some(After::Stream(slot, feed)))
                }
                Err(error) => (Err(error), None),
            },
            Err(error) => (Err(error), None),
        };
        (id.map(|id| Response::new(id, outcome)), after)
    }

    async fn reply(&self, request: Request) -> Result<Reply, RpcError> {
        if request.method == Method::StreamCancel.name() {
            let params: CancelParams = read(request.params)?;
            let cancelled = self.streams.cancel(params.subscription).await;
            return to_json(&Cancelled { cancelled }).map(Reply::Result);
        }
        self.service.call(request, self.peer).await
    }

    async fn send(&self, line: Vec<u8>, bytes: OwnedSemaphorePermit) -> Option<oneshot::Receiver<()>> {
        let (written, on_written) = oneshot::channel();
        let outgoing = Outgoing { line, written: Some(written), _bytes: Some(bytes) };
        self.out.send(outgoing).await.ok().map(|()| on_written)
    }

    async fn stop(&self, force: bool, written: Option<oneshot::Receiver<()>>) {
        if let Some(written) = written {
            // A client that does not read its answer does not keep the daemon from ending.
            let _ = tokio::time::timeout(STOP_ANSWER, written).await;
        }
        self.service.stop(force, self.peer).await;
    }

    async fn run_stream(&self, slot: Slot, feed: Box<Feed>) {
        let cancel = slot.cancelled();
        let mut sink = Notifier { out: self.out.clone(), subscription: slot.subscription, seq: 0 };
        let reason = tokio::select! {
            biased;
            () = cancel.cancelled() => notify::CANCELLED,
            () = self.stopping.cancelled() => notify::STOPPING,
            reason = feed.run(&mut sink, &self.last_call) => reason,
        };
        let end = End { subscription: slot.subscription, reason: reason.to_owned() };
        // A reader that is gone needs no farewell.
        let _ = sink.notify(notify::STREAM_END, &end).await;
    }
}

/// Turns what a feed finds into notifications.
struct Notifier {
    out: mpsc::Sender<Outgoing>,
    subscription: u64,
    seq: u64,
}

impl Notifier {
    async fn send(&self, line: Vec<u8>) -> Result<(), Gone> {
        self.out.send(Outgoing { line, written: None, _bytes: None }).await.map_err(|_| Gone)
    }

    async fn notify<P: Serialize>(&self, method: &str, params: &P) -> Result<(), Gone> {
        let params = to_json(params).unwrap_or_default();
        match encode(&Request::notification(method, params)) {
            Ok(line) => self.send(line).await,
            Err(_) => Ok(()),
        }
    }
}

impl Sink for Notifier {
    async fn item(&mut self, json: &str) -> Result<(), Gone> {
        // Put together by hand so that an object's fields keep their order and need not be parsed.
        let mut line = format!(
            r#"{{"jsonrpc":"2.0","method":"{}","params":{{"subscription":{},"seq":{},"item":{json}}}}}"#,
            notify::STREAM_ITEM,
            self.subscription,
            self.seq,
        );
        if line.len() > MAX_LINE {
            return self.dropped(1).await;
        }
        line.push('\n');
        self.seq += 1;
        self.send(line.into_bytes()).await
    }

    async fn dropped(&mut self, count: u64) -> Result<(), Gone> {
        self.seq += count;
        self.notify(notify::STREAM_DROPPED, &Dropped { subscription: self.subscription, count }).await
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
