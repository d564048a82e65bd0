//! A simulated Kimi API for dry-run and demo.
//!
//! It stands where the connection to the real API would begin: the upstream client hands over the other end of a
//! stream and speaks HTTP/1.1 to it, so that everything in front of the connection is the code that runs live.
//! Any key works; each has an account of its own whose quota goes down with use and resets by wall clock.

mod account;
mod accounts;
mod body;
mod catalogue;
mod chat;
mod messages;
mod refusal;
mod request;
mod script;
#[cfg(test)]
mod tests;
mod words;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kmid_core::key::Fingerprint;
use kmid_core::kimi::usage::Tokens;
use kmid_core::time::Time;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::script::{Level, Pace, Preset, Script};

use self::account::Account;
use self::accounts::{Accounts, Place};
use self::body::Pieces;
use self::refusal::Refusal;
use self::request::{Endpoint, Plain, Wire};
use crate::clock;

/// Every answer of the simulator carries it.
pub const DRY_RUN_HEADER: &str = "x-kmi-dry-run";

const JSON: &str = "application/json; charset=utf-8";

/// The simulated API: accounts and their quotas, shared by all its connections.
#[derive(Debug)]
pub struct Simulator {
    script: Script,
    accounts: Arc<Accounts>,
    room: Arc<Semaphore>,
    answers: AtomicU64,
}

impl Simulator {
    /// An API that plays the script.
    #[must_use]
    pub fn new(script: Script) -> Arc<Self> {
        Arc::new(Self {
            answers: AtomicU64::new(script.seed),
            script,
            accounts: Arc::default(),
            room: Arc::new(Semaphore::new(request::MOST_BODIES_KIB)),
        })
    }

    /// Serves one HTTP/1.1 connection until it is closed. When cancelled, the answer under way is finished first.
    pub async fn serve<Io>(self: Arc<Self>, io: Io, cancel: CancellationToken)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.answer(request).await) });
        let mut connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(io), service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = cancel.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection to the simulator ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Pieces> {
        let wire = Wire::of(request.uri().path());
        let allow = Endpoint::of(request.uri().path()).map(Endpoint::allowed);
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let mut response = match self.endpoint(request, wire, number).await {
            Ok(response) => response,
            Err(refusal) => {
                let mut response = reply(JSON, refusal.body(wire));
                *response.status_mut() = refusal.status;
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(DRY_RUN_HEADER, HeaderValue::from_static("true"));
        if let Ok(trace_id) = HeaderValue::from_str(&made_up_id(number)) {
            headers.insert("x-trace-id", trace_id);
        }
        if let (StatusCode::METHOD_NOT_ALLOWED, Some(allow)) = (response.status(), allow) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }

    async fn endpoint(
        &self,
        request: Request<Incoming>,
        wire: Wire,
        number: u64,
    ) -> Result<Response<Pieces>, Refusal> {
        let (head, body) = request.into_parts();
        let (endpoint, key) = match admit(&head) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                // An unread body would cost the connection, and a client still sending would miss the answer.
                read(body).await?;
                return Err(refusal);
            }
        };
        let plain = match endpoint {
            Endpoint::Chat | Endpoint::Messages => return self.chat(body, key, wire, number).await,
            Endpoint::Plain(plain) => plain,
        };
        let length = read(body).await?;
        let now = clock::now();
        match plain {
            Plain::Models => Ok(reply(JSON, catalogue::models())),
            Plain::Usages => {
                let usages = |account: &mut Account| catalogue::usages(key, account);
                Ok(reply(JSON, self.accounts.with(key, &self.script, now, usages)))
            }
            Plain::Me => Ok(reply(JSON, catalogue::me(key))),
            Plain::Search => Ok(reply(JSON, catalogue::search())),
            Plain::Fetch => Ok(reply("text/markdown; charset=utf-8", catalogue::fetch())),
            Plain::Files if head.method == Method::POST => {
                let id = format!("file-{}", made_up_id(number));
                Ok(reply(JSON, catalogue::uploaded(&id, length, now)))
            }
            Plain::Files => Ok(reply(JSON, catalogue::files())),
        }
    }

    async fn chat(
        &self,
        body: Incoming,
        key: Fingerprint,
        wire: Wire,
        number: u64,
    ) -> Result<Response<Pieces>, Refusal> {
        let (outline, bytes) = request::outline(body, &self.room).await.map_err(Refusal::bad_body)?;
        let (input, output) = (words::tokens(bytes), words::tokens(words::text().len()));
        let now = clock::now();
        let admit = |account: &mut Account| account.admit(now, input, output, outline.session());
        let tokens =
            self.accounts.with(key, &self.script, now, admit).map_err(|dry| Refusal::dry(dry, wire))?;
        let place = Place::taken(&self.accounts, key);
        wait(self.script.pace.first_byte).await;
        let between = self.script.pace.between;
        let answer = Answer { number, model: outline.model(), now, tokens };
        if outline.stream() {
            let events = answer.events(wire, outline.include_usage());
            let mut response = Response::new(Pieces::stream(events, between).holding(place));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return Ok(response);
        }
        let pieces = u32::try_from(words::pieces().count()).unwrap_or(u32::MAX);
        wait(between.saturating_mul(pieces)).await;
        drop(place);
        Ok(reply(JSON, answer.whole(wire)))
    }
}

/// What can be said before the body has come.
fn admit(head: &Parts) -> Result<(Endpoint, Fingerprint), Refusal> {
    let endpoint = Endpoint::of(head.uri.path()).ok_or_else(Refusal::not_found)?;
    if !endpoint.allows(&head.method) {
        return Err(Refusal::method());
    }
    let key = request::key_of(&head.headers).ok_or_else(Refusal::no_key)?;
    Ok((endpoint, key))
}

async fn read(body: Incoming) -> Result<u64, Refusal> {
    request::drain(body).await.map_err(Refusal::bad_body)
}

/// One answer of the simulated model.
struct Answer {
    number: u64,
    model: String,
    now: Time,
    tokens: Tokens,
}

impl Answer {
    fn whole(self, wire: Wire) -> Bytes {
        match wire {
            Wire::OpenAi => chat::whole(&self.chat_head(), self.tokens),
            Wire::Anthropic => messages::whole(&self.message_id(), &self.model, self.tokens),
        }
    }

    fn events(self, wire: Wire, include_usage: bool) -> Vec<Bytes> {
        match wire {
            Wire::OpenAi => chat::events(&self.chat_head(), self.tokens, include_usage),
            Wire::Anthropic => messages::events(&self.message_id(), &self.model, self.tokens),
        }
    }

    fn chat_head(&self) -> chat::Head {
        chat::Head {
            id: format!("chatcmpl-{}", made_up_id(self.number)),
            model: self.model.clone(),
            created: self.now.as_millis() / 1000,
        }
    }

    fn message_id(&self) -> String {
        format!("msg_{}", made_up_id(self.number))
    }
}

fn reply(content_type: &'static str, body: Bytes) -> Response<Pieces> {
    let mut response = Response::new(Pieces::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

async fn wait(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

/// 32 hex digits that differ for every answer and are the same for the same script.
fn made_up_id(number: u64) -> String {
    let mut random = fastrand::Rng::with_seed(number);
    format!("{:016x}{:016x}", random.u64(..), random.u64(..))
}
