//! The two wires of the API and the shapes of an error on each.

use serde_json::json;

/// Which protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// `/chat/completions` and everything else.
    OpenAi,
    /// `/messages` and below.
    Anthropic,
}

impl Wire {
    /// The wire of an endpoint, the path below the base path; a query may follow.
    #[must_use]
    pub fn of_endpoint(path: &str) -> Self {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        match path.strip_prefix("/messages") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Anthropic,
            _ => Self::OpenAi,
        }
    }
}

/// The body of an error answer in the wire's own shape, as `application/json`.
///
/// The OpenAI wire carries the status as `code`, so that a client that shows only the error object still names it.
#[must_use]
pub fn error_body(wire: Wire, status: u16, kind: &str, message: &str) -> Vec<u8> {
    let body = match wire {
        Wire::OpenAi => {
            json!({ "error": { "message": message, "type": kind, "code": status.to_string() } })
        }
        Wire::Anthropic => json!({ "type": "error", "error": { "type": kind, "message": message } }),
    };
    body.to_string().into_bytes()
}

/// The same error as an event inside a `text/event-stream` that has begun.
#[must_use]
pub fn error_stream_event(wire: Wire, status: u16, kind: &str, message: &str) -> Vec<u8> {
    let mut event = match wire {
        Wire::OpenAi => b"data: ".to_vec(),
        Wire::Anthropic => b"event: error\ndata: ".to_vec(),
    };
    event.extend(error_body(wire, status, kind, message));
    event.extend(b"\n\n");
    event
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::kimi::error::{error_event, parse};
    use crate::kimi::sse::SseScanner;

    #[test]
    fn the_wire_of_an_endpoint() {
        for path in ["/messages", "/messages?beta=true", "/messages/count_tokens", "/messages/"] {
            assert_eq!(Wire::of_endpoint(path), Wire::Anthropic, "{path}");
        }
        for path in
            ["/chat/completions", "/models", "/messagesx", "/v2/messages", "", "/", "/models?x=/messages"]
        {
            assert_eq!(Wire::of_endpoint(path), Wire::OpenAi, "{path}");
        }
    }

    #[test]
    fn our_own_errors_read_back() {
        let message = "no key can serve: \"alpha\" cools\nuntil 10:00";
        for wire in [Wire::OpenAi, Wire::Anthropic] {
            let body = error_body(wire, 429, "rate_limit_reached_error", message);
            let text = parse(&body).unwrap();
            assert_eq!(text.message, message);
            assert_eq!(text.kind.as_deref(), Some("rate_limit_reached_error"));
            assert_eq!(error_event(&body), Some(text.clone()));

            let mut scanner = SseScanner::new(wire);
            scanner.feed(&error_stream_event(wire, 429, "rate_limit_reached_error", message));
            assert!(scanner.terminal() && !scanner.output_seen());
            assert_eq!(scanner.error(), Some(&text));
        }
    }
}
