//! Answers that kmid makes itself, in the error shape of the client's wire.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use kmid_core::kimi::wire::{self, Wire};
use kmid_core::outcome::FaultKind;
use kmid_core::pool::outage::Down;
use kmid_core::pool::view::KeyState;
use kmid_core::pool::{Mode, Obstacle, Refusal, RefusedKey};
use kmid_core::time::Time;

use super::admission::NotAdmitted;
use super::path::BadPath;
use super::rewrite;
use super::tap::ProxyBody;
use crate::local_time::Zone;
use crate::state::trace::RequestId;
use crate::upstream::client_body::ClientBodyError;
use crate::upstream::fault::{SendError, chain};

/// A client that is told to wait longer than this stops instead: kimi-code honours any `Retry-After` and hung for
/// 1152 s [kimi-code#1796, 2026-11]; kimi-cli ignores more than 60.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// For what frees up at any moment.
const SOON: Duration = Duration::from_secs(5);

/// An answer of kmid's own, before it is put into a wire's shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `error.type`
    pub(super) kind: &'static str,
    /// The name in the trace.
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
}

impl Reply {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, message: message.into(), retry_after: None }
    }

    pub(super) fn not_admitted(why: NotAdmitted) -> Self {
        match why {
            NotAdmitted::ForeignHost => Self::new(
                StatusCode::FORBIDDEN,
                "permission_error",
                "foreign_host",
                "kmid answers on this machine's own names only; use http://127.0.0.1 with its port",
            ),
            NotAdmitted::WebPage => Self::new(
                StatusCode::FORBIDDEN,
                "permission_error",
                "web_page",
                "kmid does not answer web pages (the request has an Origin or Sec-Fetch-Site header)",
            ),
            NotAdmitted::Tunnel => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "invalid_request_error",
                "tunnel",
                "kmid is no CONNECT proxy; set it as the API's base URL",
            ),
            NotAdmitted::Token => Self::new(
                StatusCode::UNAUTHORIZED,
                "authentication_error",
                "unauthorized",
                "the proxy token is missing or wrong; set the client's API key to a token of kmid's KMI_PROXY_TOKEN or KMI_PROXY_TOKENS",
            ),
            NotAdmitted::Slowed(pause) => {
                let mut reply = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limit_error",
                    "slowed",
                    "too many wrong tokens came from this address; wait, then come with the right one",
                );
                reply.retry_after = Some(pause);
                reply
            }
        }
    }

    pub(super) fn bad_path(why: BadPath, base_path: &str) -> Self {
        match why {
            BadPath::Outside => Self::new(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "not_found",
                format!("nothing is here; the API's endpoints are below {base_path}/"),
            ),
            BadPath::Trick => Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "bad_path",
                "the path has dot segments, empty segments or backslashes; write it out plainly",
            ),
        }
    }

    pub(super) fn transfer_coding() -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "invalid_request_error",
            "transfer_coding",
            "kmid takes bodies with no transfer coding but chunked; send it so, or with Content-Encoding",
        )
    }

    pub(super) fn broken_body() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "client_body",
            "the request body broke off or was malformed; send the request again",
        )
    }

    /// A body that did not come to its end, or would not fit.
    pub(super) fn of_body(error: &ClientBodyError, most: Option<u64>) -> Self {
        match error {
            ClientBodyError::Broke(_) => Self::broken_body(),
            ClientBodyError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "invalid_request_error",
                "body_too_large",
                format!(
                    "the request body has more than {} MiB (KMI_PROXY_MAX_BODY_MB); send less or raise it",
                    most.unwrap_or_default() >> 20
                ),
            ),
            ClientBodyError::Silent => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                "client_silent",
                "nothing of the request body came for too long; send the request again",
            ),
            ClientBodyError::Awaited => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                "client_silent",
                "the upstream closed while the rest of the request body was still to come; send the request again",
            ),
        }
    }

    pub(super) fn rate_limited(until: Time, now: Time) -> Self {
        let mut reply = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "rate_limited",
            "kmid's limit over all keys is reached (KMI_PROXY_MAX_RPS, KMI_PROXY_MAX_RPM); wait or raise it",
        );
        reply.retry_after = Some(until.since(now));
        reply
    }

    pub(super) fn unreachable(error: &SendError, host: &str) -> Self {
        let timeout = error.fault.kind == FaultKind::Timeout;
        let status = if timeout { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
        let code = if timeout { "upstream_timeout" } else { "upstream_unreachable" };
        Self::new(status, "api_error", code, format!("{error} ({host}); `kmi doctor` looks closer"))
    }

    /// kmid cannot open a connection for what it lacks itself. Connections that end give it back.
    pub(super) fn no_room(error: &SendError, host: &str) -> Self {
        let cause = chain(error).last().map(ToString::to_string).unwrap_or_default();
        let message = format!(
            "{error} ({host}; {cause}); try again soon, and where it comes again raise the limit of open files for kmid \
             (`ulimit -n`, `LimitNOFILE=` of its service)"
        );
        let mut reply = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", "no_room", message);
        reply.retry_after = Some(SOON);
        reply
    }

    /// An answer that came when the response had begun as an event stream and that cannot be its rest.
    pub(super) fn not_a_stream(parts: &http::response::Parts) -> Self {
        let field = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let what = field(CONTENT_TYPE).unwrap_or("no type");
        let packed = field(CONTENT_ENCODING).map(|how| format!(", compressed as {how}")).unwrap_or_default();
        let message =
            format!("the upstream answered {} with {what}{packed} after the stream had begun", parts.status);
        Self::new(StatusCode::BAD_GATEWAY, "api_error", "not_a_stream", message)
    }

    /// What a request gets while the upstream's breaker is open: the upstream's own last answer, without asking it.
    fn upstream_down(down: &Down, now: Time) -> Self {
        let status = down.last.status.and_then(|status| StatusCode::from_u16(status).ok());
        let said = match status {
            Some(status) => format!("answered {} ({})", status.as_u16(), down.last.what),
            None => format!("gave no answer ({})", down.last.what),
        };
        let status = status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let kind = match status.as_u16() {
            402 | 403 => "permission_error",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            _ => "api_error",
        };
        let what = if down.only_for_client { "refuses this client program" } else { "is down" };
        let message = format!(
            "{} {what} for every key: it last {said}. kmid asks it again within seconds; `kmi health` says more.",
            down.host
        );
        let mut reply = Self::new(status, kind, "upstream_down", message);
        reply.retry_after = Some(down.until.since(now));
        reply
    }

    /// What a request gets when no key can serve it: which keys are in what state until when, and what to do.
    pub(super) fn refusal(refusal: &Refusal, wire: Wire, now: Time, zone: &Zone) -> Self {
        if let Some(down) = &refusal.down {
            return Self::upstream_down(down, now);
        }
        let keys = describe(refusal, zone);
        if refusal.total == 0 {
            let message = "kmid has no keys; put a key file into _auths/ (`kmi doctor` says where that is) and try again";
            return Self::new(StatusCode::FORBIDDEN, "permission_error", "no_keys", message);
        }
        let advice = match refusal.mode {
            Mode::Manual => "Automatic switching is off; `kmi rotate` switches to another key.",
            _ if refusal.all_are_disabled() => "`kmi keys enable LABEL` switches one on.",
            _ if refusal.needs_a_person() => {
                "`kmi health` says more, `kmi doctor --recheck-keys` tries them again."
            }
            _ => "`kmi health` says more.",
        };
        // With automatic switching off nobody has looked at the others.
        let who = if refusal.mode == Mode::Manual { "The active key cannot" } else { "No key can" };
        if refusal.needs_a_person() {
            let message = format!("{who} serve: {keys}. {advice}");
            return Self::new(StatusCode::FORBIDDEN, "permission_error", "keys_blocked", message);
        }
        let wait = refusal.soonest().map_or(SOON, |(_, until)| until.since(now));
        if wait <= LONGEST_WAIT {
            let message = format!("{who} serve right now: {keys}. {advice}");
            let mut reply =
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "keys_busy", message);
            reply.retry_after = Some(wait);
            return reply;
        }
        let message = match (refusal.mode, refusal.soonest()) {
            (Mode::Manual, _) => format!("{who} serve for now: {keys}. {advice}"),
            (_, None) => format!("No key has quota left: {keys}. {advice}"),
            (_, Some((key, until))) => {
                let until = zone.format(until);
                format!(
                    "No key has quota left: {keys}. The first that is ready again is {} at {until}. {advice}",
                    key.label
                )
            }
        };
        match wire {
            Wire::OpenAi => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "exceeded_current_quota_error",
                "keys_exhausted",
                message,
            ),
            Wire::Anthropic => {
                Self::new(StatusCode::FORBIDDEN, "permission_error", "keys_exhausted", message)
            }
        }
    }

    /// The API refused a request as one too many for the key's account as often as it could be sent.
    pub(super) fn account_full(label: &str) -> Self {
        let message = format!(
            "The API says that the account of {label} has too many requests in flight, and no other key took this one; \
             programs that use the account without kmid count, too. Try again soon; `kmi health` says more."
        );
        let mut reply = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "keys_busy", message);
        reply.retry_after = Some(SOON);
        reply
    }

    /// As many requests wait for a key as may.
    pub(super) fn queue_full(most: usize) -> Self {
        let message = format!(
            "The keys are busy and {most} requests wait for them already (KMI_QUEUE_MAX); try again soon."
        );
        let mut reply = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "queue_full", message);
        reply.retry_after = Some(SOON);
        reply
    }

    /// kmid drains: nobody waits for a key any more. The next start answers again.
    pub(super) fn ending() -> Self {
        let message =
            "kmid is about to end and takes no request that would have to wait for a key; try again";
        let mut reply = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", "ending", message);
        reply.retry_after = Some(SOON);
        reply
    }

    /// The answer in the wire's shape.
    pub(super) fn into_response(self, wire: Wire, request_id: RequestId) -> Response<ProxyBody> {
        let body = wire::error_body(wire, self.status.as_u16(), self.kind, &self.message);
        let mut response = Response::new(ProxyBody::Own(VecDeque::new()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(rewrite::ORIGIN, HeaderValue::from_static("kmid"));
        if let Ok(id) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(rewrite::REQUEST_ID, id);
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).clamp(1, LONGEST_WAIT.as_secs().into());
            headers.insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(1)));
        }
        *response.body_mut() = ProxyBody::Own(VecDeque::from([Bytes::from(body)]));
        response
    }
}

fn describe(refusal: &Refusal, zone: &Zone) -> String {
    let one = |key: &RefusedKey| {
        let until = |text: &str| match key.until {
            Some(until) => format!("{} {text} until {}", key.label, zone.format(until)),
            None => format!("{} {text}", key.label),
        };
        match key.obstacle {
            Obstacle::State => match (key.state, key.reason) {
                (KeyState::Disabled, _) | (_, None) => format!("{} is {}", key.label, key.state.name()),
                (state, Some(reason)) => until(&format!("is {} ({reason})", state.name())),
            },
            Obstacle::NoReading => format!(
                "{} has no fresh quota reading, without which it may not serve (KMI_REQUIRE_USAGE_BEFORE_REQUEST)",
                key.label
            ),
            Obstacle::Probing => format!("{} is being tried by another request", key.label),
            Obstacle::UpstreamDown => format!("{} has an upstream that is down", key.label),
            Obstacle::Tried => format!("{} failed just now", key.label),
            Obstacle::AtCap => format!("{} has as many requests in flight as its account allows", key.label),
            Obstacle::Ramping => format!("{} is taken up step by step", key.label),
            Obstacle::RateLimited => until("is at its rate limit"),
        }
    };
    // Twenty keys are enough for a sentence.
    refusal.keys.iter().take(20).map(one).collect::<Vec<_>>().join(", ")
}
