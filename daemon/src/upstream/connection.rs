//! One connection and the requests on it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::{CONNECTION, HOST, HeaderValue};
use http::{Request, Response};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kmid_core::key::BaseUrl;
use kmid_core::outcome::{FaultKind, Phase};
use kmid_core::time::Time;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::body::{Mute, UpstreamBody};
use super::connect::{Moved, Stream};
use super::fault::SendError;
use super::idle::{LastUse, Uses};
use super::request_body::{Progress, RequestBody};
use super::{Limits, Upstream};

/// hyper's buffers grow no further: cuts the memory of large uploads by more than half.
const MOST_BUFFERED: usize = 64 * 1024;
/// HTTP/2 connections with requests on them are asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream that nobody reads holds so much here at most: enough for 10 MB/s at 100 ms of way.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// All streams of a connection together. Far above that of one, so that clients who do not read their answers do not
/// stop those of the others: servers allow 100 to 250 streams.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;
/// Silence is noticed within a quarter of the limit.
const TICKS: u32 = 4;

type Driver = http1::Connection<TokioIo<Stream>, RequestBody>;

/// An HTTP/1.1 connection with its driver, which runs inside whoever uses it.
pub struct Connection {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
    pub(crate) authority: HeaderValue,
    pub(super) mute: Arc<Mute>,
    silence: Silence,
    /// The request body that is being passed on, if it is.
    pub(super) upload: Option<Progress>,
    pub(super) last_use: LastUse,
    pub(crate) moved: Arc<Moved>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Connection {
    /// Boxed: it goes from hand to hand with every request.
    pub(crate) async fn handshake(stream: Stream, base: &BaseUrl) -> Result<Box<Self>, SendError> {
        let moved = Arc::clone(&stream.moved);
        let (sender, driver) = http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MOST_BUFFERED)
            .handshake(stream.into_hyper())
            .await
            .map_err(|error| SendError::of_hyper(Phase::Connect, error, true))?;
        Ok(Box::new(Self {
            sender,
            driver,
            authority: base.authority().clone(),
            mute: Arc::default(),
            silence: Silence::default(),
            upload: None,
            last_use: LastUse::at(Time::default()),
            moved,
        }))
    }

    /// Sends a request and waits for its response's head; the connection goes with the response's body.
    ///
    /// The request is handed over before the future is made: the future holds no room for it.
    pub(crate) fn send(
        mut self: Box<Self>,
        request: Request<RequestBody>,
        limits: Limits,
        home: Arc<Upstream>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, SendError>> + Send {
        let read_before = self.moved.read();
        self.silence.begin(limits.idle);
        self.upload = request.body().upload();
        let mut answer = Box::pin(self.sender.send_request(request));
        async move {
            let Self { driver, moved, silence, .. } = &mut *self;
            let response = poll_fn(|cx| {
                let ended = Pin::new(&mut *driver).poll(cx).is_ready();
                if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                    return Poll::Ready(answer.map_err(|error| {
                        SendError::of_hyper(Phase::FirstByte, error, moved.read() == read_before)
                    }));
                }
                if ended {
                    let mut error =
                        SendError::new(Phase::FirstByte, FaultKind::Closed, "the connection ended");
                    error.nothing_came = moved.read() == read_before;
                    return Poll::Ready(Err(error));
                }
                silence.poll_too_long(moved.total(), cx).map(|()| {
                    let mut error =
                        SendError::new(Phase::FirstByte, FaultKind::Timeout, "the idle timeout passed");
                    // A timeout is no sign that the connection was stale.
                    error.nothing_came = false;
                    Err(error)
                })
            })
            .await
            .map_err(|error| error.unless_waiting(self.upload.as_ref()))?;
            Ok(response.map(|body| UpstreamBody::http1(body, self, home)))
        }
    }

    /// Drives the connection's IO. Ready when the connection is over.
    pub(crate) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.driver).poll(cx).map(|_| ())
    }

    /// Ready when nothing has moved on it for the longest silence allowed.
    pub(crate) fn poll_too_quiet(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.silence.poll_too_long(self.moved.total(), cx)
    }

    /// Whether another request can go out on it. Looks for a close that has come meanwhile.
    pub(crate) fn is_usable(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_drive(&mut cx).is_pending() && self.sender.is_ready()
    }
}

/// An HTTP/2 connection, shared by all requests to its host; its driver is a task of its own.
#[derive(Debug, Clone)]
pub struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    pub(super) uses: Uses,
}

impl Http2 {
    pub(crate) async fn handshake(
        stream: Stream,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, SendError> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            // Not adaptive: that makes the connection's window as large as one stream's.
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // A connection that died in silence is noticed, and not waited on.
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(stream.into_hyper())
            .await
            .map_err(|error| SendError::of_hyper(Phase::Connect, error, true))?;
        let cancel = cancel.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                ended = driver => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "an HTTP/2 connection to the upstream ended");
                    }
                }
            }
        });
        Ok(Self { sender, uses: Uses::default() })
    }

    /// Whether another request can go out on it: one that stood too long without any is treated as the others are.
    pub(super) fn is_usable(&self, now: Time) -> bool {
        !self.sender.is_closed() && self.uses.is_fresh(now)
    }

    pub(crate) async fn send(
        mut self,
        mut request: Request<RequestBody>,
        limits: Limits,
    ) -> Result<Response<UpstreamBody>, SendError> {
        into_http2(&mut request);
        let in_use = self.uses.begin();
        let mut silence = Silence::new(limits.idle);
        let progress = request.body_mut().watched();
        let mut answer = pin!(self.sender.send_request(request));
        let response = poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(
                    answer.map_err(|error| SendError::of_http2(Phase::FirstByte, error, &progress)),
                );
            }
            // Pings and other requests keep the connection alive, not this one.
            silence.poll_too_long(progress.total(), cx).map(|()| {
                Err(SendError::new(Phase::FirstByte, FaultKind::Timeout, "the idle timeout passed"))
            })
        })
        .await
        .map_err(|error| error.unless_waiting(Some(&progress)))?;
        Ok(response.map(|body| UpstreamBody::http2(body, silence, progress, in_use)))
    }
}

/// In HTTP/2 the host stands in `:authority`, and there are no connection headers (RFC 9113 8.2.2, 8.3.1).
fn into_http2(request: &mut Request<RequestBody>) {
    let host = request.headers_mut().remove(HOST);
    request.headers_mut().remove(CONNECTION);
    let authority = host.as_ref().and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = authority.and_then(|authority| format!("https://{authority}{path}").parse().ok());
    if let Some(uri) = uri {
        *request.uri_mut() = uri;
    }
}

/// Notices that nothing moves on a connection, without touching a timer for each byte or for each request.
#[derive(Default)]
pub(crate) struct Silence {
    tick: Duration,
    /// Ticks on from one request to the next.
    sleep: Option<Pin<Box<Sleep>>>,
    /// What had moved at the last tick, if one came since the request began.
    seen: Option<u64>,
    quiet_ticks: u32,
}

impl Silence {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { tick: longest / TICKS, ..Self::default() }
    }

    /// The next request begins.
    pub(crate) fn begin(&mut self, longest: Duration) {
        let tick = longest / TICKS;
        // A tick of another length could come too late.
        let sleep = self.sleep.take().filter(|_| self.tick == tick);
        *self = Self { tick, sleep, ..Self::default() };
    }

    /// Ready when `moved`, a count of bytes, has stood still for the longest silence allowed.
    pub(crate) fn poll_too_long(&mut self, moved: u64, cx: &mut Context<'_>) -> Poll<()> {
        let tick = self.tick;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(tick)));
        while sleep.as_mut().poll(cx).is_ready() {
            self.quiet_ticks = if self.seen == Some(moved) { self.quiet_ticks + 1 } else { 0 };
            self.seen = Some(moved);
            if self.quiet_ticks >= TICKS {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(Instant::now() + tick);
        }
        Poll::Pending
    }
}
