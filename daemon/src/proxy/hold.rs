//! Event streams before the model's first output: read, but not yet given to the client, so that another attempt can
//! still stand in for them.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body_util::BodyExt;
use kmid_core::kimi::error::{self, ErrorText, Row};
use kmid_core::kimi::sse::SseScanner;
use kmid_core::kimi::wire::Wire;
use kmid_core::outcome::{FaultKind, Outcome, Phase};

use super::failure::Failure;
use super::watch::Watch;
use crate::state::State;
use crate::upstream::body::UpstreamBody;
use crate::upstream::fault::SendError;

/// What comes before the first output is a few hundred bytes and pings. A stream that goes on for longer is given to
/// the client whatever it is: nothing is held for ever.
const MOST_HELD: usize = 64 * 1024;
/// The same in pieces, because a small piece may keep a whole read buffer alive.
const MOST_PIECES: usize = 256;

/// A response that goes to the client from here on.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) parts: http::response::Parts,
    /// What was held of it.
    pub(super) read: VecDeque<Bytes>,
    pub(super) body: UpstreamBody,
    /// What has looked at the held bytes, if any were.
    pub(super) watch: Option<Watch>,
}

impl Begun {
    /// A response that is not held.
    pub(super) fn at_head(response: Response<UpstreamBody>) -> Self {
        let (parts, body) = response.into_parts();
        Self { parts, read: VecDeque::new(), body, watch: None }
    }
}

/// Reads an event stream up to the model's first output. Until then an error event, a broken transport and an end
/// without the terminal event are failures like an error answer: they keep what came, for the client to get if no
/// other attempt is made. A stream that cannot be read as it comes is not held.
pub(super) async fn until_output(
    response: Response<UpstreamBody>,
    wire: Wire,
    state: &State,
) -> Result<Begun, Failure> {
    let (parts, mut body) = response.into_parts();
    let mut watch = Watch::events(wire, &parts.headers);
    let mut read = VecDeque::new();
    let mut length = 0;
    loop {
        if let Some(text) =
            watch.error().filter(|_| watch.scanner().is_some_and(|events| !events.output_seen()))
        {
            return Err(refused(text.clone(), parts, read, body, state));
        }
        let is_waiting =
            |events: &SseScanner| !events.output_seen() && !events.terminal() && watch.reads_at_once();
        if !watch.scanner().is_some_and(is_waiting) || length > MOST_HELD || read.len() >= MOST_PIECES {
            return Ok(Begun { parts, read, body, watch: Some(watch) });
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                length += data.len();
                watch.feed(&data);
                read.push_back(data);
            }
            Some(Err(error)) => return Err(broke(error, parts, read, body)),
            None => {
                if parts.headers.contains_key(CONTENT_LENGTH) {
                    drop_last_byte(&mut read);
                }
                let error = SendError::new(Phase::Body, FaultKind::Truncated, "no event of the model came");
                return Err(broke(error, parts, read, body));
            }
        }
    }
}

/// With a length announced, a client that got all of it would take the stream for complete.
pub(super) fn drop_last_byte(read: &mut VecDeque<Bytes>) {
    while read.back().is_some_and(Bytes::is_empty) {
        read.pop_back();
    }
    if let Some(last) = read.back_mut() {
        last.truncate(last.len() - 1);
    }
}

fn refused(
    text: ErrorText,
    parts: http::response::Parts,
    read: VecDeque<Bytes>,
    body: UpstreamBody,
    state: &State,
) -> Failure {
    let status = parts.status.as_u16();
    let verdict = error::classify(status, Some(&text));
    if !verdict.row.is_known() {
        state.note_unknown(status, Some(&text));
    }
    let outcome = Outcome::Refused { status, verdict, retry_after: None };
    Failure { parts, read, rest: Some(body), broken: None, text: Some(text), verdict, outcome }
}

fn broke(
    error: SendError,
    parts: http::response::Parts,
    read: VecDeque<Bytes>,
    body: UpstreamBody,
) -> Failure {
    let outcome = error.outcome();
    let verdict = Row::UpstreamError.verdict();
    Failure { parts, read, rest: Some(body), broken: Some(error), text: None, verdict, outcome }
}
