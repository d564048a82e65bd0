//! `GET <base>/__kmi/health` for load balancers: `ok` or not, and nothing else.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use kmid_core::pool::view::KeyState;
use tokio::time::Instant;

use super::tap::ProxyBody;
use crate::state::State;

/// Below the base path.
pub(super) const PATH: &str = "/__kmi/health";
/// What is below this is kmid's own and never the API's.
pub(super) const OWN: &str = "/__kmi/";

/// Nobody needs a token to ask, so the pool is looked at no more often than this.
const FRESH: Duration = Duration::from_secs(1);

/// The last look.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<(Instant, bool)>>);

impl Health {
    /// Whether kmid takes requests and has a key that needs no person first: one that only cools counts.
    pub(super) fn answer(&self, method: &Method, state: &State) -> Response<ProxyBody> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let good = match *last {
            Some((at, good)) if at.elapsed() < FRESH => good,
            _ => {
                let serves = |state| matches!(state, KeyState::Ready | KeyState::Warn | KeyState::Cooling);
                state.view().keys.iter().any(|key| serves(key.state))
            }
        };
        if last.is_none_or(|(at, _)| at.elapsed() >= FRESH) {
            *last = Some((Instant::now(), good));
        }
        drop(last);
        if good { plain(StatusCode::OK, "ok\n") } else { plain(StatusCode::SERVICE_UNAVAILABLE, "not ok\n") }
    }
}

/// That somebody listens. Claude Code asks so at its start, at the address that it was given (2.1, 2026-11).
pub(super) fn here() -> Response<ProxyBody> {
    plain(StatusCode::OK, "")
}

fn plain(status: StatusCode, text: &'static str) -> Response<ProxyBody> {
    let mut response = Response::new(ProxyBody::Own(VecDeque::from([Bytes::from_static(text.as_bytes())])));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}
