//! One request: admission, body, attempts, response. The only loop over attempts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use kmid_config::settings::Settings;
use kmid_core::cooldown;
use kmid_core::key::{Fingerprint, Key};
use kmid_core::kimi::wire::Wire;
use kmid_core::outcome::{FaultKind, Outcome, Phase, Retry};
use kmid_core::pool::{Demand, Mode, Refusal};
use kmid_core::session;

use super::admission::{self, Door, NotAdmitted};
use super::failure::{self, Failure};
use super::journal::Journal;
use super::replay::{self, Collected};
use super::reply::Reply;
use super::tap::{ProxyBody, Tap};
use super::watch::Watch;
use super::{Proxy, path, rewrite};
use crate::clock;
use crate::state::Lease;
use crate::upstream::body::UpstreamBody;
use crate::upstream::fault::{ClientBroke, SendError, chain};
use crate::upstream::request_body::RequestBody;
use crate::upstream::{Limits, simulator};

/// A backoff between attempts grows no further.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Endpoints whose event streams have a terminal event.
const STREAMING: [&str; 2] = ["/chat/completions", "/messages"];

/// Answers one request.
pub(super) async fn handle(
    proxy: Arc<Proxy>,
    request: Request<Incoming>,
    loopback: bool,
) -> Response<ProxyBody> {
    let settings = proxy.settings.load_full();
    let (mut parts, body) = request.into_parts();
    let base_path = &*settings.proxy_base_path;
    let below = parts.uri.path().strip_prefix(base_path).unwrap_or(parts.uri.path());
    let wire = Wire::of_endpoint(below);
    let mut journal = Journal::begin(Arc::clone(&proxy.state), proxy.zone.clone(), &parts.method, below);

    let door = Door { loopback, token: settings.proxy_token.as_ref() };
    if let Err(why) = admission::admit(door, &parts.method, &parts.uri, &parts.headers) {
        tracing::warn!(request_id = %journal.request_id, why = ?why, "proxy_unauthorized");
        let close = why != NotAdmitted::Token;
        return refuse(Reply::not_admitted(why), wire, journal, close);
    }
    let endpoint = match path::endpoint(parts.uri.path(), base_path) {
        Ok(endpoint) => endpoint.to_owned(),
        Err(why) => return refuse(Reply::bad_path(why, base_path), wire, journal, false),
    };
    if let Some(until) = proxy.state.admit() {
        tracing::warn!(request_id = %journal.request_id, "proxy_rate_limited");
        return refuse(Reply::rate_limited(until, clock::now()), wire, journal, false);
    }
    let collected =
        replay::collect(body, &proxy.budget, settings.proxy_replay, settings.proxy_replay_total).await;
    let collected = match collected {
        Ok(collected) => collected,
        Err(error) => {
            if is_hang_up(&error) {
                journal.end("client_left", None);
            }
            return refuse(Reply::broken_body(), wire, journal, true);
        }
    };
    if let Collected::Whole { chunks, .. } = &collected {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        journal.bytes_up.store(length, Ordering::Relaxed);
        // What stands in a compressed body is not looked at.
        if !parts.headers.contains_key(CONTENT_ENCODING) {
            journal.session = session::scan(wire, chunks);
        }
        if settings.trace_prompts {
            journal.prompt = super::prompt::hint_and_head(chunks);
        }
    }
    rewrite::for_upstream(&mut parts.headers);
    let mut exchange = Exchange { proxy, settings, wire, endpoint, parts, body: Some(collected), journal };
    match exchange.attempts().await {
        Answer::Own(reply) => refuse(reply, wire, exchange.journal, false),
        Answer::Passed(response, lease) => exchange.pass(response, lease),
        Answer::Failed(failed, label) => exchange.pass_failure(failed, &label),
    }
}

/// An answer of kmid's own.
fn refuse(reply: Reply, wire: Wire, mut journal: Journal, close: bool) -> Response<ProxyBody> {
    let code = reply.code;
    let mut response = reply.into_response(wire, &journal.request_id);
    if close {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    journal.answered(response.status());
    journal.end("refused", Some(code));
    response
}

/// A request while it looks for a key that serves it.
struct Exchange {
    proxy: Arc<Proxy>,
    settings: Arc<Settings>,
    wire: Wire,
    endpoint: String,
    parts: http::request::Parts,
    body: Option<Collected>,
    journal: Journal,
}

#[allow(clippy::large_enum_variant, reason = "moved once and never stored")]
enum Answer {
    Own(Reply),
    Passed(Response<UpstreamBody>, Lease),
    Failed(Box<Failure>, Arc<str>),
}

/// What the attempts so far have used up.
#[derive(Default)]
struct Spent {
    tried: Vec<Fingerprint>,
    failovers: u32,
    retries: u32,
    last: Option<(Box<Failure>, Arc<str>)>,
}

impl Exchange {
    async fn attempts(&mut self) -> Answer {
        let mut spent = Spent::default();
        loop {
            let demand = Demand { tried: &spent.tried, session: self.journal.session };
            let lease = match self.proxy.state.lease(&demand) {
                Ok(lease) => lease,
                Err(refusal) => return self.no_key(&refusal, spent.last),
            };
            self.journal.attempt(&lease);
            let label = Arc::clone(&lease.key().label);
            let answer = match self.attempt(lease.key()).await {
                Ok(response) if response.status().as_u16() >= 400 => {
                    let failed = failure::understand(response).await;
                    self.journal.attempt_met(Some(failed.parts.status), failed.outcome.name());
                    let fingerprint = lease.key().fingerprint;
                    lease.end(&failed.outcome);
                    if !self.tries_again(&mut spent, failed.verdict.retry, fingerprint).await {
                        return Answer::Failed(Box::new(failed), label);
                    }
                    spent.last = Some((Box::new(failed), label));
                    continue;
                }
                Ok(response) if self.is_empty_stream(&response) => {
                    Err(SendError::new(Phase::Body, FaultKind::Truncated, "an event stream without events"))
                }
                answer => answer,
            };
            let error = match answer {
                Ok(response) => return Answer::Passed(response, lease),
                Err(error) => error,
            };
            if error.client_broke {
                lease.end(&Outcome::ClientLeft);
                if client_error(&error).is_none_or(is_hang_up) {
                    self.journal.end("client_left", None);
                }
                return Answer::Own(Reply::broken_body());
            }
            let causes: Vec<String> = chain(&error).skip(1).map(ToString::to_string).collect();
            tracing::warn!(
                request_id = %self.journal.request_id, key = %label, error = %error,
                cause = causes.join(": "), "proxy_upstream_error"
            );
            let host = lease.key().base_url.host().to_owned();
            let fingerprint = lease.key().fingerprint;
            let outcome = Outcome::Broke(error.fault);
            self.journal.attempt_met(None, outcome.name());
            lease.end(&outcome);
            // What an earlier key met is not the last word any more.
            spent.last = None;
            if !self.tries_again(&mut spent, Retry::Later, fingerprint).await {
                return Answer::Own(Reply::unreachable(&error, &host));
            }
        }
    }

    /// Sends the request with one key.
    async fn attempt(&mut self, key: &Key) -> Result<Response<UpstreamBody>, SendError> {
        let Self { proxy, settings, wire, endpoint, parts, body, journal } = self;
        let limits = Limits { connect: settings.proxy_connect_timeout, idle: settings.proxy_idle_timeout };
        let broken = |error: &dyn std::fmt::Display| {
            SendError::new(Phase::Send, FaultKind::Protocol, error.to_string())
        };
        let uri = upstream_uri(key, endpoint, parts.uri.query()).map_err(|error| broken(&error))?;
        let unfit = |error: rewrite::Unfit| broken(&error);
        // Tried once here, so that making the request cannot fail.
        let mut first = Some(with_key(&parts.headers, key, *wire).map_err(unfit)?);
        let mut make = || {
            let body = match body.take()? {
                Collected::Whole { chunks, trailers, _share } => {
                    let copy = RequestBody::collected(&chunks, trailers.clone());
                    *body = Some(Collected::Whole { chunks, trailers, _share });
                    copy
                }
                Collected::Passing { chunks, rest } => {
                    RequestBody::streaming(chunks, rest, Arc::clone(&journal.bytes_up))
                }
            };
            let mut request = Request::new(body);
            *request.method_mut() = parts.method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = match first.take() {
                Some(headers) => headers,
                None => with_key(&parts.headers, key, *wire).ok()?,
            };
            // The original case of header names travels here.
            *request.extensions_mut() = parts.extensions.clone();
            Some(request)
        };
        after_the_others().await;
        let response = proxy.upstream.send(&key.base_url, limits, &mut make).await;
        after_the_others().await;
        response
    }

    /// Whether another attempt is to be made; waits for its backoff.
    async fn tries_again(&self, spent: &mut Spent, retry: Retry, used: Fingerprint) -> bool {
        // A body that was passed on is gone.
        if self.body.is_none() {
            return false;
        }
        match retry {
            Retry::No => false,
            Retry::OtherKey => {
                let allowed = self.proxy.state.mode() != Mode::Manual;
                let again = allowed && spent.failovers < self.settings.proxy_failover_max;
                spent.failovers += 1;
                spent.tried.push(used);
                again
            }
            Retry::Later => {
                if spent.retries >= self.settings.proxy_retry_max {
                    return false;
                }
                let base = self.settings.proxy_retry_base;
                // Full jitter: anything between nothing and the grown backoff.
                let full = cooldown::backoff(base, spent.retries, LONGEST_BACKOFF.max(base), 1023);
                spent.retries += 1;
                tokio::time::sleep(full.mul_f64(fastrand::f64())).await;
                true
            }
        }
    }

    /// No key is left: an answer of the upstream stands if the keys themselves are fine, else kmid says which key
    /// is in what state.
    fn no_key(&mut self, refusal: &Refusal, last: Option<(Box<Failure>, Arc<str>)>) -> Answer {
        match last {
            Some((failed, label)) if refusal.has_tried(&label) || failed.verdict.retry == Retry::Later => {
                Answer::Failed(failed, label)
            }
            _ => {
                let reply = Reply::refusal(refusal, self.wire, clock::now(), &self.proxy.zone);
                tracing::warn!(request_id = %self.journal.request_id, why = reply.code, "no_keys_available");
                Answer::Own(reply)
            }
        }
    }

    fn streams(&self) -> bool {
        STREAMING.contains(&self.endpoint.as_str()) && self.parts.method == Method::POST
    }

    /// A 200 event stream that is over before it began can still become an honest error.
    fn is_empty_stream(&self, response: &Response<UpstreamBody>) -> bool {
        self.streams()
            && response.status() == StatusCode::OK
            && has_type(response.headers(), "text/event-stream")
            && response.body().is_end_stream()
    }

    /// Passes a good response on.
    fn pass(self, response: Response<UpstreamBody>, lease: Lease) -> Response<ProxyBody> {
        let (mut parts, body) = response.into_parts();
        let is_stream = has_type(&parts.headers, "text/event-stream");
        let watch = match (self.streams(), is_stream) {
            (true, true) => Watch::events(self.wire, &parts.headers),
            (true, false) => Watch::json(&parts.headers),
            (false, _) => Watch::Nothing,
        };
        let must_terminate = self.streams() && is_stream && parts.status == StatusCode::OK;
        let mut journal = self.journal;
        journal.attempt_met(Some(parts.status), "completed");
        journal.answered(parts.status);
        mark(&mut parts, &lease.key().label, &journal.request_id, self.proxy.upstream.is_simulated());
        let tap = Tap::new(body, watch, must_terminate, lease, journal);
        Response::from_parts(parts, ProxyBody::Passed(Box::new(tap)))
    }

    /// Passes an error answer on.
    fn pass_failure(self, failed: Box<Failure>, label: &str) -> Response<ProxyBody> {
        let Failure { mut parts, read, rest, broken, outcome, .. } = *failed;
        let mut journal = self.journal;
        journal.answered(parts.status);
        mark(&mut parts, label, &journal.request_id, self.proxy.upstream.is_simulated());
        let body = match rest {
            Some(rest) => ProxyBody::Passed(Box::new(Tap::rest_of(read, rest, broken, outcome, journal))),
            None => {
                journal.bytes_down = read.iter().map(|chunk: &Bytes| chunk.len() as u64).sum();
                journal.end(outcome.name(), Some(outcome.name()));
                ProxyBody::Own(read)
            }
        };
        Response::from_parts(parts, body)
    }
}

/// Lets every task that can run have its turn before this one goes on. What many requests do at once then happens
/// step by step for all of them: first all are read, then all are sent. Code and data stay in the caches, and a peer
/// that is woken finds more than one message (measured 2026-11: a third of the CPU time at 16 connections).
async fn after_the_others() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The response's head as the client gets it.
fn mark(parts: &mut http::response::Parts, label: &str, request_id: &str, simulated: bool) {
    rewrite::for_client(&mut parts.headers);
    parts.version = Version::HTTP_11;
    let mut insert = |name: &'static str, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            parts.headers.insert(name, value);
        }
    };
    insert("x-kmi-request-id", request_id.as_bytes());
    insert("x-kmi-key", label.as_bytes());
    if simulated {
        insert(simulator::DRY_RUN_HEADER, b"true");
    }
}

fn with_key(headers: &HeaderMap, key: &Key, wire: Wire) -> Result<HeaderMap, rewrite::Unfit> {
    let mut headers = headers.clone();
    rewrite::with_key(&mut headers, key, wire)?;
    Ok(headers)
}

/// A client that hung up is told nothing and has left; one that sent nonsense is refused.
fn is_hang_up(error: &hyper::Error) -> bool {
    !error.is_parse() && !error.is_user()
}

/// What the client's connection said, below what the upstream's made of it.
fn client_error(error: &SendError) -> Option<&hyper::Error> {
    chain(error).skip_while(|cause| !cause.is::<ClientBroke>()).find_map(|cause| cause.downcast_ref())
}

fn upstream_uri(key: &Key, endpoint: &str, query: Option<&str>) -> Result<Uri, http::Error> {
    let base = key.base_url.path();
    let path = match query {
        Some(query) => format!("{base}{endpoint}?{query}"),
        None => format!("{base}{endpoint}"),
    };
    Uri::builder().path_and_query(PathAndQuery::try_from(path)?).build()
}

fn has_type(headers: &HeaderMap, essence: &str) -> bool {
    let is =
        |value: &str| value.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(essence));
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is)
}
