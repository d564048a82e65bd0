//! A few requests to the proxy, as any client would send them.

use std::time::Duration;

use kmid_core::key::Secret;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

/// A model list is a few KB; nothing near this is one.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// A caller of the proxy.
#[derive(Debug)]
pub(crate) struct Caller {
    agent: Agent,
    token: Option<Secret>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// The body, if it was text.
    pub(crate) body: String,
}

impl Answer {
    /// A header as text; labels may be in any script.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// Whether kmid itself answered with this status, and not the API.
    pub(crate) fn is_refusal(&self, status: u16) -> bool {
        self.header("x-kmi-origin").as_deref() == Some("kmid") && self.status.as_u16() == status
    }

    /// Whether it came through kmid at all: every answer of its proxy carries one of these.
    pub(crate) fn is_from_kmid(&self) -> bool {
        self.headers.contains_key("x-kmi-request-id") || self.headers.contains_key("x-kmi-origin")
    }
}

impl Caller {
    /// Waits so long for each answer and presents the token, if there is one.
    pub(crate) fn new(timeout: Duration, token: Option<Secret>) -> Self {
        let agent = Agent::config_builder()
            .timeout_global((!timeout.is_zero()).then_some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            // The proxy is on this machine: a proxy of the environment has no business between.
            .proxy(None)
            .user_agent(concat!("kmi/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self { agent, token }
    }

    /// Sends a GET and reads the whole answer.
    pub(crate) fn get(&self, url: &str) -> Result<Answer, ureq::Error> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("x-kmi-proxy-token", token.expose());
        }
        let response = request.call()?;
        let (head, mut body) = response.into_parts();
        let body = body.with_config().limit(MAX_ANSWER).lossy_utf8(true).read_to_string()?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}
