//! One request: admission, body, attempts, response. The only loop over attempts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_ENCODING, HeaderValue};
use http::{Method, Response, Version};
use hyper::body::Incoming;
use kmid_config::settings::Settings;
use kmid_core::client::ClientId;
use kmid_core::cooldown;
use kmid_core::door::peer::Exposure;
use kmid_core::key::{Fingerprint, Key};
use kmid_core::kimi::wire::Wire;
use kmid_core::outcome::{FaultKind, Outcome, Retry};
use kmid_core::pool::{Demand, Mode};
use kmid_core::session;
use tokio::time::{Instant, timeout};

use super::admission::{self, NotAdmitted};
use super::answer::{Answer, refuse};
use super::attempt::{Met, Seen};
use super::door::{Doorkeeper, Look, Visitor};
use super::failure::Failure;
use super::journal::Journal;
use super::keepalive::{self, HeadOut, LONGEST_SILENCE};
use super::path::BadPath;
use super::replay::{self, Collected, Share};
use super::reply::Reply;
use super::tap::ProxyBody;
use super::{Proxy, health, path, rewrite};
use crate::clock;
use crate::state::{NoLease, Patience, Waited};
use crate::upstream::client_body::{BodyLimits, ClientBody, ClientBodyError, Unread};
use crate::upstream::fault::{ClientBroke, SendError, chain};

/// A backoff between attempts grows no further.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Endpoints whose event streams have a terminal event.
const STREAMING: [&str; 2] = ["/chat/completions", "/messages"];

/// Answers one request.
pub(super) async fn handle(
    proxy: Arc<Proxy>,
    mut parts: Box<http::request::Parts>,
    body: Incoming,
    visitor: Visitor,
    unread: Unread,
) -> Response<ProxyBody> {
    let settings = proxy.settings.load_full();
    let base_path = &*settings.proxy_base_path;
    let inside = parts.uri.path().strip_prefix(base_path);
    let below = inside.unwrap_or(parts.uri.path());
    let wire = Wire::of_endpoint(below);
    let only_loopback = visitor.exposure == Exposure::Loopback;
    let asked = admission::admit(only_loopback, &parts.method, &parts.uri, &parts.headers);
    if inside == Some(health::PATH) && asked.is_ok() {
        return proxy.health.answer(&parts.method, &proxy.state);
    }
    let asks_base = parts.method == Method::HEAD && path::leads_to_base(parts.uri.path(), base_path);
    // Who has no token does not learn the base path from the network.
    if asks_base && only_loopback && asked.is_ok() {
        return health::here();
    }
    let mut journal = Journal::begin(Arc::clone(&proxy.state), proxy.zone.clone(), &parts.method, below);

    let admitted = match asked {
        Err(why) => Err(why),
        Ok(()) => match proxy.door.look(visitor, &settings.proxy_tokens, &parts.headers) {
            Look::In(name) => Ok(name),
            Look::Out(why) => Err(why),
            // Boxed, so that requests which do not wait hold no room for it.
            later => Box::pin(proxy.door.look_later(later, visitor, &proxy.settings, &parts.headers)).await,
        },
    };
    match admitted {
        Ok(client_name) => journal.client_name = client_name,
        Err(why) => return not_admitted(&proxy.door, visitor, why, wire, journal),
    }
    let endpoint = match path::endpoint(parts.uri.path(), base_path) {
        Ok(own) if own.starts_with(health::OWN) => {
            return refuse(Reply::bad_path(BadPath::Outside, base_path), wire, journal);
        }
        Ok(endpoint) => path::kept(endpoint),
        Err(why) => return refuse(Reply::bad_path(why, base_path), wire, journal),
    };
    if rewrite::has_transfer_coding(&parts.headers) {
        return refuse(Reply::transfer_coding(), wire, journal);
    }
    // A pause costs this machine's own programs nothing but their own time.
    let pause = (!visitor.is_shared()).then_some(settings.proxy_client_idle);
    let body = ClientBody::new(body, BodyLimits { most: settings.proxy_max_body, pause }, unread);
    let collected =
        replay::collect(body, &proxy.budget, settings.proxy_replay, settings.proxy_replay_total).await;
    let collected = match collected {
        Ok(collected) => collected,
        Err(error) => {
            if is_hang_up(&error) {
                journal.end("client_left", None);
            }
            return refuse(Reply::of_body(&error, settings.proxy_max_body), wire, journal);
        }
    };
    // With its body read, the connection stays good for the client's next try.
    if let Some(until) = proxy.state.admit() {
        tracing::warn!(request_id = %journal.request_id, "proxy_rate_limited");
        return refuse(Reply::rate_limited(until, clock::now()), wire, journal);
    }
    let mut wants_stream = false;
    if let Collected::Whole { chunks, .. } = &collected {
        journal.bytes_up = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        // What stands in a compressed body is not looked at.
        if !parts.headers.contains_key(CONTENT_ENCODING) {
            let named = session::scan(wire, chunks);
            (journal.session, journal.model) = (named.session, named.model);
            wants_stream = named.stream;
        }
        if settings.trace_prompts {
            journal.prompt = super::prompt::hint_and_head(chunks);
        }
    }
    rewrite::for_upstream(&mut parts.headers);
    if parts.version == Version::HTTP_2 {
        rewrite::join_cookies(&mut parts.headers);
    }
    let body = Some(collected);
    let exchange =
        Exchange { proxy, settings, wire, endpoint, parts, body, passing: None, wants_stream, journal };
    Box::new(exchange).respond().await
}

/// A request while it looks for a key that serves it.
pub(super) struct Exchange {
    pub(super) proxy: Arc<Proxy>,
    pub(super) settings: Arc<Settings>,
    pub(super) wire: Wire,
    pub(super) endpoint: Cow<'static, str>,
    pub(super) parts: Box<http::request::Parts>,
    pub(super) body: Option<Collected>,
    /// The part of the budget of a body that is being passed on.
    pub(super) passing: Option<Share>,
    /// Its body asks for an event stream.
    wants_stream: bool,
    pub(super) journal: Box<Journal>,
}

/// What the attempts so far have used up.
#[derive(Default)]
struct Spent {
    tried: Vec<Fingerprint>,
    failovers: u32,
    retries: u32,
    /// Those of the tried keys that are asked again where there is no other: their accounts had as many in flight as they
    /// may have, or their host failed.
    aside: Vec<Fingerprint>,
    was_full: bool,
    /// Of KMI_QUEUE_MAX_WAIT_SECONDS. Time at the upstream is no waiting.
    queued: Duration,
    last: Option<(Box<Failure>, Arc<str>)>,
}

impl Exchange {
    /// The response, as soon as there is an answer or the client has waited long enough without one.
    async fn respond(mut self: Box<Self>) -> Response<ProxyBody> {
        if !(self.wants_stream && self.streams()) {
            let answer = self.attempts().await;
            return self.answered(answer);
        }
        let request_id = self.journal.request_id;
        let head_out = HeadOut::default();
        self.journal.head_out = Some(Arc::clone(&head_out));
        let mut answering = Box::pin(async move {
            let answer = self.attempts().await;
            (self, answer)
        });
        if let Ok((exchange, answer)) = timeout(LONGEST_SILENCE, &mut answering).await {
            return exchange.answered(answer);
        }
        let late = async move {
            let (exchange, answer) = answering.await;
            exchange.answered_late(answer)
        };
        keepalive::response(request_id, &head_out, late)
    }

    async fn attempts(&mut self) -> Answer {
        let mut spent = Spent::default();
        loop {
            let left = self.settings.queue_max_wait.saturating_sub(spent.queued);
            let patience = Patience { until: Instant::now() + left, most: self.settings.queue_max };
            let Waited { lease, queued } = self.lease(&mut spent, patience).await;
            spent.queued += queued.unwrap_or_default();
            self.journal.waited(queued);
            let mut lease = match lease {
                Ok(lease) => lease,
                Err(why) => {
                    let demand = self.demand(&spent);
                    self.journal.refused = Some(Box::new(self.proxy.state.explain_refusal(&demand)));
                    return self.no_key(&why, spent.last);
                }
            };
            self.journal.attempt(&mut lease);
            let label = Arc::clone(&lease.key().label);
            let met = match self.attempt(lease.key()).await {
                Ok(response) => {
                    if response.status().is_success() {
                        lease.head_came(self.streams());
                    }
                    let may_be_held = self.may_try_again(&spent);
                    match self.look_at(response, may_be_held) {
                        Seen::Met(met) => met,
                        // Boxed, so that requests which are simply answered hold no room for them.
                        Seen::Refused(response) => Box::pin(self.understand(response)).await,
                        Seen::Held(response) => Box::pin(self.hold(response)).await,
                    }
                }
                Err(error) => Met::Broken(error),
            };
            let error = match met {
                Met::Begun(begun) => return Answer::Passed(begun, lease),
                Met::Failed(failed) => {
                    self.journal.attempt_met(Some(failed.parts.status), failed.outcome.name());
                    if let Outcome::Broke(fault) = failed.outcome {
                        tracing::warn!(
                            request_id = %self.journal.request_id, key = %label, phase = ?fault.phase,
                            kind = fault.kind.name(), "proxy_upstream_error"
                        );
                    }
                    let fingerprint = lease.key().fingerprint;
                    lease.end(&failed.outcome);
                    if !self.tries_again(&mut spent, failed.verdict.retry, fingerprint).await {
                        return self.last_failure(failed, label);
                    }
                    spent.last = Some((failed, label));
                    continue;
                }
                Met::Broken(error) => error,
            };
            if error.client_broke {
                lease.end(&Outcome::ClientLeft);
                let said = client_error(&error);
                if said.is_none_or(is_hang_up) {
                    self.journal.end("client_left", None);
                }
                let most = self.settings.proxy_max_body;
                return Answer::Own(said.map_or_else(Reply::broken_body, |said| Reply::of_body(said, most)));
            }
            let causes: Vec<String> = chain(&error).skip(1).map(ToString::to_string).collect();
            tracing::warn!(
                request_id = %self.journal.request_id, key = %label, error = %error,
                cause = causes.join(": "), "proxy_upstream_error"
            );
            let host = lease.key().base_url.host().to_owned();
            let fingerprint = lease.key().fingerprint;
            let outcome = error.outcome();
            self.journal.attempt_met(None, outcome.name());
            lease.end(&outcome);
            // Another key or host would meet the same.
            if error.fault.kind == FaultKind::NoRoom {
                return Answer::Own(Reply::no_room(&error, &host));
            }
            // What an earlier key met is not the last word any more.
            spent.last = None;
            if !self.tries_again(&mut spent, Retry::Later, fingerprint).await {
                return Answer::Own(Reply::unreachable(&error, &host));
            }
        }
    }

    /// A key for the next attempt. After a refusal for being one too many, or a failure of its host, another key serves
    /// at once, where there is one; else the same account does, when it has a slot.
    async fn lease(&self, spent: &mut Spent, patience: Patience) -> Waited {
        if !spent.aside.is_empty() {
            let demand = self.demand(spent);
            let at_once = self.proxy.state.lease_or_wait(&demand, Patience { most: 0, ..patience }).await;
            if at_once.lease.is_ok() {
                return at_once;
            }
            let aside = std::mem::take(&mut spent.aside);
            spent.tried.retain(|key| !aside.contains(key));
        }
        self.proxy.state.lease_or_wait(&self.demand(spent), patience).await
    }

    fn demand<'a>(&self, spent: &'a Spent) -> Demand<'a> {
        let client = Some(ClientId::of(&self.parts.headers));
        Demand { tried: &spent.tried, session: self.journal.session, client }
    }

    /// Whether there can be another attempt, whatever this one meets.
    fn may_try_again(&self, spent: &Spent) -> bool {
        let other_key =
            spent.failovers < self.settings.proxy_failover_max && self.proxy.state.mode() != Mode::Manual;
        self.can_repeat() && (other_key || spent.retries < self.settings.proxy_retry_max)
    }

    /// Whether its body is kept: one that is passed on has one attempt.
    pub(super) fn can_repeat(&self) -> bool {
        self.body.as_ref().is_some_and(Collected::is_whole)
    }

    /// Whether another attempt is to be made; waits for its backoff.
    async fn tries_again(&self, spent: &mut Spent, retry: Retry, used: Fingerprint) -> bool {
        if !self.can_repeat() {
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
            Retry::WhenFree => {
                spent.failovers += 1;
                if spent.failovers > self.settings.proxy_failover_max {
                    return false;
                }
                spent.tried.push(used);
                spent.aside.push(used);
                // The cap is lower now: the next attempt waits for a slot. What fills the account from elsewhere
                // nobody here can see, so a second refusal is followed by a pause.
                if std::mem::replace(&mut spent.was_full, true) {
                    self.back_off(spent.failovers).await;
                }
                true
            }
            Retry::Later => {
                if spent.retries >= self.settings.proxy_retry_max {
                    return false;
                }
                spent.retries += 1;
                if self.proxy.state.mode() != Mode::Manual {
                    self.leave_host(spent, used);
                }
                self.back_off(spent.retries - 1).await;
                true
            }
        }
    }

    /// Sets the keys of a host that failed aside, where another host has keys. Where it is the only one, the others are set
    /// aside, so that the same key asks again: another account would meet the same, and lose its cache, and two accounts
    /// that meet it would be taken for an outage.
    fn leave_host(&self, spent: &mut Spent, used: Fingerprint) {
        let keys = self.proxy.state.keys();
        let Some(failed) = keys.iter().find(|key| key.fingerprint == used) else { return };
        let is_here = |key: &&Arc<Key>| key.base_url.shares_host(&failed.base_url);
        let is_only_host = keys.iter().all(|key| is_here(&key));
        let leaves = |key: &&Arc<Key>| if is_only_host { key.fingerprint != used } else { is_here(key) };
        for key in keys.iter().filter(leaves) {
            // What refused this request before is not asked again.
            if !spent.tried.contains(&key.fingerprint) {
                spent.tried.push(key.fingerprint);
                spent.aside.push(key.fingerprint);
            }
        }
    }

    async fn back_off(&self, grown: u32) {
        let base = self.settings.proxy_retry_base;
        // Full jitter: anything between nothing and the grown backoff.
        let full = cooldown::backoff(base, grown, LONGEST_BACKOFF.max(base), 1023);
        tokio::time::sleep(full.mul_f64(fastrand::f64())).await;
    }

    /// No other attempt follows. An account that has as many in flight as it may comes free by itself, but clients give
    /// up a turn at any 403 [kimi-upstream.md, 2026-11]: they get an answer after which they ask again.
    fn last_failure(&self, failed: Box<Failure>, label: Arc<str>) -> Answer {
        if failed.verdict.retry != Retry::WhenFree {
            return Answer::Failed(failed, label);
        }
        let reply = Reply::account_full(&label);
        tracing::warn!(request_id = %self.journal.request_id, why = reply.code, "no_keys_available");
        Answer::Own(reply)
    }

    /// No key is left: an answer of the upstream stands if the keys themselves are fine, else kmid says which key
    /// is in what state.
    fn no_key(&mut self, why: &NoLease, last: Option<(Box<Failure>, Arc<str>)>) -> Answer {
        let keys_are_fine = |label: &str| match why {
            NoLease::Refused(refusal) | NoLease::QueueFull(refusal) => {
                refusal.has_tried(label) || refusal.down.is_some()
            }
            NoLease::Ending => true,
        };
        // What the keys look like now says more than that one of them was full before.
        let last = last.filter(|(failed, _)| failed.verdict.retry != Retry::WhenFree);
        match last {
            Some((failed, label)) if keys_are_fine(&label) || failed.verdict.retry == Retry::Later => {
                Answer::Failed(failed, label)
            }
            _ => {
                let reply = match why {
                    NoLease::Refused(refusal) => {
                        Reply::refusal(refusal, self.wire, clock::now(), &self.proxy.zone)
                    }
                    NoLease::QueueFull(_) => Reply::queue_full(self.settings.queue_max),
                    NoLease::Ending => Reply::ending(),
                };
                tracing::warn!(request_id = %self.journal.request_id, why = reply.code, "no_keys_available");
                Answer::Own(reply)
            }
        }
    }

    pub(super) fn streams(&self) -> bool {
        STREAMING.contains(&&*self.endpoint) && self.parts.method == Method::POST
    }
}

/// An answer to a request that is not let in. Of many such from one address one a minute is in the log and the trace;
/// the others are counted, so that nobody can fill these up from outside.
fn not_admitted(
    door: &Doorkeeper,
    visitor: Visitor,
    why: NotAdmitted,
    wire: Wire,
    mut journal: Box<Journal>,
) -> Response<ProxyBody> {
    if door.note(visitor, why.name()) {
        tracing::warn!(
            request_id = %journal.request_id, peer = %visitor.address, why = why.name(), "proxy_unauthorized"
        );
    } else {
        journal.is_quiet = true;
    }
    let stays = matches!(why, NotAdmitted::Token | NotAdmitted::Slowed(_));
    let mut response = refuse(Reply::not_admitted(why), wire, journal);
    if !stays {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A client that hung up is told nothing and has left; one that sent nonsense is refused.
fn is_hang_up(error: &ClientBodyError) -> bool {
    matches!(error, ClientBodyError::Broke(error) if !error.is_parse() && !error.is_user())
}

/// What the client's connection said, below what the upstream's made of it.
fn client_error(error: &SendError) -> Option<&ClientBodyError> {
    chain(error).skip_while(|cause| !cause.is::<ClientBroke>()).find_map(|cause| cause.downcast_ref())
}
