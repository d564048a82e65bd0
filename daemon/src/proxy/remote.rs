//! Connections beyond plain HTTP from this machine: HTTP/2 with its limits, and its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use kmid_config::settings::Settings;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::listener::{Answers, Connection, Heard};
use super::taking::{self, Taking};
use super::tap::ProxyBody;

/// Streams that a client opened and reset before they were looked at: beyond these the connection ends
/// (rapid reset, CVE-2023-44487).
const MOST_RESET: usize = 20;
/// Streams that were reset here because of what the client did (CVE-2024-27316 and its kin).
const MOST_LOCAL_RESETS: usize = 128;
/// Whether a silent client is still there is asked this often, and it has as long for its answer.
const PING: Duration = Duration::from_secs(30);
/// A connection that is told to end has so long for it.
const FAREWELL: Duration = Duration::from_secs(5);

impl Connection {
    /// Serves HTTP/2 until the client, the drain, a handover or a long time without requests ends it.
    pub(super) async fn serve_http2(
        self,
        stream: TlsStream<TcpStream>,
        tasks: TaskTracker,
        settings: &Settings,
    ) {
        let activity = Arc::new(Activity::default());
        let answers = Counted { answers: self.answers(&Heard::default()), activity: Arc::clone(&activity) };
        // A pause costs this machine's own programs nothing but their own time.
        let longest_untaken = (!self.visitor.is_shared()).then_some(settings.proxy_client_idle);
        let mut connection = std::pin::pin!(
            http2::Builder::new(Streams { tasks, longest_untaken })
                .timer(TokioTimer::new())
                .max_concurrent_streams(settings.proxy_max_streams)
                .max_pending_accept_reset_streams(MOST_RESET)
                .max_local_error_reset_streams(MOST_LOCAL_RESETS)
                .max_header_list_size(settings.proxy_max_header)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PING)
                .serve_connection(TokioIo::new(stream), answers)
        );
        let idle = activity.idle(settings.proxy_header_time, settings.proxy_client_idle);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.ending.abort.cancelled() => return self.proxy.state.cut_off(),
            // After a handover the client's next requests are for the process that took over.
            () = async { tokio::select! {
                () = self.ending.drain.cancelled() => {}
                () = self.ending.leave.cancelled() => {}
            } } => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.ending.abort.cancelled() => return self.proxy.state.cut_off(),
                }
            }
            () = idle => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = self.ending.abort.cancelled() => return self.proxy.state.cut_off(),
                    // One that never said a word has nothing to end; a request may have crossed the farewell.
                    () = activity.rests(FAREWELL) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %self.peer(), %error, "a client's connection ended");
        }
    }
}

/// Requests on a connection.
#[derive(Debug, Default)]
struct Activity {
    in_flight: AtomicUsize,
    begun: AtomicU64,
    ended: Notify,
}

impl Activity {
    /// Returns when no request was in flight for long: `first` for the first one, `then` after each.
    async fn idle(&self, first: Duration, then: Duration) {
        tokio::select! {
            () = tokio::time::sleep(first) => {
                if self.begun.load(Ordering::Relaxed) == 0 {
                    return;
                }
            }
            () = self.ended.notified() => {}
        }
        self.rests(then).await;
    }

    /// Returns when no request was in flight for so long.
    async fn rests(&self, span: Duration) {
        loop {
            while self.in_flight.load(Ordering::Relaxed) > 0 {
                self.ended.notified().await;
            }
            let begun = self.begun.load(Ordering::Relaxed);
            tokio::time::sleep(span).await;
            if self.begun.load(Ordering::Relaxed) == begun {
                return;
            }
        }
    }
}

/// A request in flight.
#[derive(Debug)]
struct InFlight(Arc<Activity>);

impl InFlight {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

/// Answers requests and knows how many are in flight.
struct Counted {
    answers: Answers,
    activity: Arc<Activity>,
}

impl Service<Request<Incoming>> for Counted {
    type Response = Response<CountedBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::begin(&self.activity);
        let answer = self.answers.call(request);
        Box::pin(async move {
            let taking = Taking::of_this_stream();
            answer
                .await
                .map(|response| response.map(|body| CountedBody { body, taking, _in_flight: in_flight }))
        })
    }
}

/// A body that ends its request when it goes.
#[derive(Debug)]
struct CountedBody {
    body: ProxyBody,
    taking: Option<Arc<Taking>>,
    _in_flight: InFlight,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = <ProxyBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(taking) = &self.taking {
            taking.asked(frame.is_ready());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Streams are tasks that the listener waits for.
#[derive(Debug, Clone)]
struct Streams {
    tasks: TaskTracker,
    /// An answer of which the client takes nothing for so long is over.
    longest_untaken: Option<Duration>,
}

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        match self.longest_untaken {
            Some(longest) => drop(self.tasks.spawn(taking::while_taken(stream, longest))),
            None => drop(self.tasks.spawn(stream)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const FIRST: Duration = Duration::from_secs(30);
    const THEN: Duration = Duration::from_secs(120);

    /// Seconds from the beginning until a connection with these requests has been idle for long; each begins and ends at a
    /// second.
    async fn idle_after(requests: &'static [(u64, u64)]) -> u64 {
        let activity = Arc::new(Activity::default());
        let began = Instant::now();
        for (from, to) in requests {
            let activity = Arc::clone(&activity);
            tokio::spawn(async move {
                sleep(Duration::from_secs(*from)).await;
                let in_flight = InFlight::begin(&activity);
                sleep(Duration::from_secs(to - from)).await;
                drop(in_flight);
            });
        }
        activity.idle(FIRST, THEN).await;
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_so_long_after_its_last_request() {
        assert_eq!(idle_after(&[]).await, 30);
        assert_eq!(idle_after(&[(31, 32)]).await, 30);
        assert_eq!(idle_after(&[(1, 2)]).await, 122);
        assert_eq!(idle_after(&[(1, 1000)]).await, 1120);
        assert_eq!(idle_after(&[(1, 2), (121, 122), (150, 600)]).await, 720);
        assert_eq!(idle_after(&[(1, 500), (2, 3), (499, 501)]).await, 621);
    }
}
