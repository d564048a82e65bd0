//! Error answers in the shape of either wire.

use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::account::Dry;
use super::request::{BadBody, MOST_BODY, Wire};

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    kind: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    /// No key in the request [error table of kimi-upstream.md, 401, 2026-11].
    pub(super) fn no_key() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "invalid_authentication_error", "Invalid Authentication")
    }

    /// Nothing left, or too much at once [error table of kimi-upstream.md, 403, 2026-11].
    pub(super) fn dry(dry: Dry, wire: Wire) -> Self {
        let (kind, message) = match dry {
            Dry::Cycle => (quota_kind(wire), "You've reached your usage limit for this billing cycle."),
            Dry::Week => (quota_kind(wire), "You've reached your weekly (7-day) usage limit."),
            Dry::Parallel => ("permission_error", "You've reached your concurrent request limit."),
        };
        Self::new(StatusCode::FORBIDDEN, kind, message)
    }

    /// The request's body is no use.
    pub(super) fn bad_body(why: BadBody) -> Self {
        let message = match why {
            BadBody::TooLarge => format!("Invalid request: total message size exceeds limit {MOST_BODY}"),
            BadBody::Broken => "Invalid request: the body ended too early".to_owned(),
            BadBody::NotJson => "Invalid request: the body is not a valid JSON object".to_owned(),
        };
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// No such endpoint.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found_error", "The requested resource was not found")
    }

    /// The endpoint does not take this method.
    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", "Method not allowed")
    }

    /// The JSON body.
    pub(super) fn body(&self, wire: Wire) -> Bytes {
        let error = json!({ "type": self.kind, "message": self.message });
        let body = match wire {
            Wire::OpenAi => json!({ "error": error }),
            Wire::Anthropic => json!({ "type": "error", "error": error }),
        };
        body.to_string().into()
    }
}

/// Both types have been seen beside the quota texts [error table of kimi-upstream.md, 2026-11].
fn quota_kind(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAi => "access_terminated_error",
        Wire::Anthropic => "permission_error",
    }
}
