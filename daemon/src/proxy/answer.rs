//! What becomes of a request: the response that the client gets.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use kmid_core::kimi::wire::{self, Wire};
use kmid_core::outcome::Outcome;

use super::exchange::Exchange;
use super::failure::Failure;
use super::hold::Begun;
use super::journal::Journal;
use super::keepalive::{Decoder, Late};
use super::reply::Reply;
use super::rewrite;
use super::tap::{ProxyBody, Tap};
use super::watch::Watch;
use crate::state::Lease;

const EVENT_STREAM: &str = "text/event-stream";

/// How long the request waited for a key, in milliseconds, if it did.
const QUEUE_HEADER: HeaderName = HeaderName::from_static("x-kmi-queue-ms");

/// What the attempts of a request came to.
#[allow(clippy::large_enum_variant, reason = "moved once and never stored")]
pub(super) enum Answer {
    Own(Reply),
    Passed(Begun, Lease),
    Failed(Box<Failure>, Arc<str>),
}

/// An answer of kmid's own.
pub(super) fn refuse(reply: Reply, wire: Wire, mut journal: Box<Journal>) -> Response<ProxyBody> {
    let code = reply.code;
    let mut response = reply.into_response(wire, journal.request_id);
    if let Some(queued) = journal.queued() {
        let millis = u64::try_from(queued.as_millis()).unwrap_or(u64::MAX);
        response.headers_mut().insert(QUEUE_HEADER, HeaderValue::from(millis));
    }
    journal.answered(response.status());
    journal.end("refused", Some(code));
    response
}

impl Exchange {
    pub(super) fn answered(self, answer: Answer) -> Response<ProxyBody> {
        match answer {
            Answer::Own(reply) => refuse(reply, self.wire, self.journal),
            Answer::Passed(begun, lease) => self.pass(begun, lease),
            Answer::Failed(failed, label) => self.pass_failure(failed, &label),
        }
    }

    /// The same after the head went out: what is no event stream becomes an error event.
    pub(super) fn answered_late(mut self, answer: Answer) -> Late {
        let failed = |wire, status: StatusCode, kind: &str, message: &str| {
            Late::Failed(wire::error_stream_event(wire, status.as_u16(), kind, message).into())
        };
        let refuse_late = |mut journal: Box<Journal>, wire, reply: Reply| {
            journal.end("refused", Some(reply.code));
            failed(wire, reply.status, reply.kind, &reply.message)
        };
        let (headers, is_stream) = match &answer {
            Answer::Own(_) => (None, false),
            Answer::Passed(Begun { parts, .. }, _) => {
                (Some(&parts.headers), is_event_stream(parts.status, &parts.headers))
            }
            Answer::Failed(failed, _) => {
                (Some(&failed.parts.headers), is_event_stream(failed.parts.status, &failed.parts.headers))
            }
        };
        let decoder = headers.filter(|_| is_stream).map(Decoder::of);
        match (answer, decoder) {
            (Answer::Own(reply), _) => refuse_late(self.journal, self.wire, reply),
            (Answer::Passed(begun, lease), Some(Ok(decoder))) => {
                Late::Stream(self.pass(begun, lease).into_body(), decoder)
            }
            (Answer::Failed(failed, label), Some(Ok(decoder))) if failed.broken.is_none() => {
                Late::Stream(self.pass_failure(failed, &label).into_body(), decoder)
            }
            (Answer::Passed(begun, lease), _) => {
                // Nobody's fault: it cannot be given to the client any more.
                lease.end(&Outcome::Answered);
                self.journal.attempt_met(Some(begun.parts.status), Outcome::Answered.name());
                refuse_late(self.journal, self.wire, Reply::not_a_stream(&begun.parts))
            }
            (Answer::Failed(failure, _), _) => {
                self.journal.end_with(&failure.outcome);
                let Failure { parts, broken, text, .. } = *failure;
                let said = text.unwrap_or_default();
                let kind = said.kind.as_deref().unwrap_or("api_error");
                match broken {
                    Some(error) if is_stream => {
                        failed(self.wire, StatusCode::BAD_GATEWAY, kind, &error.to_string())
                    }
                    _ if said.message.is_empty() => failed(
                        self.wire,
                        parts.status,
                        kind,
                        &format!("the upstream answered {}", parts.status),
                    ),
                    _ => failed(self.wire, parts.status, kind, &said.message),
                }
            }
        }
    }

    /// Passes a good response on.
    fn pass(self, begun: Begun, mut lease: Lease) -> Response<ProxyBody> {
        let Begun { mut parts, read, body, watch } = begun;
        let is_stream = has_type(&parts.headers, EVENT_STREAM);
        let watch = watch.unwrap_or_else(|| match (self.streams(), is_stream) {
            (true, true) => Watch::events(self.wire, &parts.headers),
            (true, false) => Watch::json(&parts.headers),
            (false, _) => Watch::Nothing,
        });
        let must_terminate = self.streams() && is_event_stream(parts.status, &parts.headers);
        // What any key may ask, and what is no success, proves no key.
        let proves = self.streams() && parts.status.is_success();
        let good = if proves { Outcome::Completed } else { Outcome::Answered };
        // A stream says it with its first output.
        if proves && watch.scanner().is_none() {
            lease.answered();
        }
        let mut journal = self.journal;
        journal.attempt_met(Some(parts.status), "completed");
        journal.answered(parts.status);
        mark(&mut parts, &lease.key().label, &journal);
        // A body that is announced and never comes: nobody will read it to its end.
        let is_bare = self.parts.method == Method::HEAD
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut tap = Tap::new(read, body, watch, must_terminate && !is_bare, good, lease, journal);
        if is_bare {
            tap.end();
        }
        Response::from_parts(parts, ProxyBody::Passed(Box::new(tap)))
    }

    /// Passes an error answer on.
    fn pass_failure(self, failed: Box<Failure>, label: &str) -> Response<ProxyBody> {
        let Failure { mut parts, read, rest, broken, outcome, .. } = *failed;
        rewrite::without_long_wait(&mut parts.headers);
        let mut journal = self.journal;
        journal.answered(parts.status);
        mark(&mut parts, label, &journal);
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

/// The response's head as the client gets it.
fn mark(parts: &mut http::response::Parts, label: &str, journal: &Journal) {
    rewrite::for_client(&mut parts.headers);
    parts.version = Version::HTTP_11;
    let mut insert = |name: HeaderName, value: Bytes| {
        if let Ok(value) = HeaderValue::from_maybe_shared(value) {
            parts.headers.insert(name, value);
        }
    };
    insert(rewrite::REQUEST_ID, Bytes::copy_from_slice(journal.request_id.as_str().as_bytes()));
    insert(rewrite::KEY, Bytes::copy_from_slice(label.as_bytes()));
    if let Some(decision) = journal.decision() {
        insert(rewrite::DECISION, decision.short().into());
    }
    if let Some(queued) = journal.queued() {
        insert(QUEUE_HEADER, queued.as_millis().to_string().into());
    }
}

/// A stream that has a terminal event: one of errors may lack it.
pub(super) fn is_event_stream(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::OK && has_type(headers, EVENT_STREAM)
}

fn has_type(headers: &HeaderMap, essence: &str) -> bool {
    let is = |value: &str| {
        value.trim_start().split_at_checked(essence.len()).is_some_and(|(found, rest)| {
            let rest = rest.trim_start();
            found.eq_ignore_ascii_case(essence) && (rest.is_empty() || rest.starts_with(';'))
        })
    };
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_content_may_have_parameters_and_any_case() {
        for (value, is_stream) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            (" text/event-stream ;charset=utf-8", true),
            ("text/event-stream ", true),
            ("text/event-streams", false),
            ("text/event", false),
            ("application/json; x=text/event-stream", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(has_type(&headers, EVENT_STREAM), is_stream, "{value}");
        }
    }
}
