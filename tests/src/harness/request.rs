//! A request as a test writes it.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

use crate::http1::Fields;

/// The base path of the proxy unless a test sets another.
pub const BASE_PATH: &str = "/kmi-rotor/v1";

/// A request to be written.
#[derive(Debug, Clone)]
pub struct Request {
    pub(super) method: String,
    pub(super) target: String,
    fields: Fields,
    body: Option<Bytes>,
    chunked: bool,
}

impl Request {
    /// A request for an endpoint below the base path; `Host` is set unless a test sets it.
    #[must_use]
    pub fn new(method: &str, endpoint: &str) -> Self {
        Self::target(method, &format!("{BASE_PATH}{endpoint}"))
    }

    /// A request whose target is written as it is.
    #[must_use]
    pub fn target(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            fields: Fields::default(),
            body: None,
            chunked: false,
        }
    }

    /// `GET`
    #[must_use]
    pub fn get(endpoint: &str) -> Self {
        Self::new("GET", endpoint)
    }

    /// `POST` of a JSON value.
    #[must_use]
    pub fn post(endpoint: &str, value: &Value) -> Self {
        Self::new("POST", endpoint).field("Content-Type", "application/json").body(value.to_string())
    }

    /// A chat request that asks for no stream.
    #[must_use]
    pub fn chat() -> Self {
        Self::post("/chat/completions", &serde_json::json!({"model": "kimi-for-coding", "messages": []}))
    }

    /// A chat request that asks for a stream and, as the clients do, for the usage at its end.
    #[must_use]
    pub fn chat_stream() -> Self {
        let body = serde_json::json!({"model": "kimi-for-coding", "messages": [], "stream": true,
            "stream_options": {"include_usage": true}});
        Self::post("/chat/completions", &body)
    }

    /// The Anthropic wire's request, asking for a stream.
    #[must_use]
    pub fn message_stream() -> Self {
        let body =
            serde_json::json!({"model": "kimi-for-coding", "max_tokens": 9, "messages": [], "stream": true});
        Self::post("/messages?beta=true", &body).field("anthropic-version", "2023-06-01")
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields = self.fields.with(name, value);
        self
    }

    /// Sets the body, sent with its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body in chunks.
    #[must_use]
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The head as it goes out.
    #[must_use]
    pub fn head(&self) -> Bytes {
        let mut fields = Fields::default();
        if !self.fields.has("host") {
            fields = fields.with("Host", "localhost");
        }
        fields.0.extend(self.fields.0.iter().cloned());
        match &self.body {
            Some(_) if self.chunked => fields = fields.with("Transfer-Encoding", "chunked"),
            Some(body) if !fields.has("content-length") => {
                fields = fields.with("Content-Length", &body.len().to_string());
            }
            _ => {}
        }
        let mut head = BytesMut::from(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_bytes());
        head.extend_from_slice(&fields.to_wire());
        head.extend_from_slice(b"\r\n");
        head.freeze()
    }

    /// The body as it goes out.
    #[must_use]
    pub fn framed_body(&self) -> Bytes {
        let Some(body) = &self.body else { return Bytes::new() };
        if !self.chunked {
            return body.clone();
        }
        let mut framed = BytesMut::new();
        for chunk in body.chunks(7777) {
            framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            framed.extend_from_slice(chunk);
            framed.extend_from_slice(b"\r\n");
        }
        framed.extend_from_slice(b"0\r\n\r\n");
        framed.freeze()
    }
}
