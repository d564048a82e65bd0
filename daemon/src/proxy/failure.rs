//! Error answers of the upstream: read within bounds, understood, and passed on unless another key can help.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::{HeaderMap, RETRY_AFTER};
use http_body_util::BodyExt;
use kmid_core::kimi::error::{self, ErrorText};
use kmid_core::kimi::retry_after::retry_after;
use kmid_core::outcome::{Certainty, Outcome, Verdict};
use tokio::time::{Instant, timeout_at};

use super::decode::{Readable, Reader};
use crate::clock;
use crate::state::State;
use crate::upstream::body::UpstreamBody;
use crate::upstream::fault::SendError;

/// Errors are short; of a longer one this much is looked at.
const MOST_READ: usize = 64 * 1024;
/// An error that takes longer to arrive is understood by what has come: another key may be waiting to help.
const LONGEST_READING: Duration = Duration::from_secs(3);

/// An error answer, with as much of its body as was read.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) parts: http::response::Parts,
    pub(super) read: VecDeque<Bytes>,
    /// What was not read, when there is more or it broke off.
    pub(super) rest: Option<UpstreamBody>,
    /// Why it broke off: the client's response has to break, too.
    pub(super) broken: Option<SendError>,
    /// What its structured fields say.
    pub(super) text: Option<ErrorText>,
    pub(super) verdict: Verdict,
    pub(super) outcome: Outcome,
}

/// Reads and understands an error answer.
pub(super) async fn understand(response: Response<UpstreamBody>, state: &State) -> Failure {
    let (parts, mut body) = response.into_parts();
    let mut read = VecDeque::new();
    let mut length = 0;
    let mut rest = None;
    let mut broken = None;
    let deadline = Instant::now() + LONGEST_READING;
    loop {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            rest = Some(body);
            break;
        };
        match frame {
            None => break,
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                length += data.len();
                read.push_back(data);
                if length > MOST_READ {
                    rest = Some(body);
                    break;
                }
            }
            // What came has to do for understanding it.
            Some(Err(error)) => {
                broken = Some(error);
                rest = Some(body);
                break;
            }
        }
    }
    let raw: Vec<u8> = read.iter().flatten().copied().take(MOST_READ).collect();
    let text = error::parse(&decoded(&parts.headers, raw));
    let status = parts.status.as_u16();
    let verdict = error::classify(status, text.as_ref());
    let wait = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.and_then(|value| retry_after(value, clock::now()));
    let outcome = Outcome::Refused { status, verdict, retry_after: wait };
    if !verdict.row.is_known() {
        state.note_unknown(status, text.as_ref());
    } else if status >= 500 {
        // An unknown text may repeat what the user wrote.
        let known = text.as_ref().filter(|_| verdict.sure == Certainty::Text);
        let said = known.map(|text| error::log_text(status, text));
        tracing::warn!(
            status,
            row = verdict.row.name(),
            sure = verdict.sure.name(),
            said,
            "proxy_upstream_error"
        );
    }
    Failure { parts, read, rest, broken, text, verdict, outcome }
}

/// A readable copy of a body; what cannot be decoded stays as it is.
fn decoded(headers: &HeaderMap, raw: Vec<u8>) -> Vec<u8> {
    let Some(mut copy) = Readable::of(Start::default(), headers) else { return raw };
    match copy.feed(&raw) {
        Ok(()) => std::mem::take(&mut copy.reader_mut().0),
        Err(_) => raw,
    }
}

/// As much of what is decoded as is looked at.
#[derive(Default)]
struct Start(Vec<u8>);

impl Reader for Start {
    fn read(&mut self, data: &[u8]) {
        let room = MOST_READ.saturating_sub(self.0.len());
        self.0.extend_from_slice(&data[..data.len().min(room)]);
    }
}
