//! One scripted answer.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Gate;
use crate::http1::Fields;

/// An answer: what is sent, in which framing, where it waits, and how it ends.
#[derive(Debug)]
pub struct Reply {
    pub(super) read_body_first: bool,
    pub(super) before_head: Vec<Step>,
    pub(super) status: u16,
    pub(super) fields: Fields,
    pub(super) framing: Sent,
    pub(super) body: Vec<Step>,
    pub(super) trailers: Fields,
    pub(super) ending: Ending,
}

/// What happens next in an answer.
#[derive(Debug)]
pub(super) enum Step {
    /// Bytes of the body, or before the head bytes as they are.
    Send(Bytes),
    /// Wait for the test.
    Wait(Gate),
    /// Whatever the test sends, until it drops its end.
    Feed(mpsc::Receiver<Bytes>),
}

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// `Content-Length` of what is in the steps.
    Counted,
    /// `Content-Length` of this, whatever is sent.
    Declared(u64),
    /// `Transfer-Encoding: chunked`, one chunk a step.
    Chunked,
    /// Neither: up to the connection's end.
    ToEnd,
    /// No body and no field about it (204, 304).
    Bodiless,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The connection stays open for the next request.
    KeepAlive,
    /// The connection is closed in order, after whatever has been sent.
    Close,
    /// The same without a head: the request gets no byte at all.
    CloseBeforeHead,
    /// The connection is reset.
    Reset,
    /// The same without a head.
    ResetBeforeHead,
    /// Nothing more comes until the other side leaves.
    Stall,
}

impl Reply {
    /// An answer without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let framing = if matches!(status, 204 | 304) { Sent::Bodiless } else { Sent::Counted };
        Self {
            read_body_first: true,
            before_head: Vec::new(),
            status,
            fields: Fields::default(),
            framing,
            body: Vec::new(),
            trailers: Fields::default(),
            ending: Ending::KeepAlive,
        }
    }

    /// A JSON answer with its length.
    #[must_use]
    pub fn json(status: u16, value: &Value) -> Self {
        Self::status(status).field("content-type", "application/json").send(value.to_string())
    }

    /// An error as the OpenAI wire words it.
    #[must_use]
    pub fn openai_error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"error": {"message": message, "type": kind}}))
    }

    /// An error as the Anthropic wire words it.
    #[must_use]
    pub fn anthropic_error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}))
    }

    /// An event stream, chunked; add its events with [`send`](Self::send), [`wait`](Self::wait) or
    /// [`feed`](Self::feed).
    #[must_use]
    pub fn sse() -> Self {
        Self::status(200)
            .field("content-type", "text/event-stream")
            .field("cache-control", "no-cache")
            .chunked()
    }

    /// No answer at all.
    #[must_use]
    pub fn none(ending: Ending) -> Self {
        Self::status(500).ending(ending)
    }

    /// Changes the status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a response field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.0.push((name.into(), value.into()));
        self
    }

    /// Adds bytes to the body.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body.push(Step::Send(bytes.into()));
        self
    }

    /// Waits in the body for the test.
    #[must_use]
    pub fn wait(mut self, gate: &Gate) -> Self {
        self.body.push(Step::Wait(gate.clone()));
        self
    }

    /// Lets the test send the body piece by piece.
    #[must_use]
    pub fn feed(mut self, pieces: mpsc::Receiver<Bytes>) -> Self {
        self.body.push(Step::Feed(pieces));
        self
    }

    /// Waits before the head.
    #[must_use]
    pub fn head_after(mut self, gate: &Gate) -> Self {
        self.before_head.push(Step::Wait(gate.clone()));
        self
    }

    /// Sends bytes before the head: an interim response, or something that is not HTTP.
    #[must_use]
    pub fn raw_before_head(mut self, bytes: impl Into<Bytes>) -> Self {
        self.before_head.push(Step::Send(bytes.into()));
        self
    }

    /// Sends the body chunked, one chunk a step.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.framing = Sent::Chunked;
        self
    }

    /// Sends the body up to the connection's end.
    #[must_use]
    pub fn to_end(mut self) -> Self {
        self.framing = Sent::ToEnd;
        self.ending(Ending::Close)
    }

    /// Declares a length, whatever is sent.
    #[must_use]
    pub fn declared(mut self, length: u64) -> Self {
        self.framing = Sent::Declared(length);
        self
    }

    /// Adds a trailer; the body must be chunked.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.0.push((name.into(), value.into()));
        self
    }

    /// Answers without reading the request's body first.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.read_body_first = false;
        self
    }

    /// Leaves out the last so many pieces of the body.
    #[must_use]
    pub fn without_last(mut self, pieces: usize) -> Self {
        self.body.truncate(self.body.len().saturating_sub(pieces));
        self
    }

    /// How it ends.
    #[must_use]
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }
}
