//! Response bodies on their way to the client: passed on byte for byte, watched for their true end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use kmid_core::kimi::error;
use kmid_core::kimi::sse::SseScanner;
use kmid_core::outcome::{FaultKind, Outcome, Phase};

use super::hold;
use super::journal::Journal;
use super::keepalive::KeepAlive;
use super::watch::Watch;
use crate::state::Lease;
use crate::upstream::body::UpstreamBody;
use crate::upstream::fault::{BoxError, SendError};

/// The body of a response to the client.
#[derive(Debug)]
pub(super) enum ProxyBody {
    /// Complete already.
    Own(VecDeque<Bytes>),
    /// The upstream's, as it comes.
    Passed(Box<Tap>),
    /// Begun before there was an answer.
    KeptAlive(Box<KeepAlive>),
    /// What a test gives it, when it does.
    #[cfg(test)]
    Fed(tokio::sync::mpsc::Receiver<Bytes>),
}

/// A response body of the upstream, watched.
#[derive(Debug)]
pub(super) struct Tap {
    read: VecDeque<Bytes>,
    body: UpstreamBody,
    watch: Watch,
    /// A clean end without the terminal event is a broken stream.
    must_terminate: bool,
    lease: Option<Lease>,
    journal: Box<Journal>,
    /// What a good end means.
    good: Outcome,
    /// The upstream is known to work.
    told: bool,
    /// What is known before the body's end: for error answers.
    known: Option<Outcome>,
    /// A break that waits until what came before it has been flushed to the client.
    breaking: Option<BoxError>,
    /// It has waited.
    flushed: bool,
}

impl Tap {
    /// Watches a successful response, of which `read` was read and seen by `watch`; the lease ends with the body.
    pub(super) fn new(
        read: VecDeque<Bytes>,
        body: UpstreamBody,
        watch: Watch,
        must_terminate: bool,
        good: Outcome,
        lease: Lease,
        journal: Box<Journal>,
    ) -> Self {
        let mut tap = Self {
            read,
            body,
            watch,
            must_terminate,
            lease: Some(lease),
            journal,
            good,
            told: false,
            known: None,
            breaking: None,
            flushed: false,
        };
        tap.tell();
        if tap.body.is_end_stream() {
            tap.journal.bytes_down = tap.read_bytes();
            if tap.is_cut_short() {
                hold::drop_last_byte(&mut tap.read);
                tap.cut_short();
            } else {
                tap.end();
            }
        }
        tap
    }

    /// Passes on an error answer whose outcome is recorded already; with `broken`, only what was read of it.
    pub(super) fn rest_of(
        read: VecDeque<Bytes>,
        body: UpstreamBody,
        broken: Option<SendError>,
        known: Outcome,
        journal: Box<Journal>,
    ) -> Self {
        Self {
            read,
            body,
            watch: Watch::Nothing,
            must_terminate: false,
            lease: None,
            journal,
            good: Outcome::Answered,
            told: true,
            known: Some(known),
            breaking: broken.map(Into::into),
            flushed: false,
        }
    }

    fn read_bytes(&self) -> u64 {
        self.read.iter().map(|chunk| chunk.len() as u64).sum()
    }

    /// The first output shows that the upstream works; the end may be minutes away.
    fn tell(&mut self) {
        if !self.told && self.watch.scanner().is_some_and(SseScanner::output_seen) {
            self.told = true;
            if let Some(lease) = &mut self.lease {
                lease.answered();
            }
        }
    }

    fn saw_terminal_event(&self) -> bool {
        self.watch.scanner().is_some_and(SseScanner::terminal)
    }

    /// A stream that cannot be judged counts as complete.
    fn is_cut_short(&self) -> bool {
        self.must_terminate && self.watch.scanner().is_some_and(|events| !events.terminal())
    }

    /// It has come to its good end, whether or not somebody will read it to there.
    pub(super) fn end(&mut self) {
        let good = self.good;
        self.finish(&good);
    }

    /// Ends lease and journal; the first call counts.
    fn finish(&mut self, outcome: &Outcome) {
        if self.journal.has_ended() {
            return;
        }
        let outcome = match (self.known, self.watch.error()) {
            (Some(known), _) => known,
            (None, Some(text)) if *outcome == self.good => {
                let verdict = error::classify(200, Some(text));
                if !verdict.row.is_known() {
                    self.journal.note_unknown(text);
                }
                Outcome::Refused { status: 200, verdict, retry_after: None }
            }
            _ => *outcome,
        };
        self.journal.tokens = self.watch.tokens();
        if let Some(mut lease) = self.lease.take() {
            lease.took(self.journal.tokens.unwrap_or_default());
            lease.end(&outcome);
        }
        self.journal.end_with(&outcome);
    }

    fn cut_short(&mut self) {
        self.broke(SendError::new(Phase::Body, FaultKind::Truncated, "no terminal event"));
    }

    /// What came cannot be what its head says.
    fn unreadable(&mut self, error: &std::io::Error) {
        self.broke(SendError::new(Phase::Body, FaultKind::Protocol, error.to_string()));
    }

    fn broke(&mut self, error: SendError) {
        tracing::warn!(
            request_id = %self.journal.request_id, phase = ?error.fault.phase, kind = error.fault.kind.name(),
            "proxy_upstream_error"
        );
        // All that the upstream is asked for had come by then.
        let had_all = self.saw_terminal_event();
        let outcome = if had_all { self.good } else { error.outcome() };
        self.finish(&outcome);
        self.breaking = Some(error.into());
    }

    /// Breaks the client's response, but not in the same breath as the bytes before: the server would throw them away
    /// unsent.
    fn poll_break(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !std::mem::replace(&mut self.flushed, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.breaking.take().map(Err))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(chunk) = self.read.pop_front() {
            self.journal.bytes_down += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if self.breaking.is_some() {
            return self.poll_break(cx);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            // Trailers are the end. Of a stream that is cut short they would make a complete one.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() && self.is_cut_short() => {
                self.cut_short();
                self.poll_break(cx)
            }
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(self.passed(frame)))),
            Poll::Ready(Some(Err(error))) => {
                self.broke(error);
                self.poll_break(cx)
            }
            Poll::Ready(None) if self.is_cut_short() => {
                self.cut_short();
                self.poll_break(cx)
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    /// Takes note of a frame on its way. Of a stream that is cut short the last byte is held back: with a length
    /// announced, the client would take it for complete.
    fn passed(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(data) = frame.data_ref() {
            self.watch.feed(data);
            self.tell();
        }
        // The server asks no further once it has sent as many bytes as the head announced.
        let is_all = self.body.size_hint().exact() == Some(0) || frame.is_trailers();
        if is_all || self.body.is_end_stream() {
            if self.is_cut_short() {
                self.cut_short();
                frame = frame.map_data(|data| data.slice(..data.len().saturating_sub(1)));
            } else {
                self.journal.bytes_down += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.end();
                return frame;
            }
        }
        self.journal.bytes_down += frame.data_ref().map_or(0, |data| data.len() as u64);
        frame
    }
}

impl ProxyBody {
    /// It cannot be decoded as its head says, and nobody will read on.
    pub(super) fn unreadable(&mut self, error: &std::io::Error) {
        if let Self::Passed(tap) = self {
            tap.unreadable(error);
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // kimi-cli closes right after `data: [DONE]`, every time [observed with 1.50, 2026-11]: that is no abort.
        let outcome = if self.saw_terminal_event() { self.good } else { self.journal.unfinished() };
        self.finish(&outcome);
    }
}

impl Body for ProxyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Own(chunks) => Poll::Ready(chunks.pop_front().map(|chunk| Ok(Frame::data(chunk)))),
            Self::Passed(tap) => tap.poll(cx),
            Self::KeptAlive(line) => line.poll(cx),
            #[cfg(test)]
            Self::Fed(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(chunks) => chunks.is_empty(),
            Self::Passed(tap) => tap.breaking.is_none() && tap.read.is_empty() && tap.body.is_end_stream(),
            Self::KeptAlive(_) => false,
            #[cfg(test)]
            Self::Fed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(chunks) => SizeHint::with_exact(chunks.iter().map(|chunk| chunk.len() as u64).sum()),
            // It does not come to the length that its head announces.
            Self::Passed(tap) if tap.breaking.is_some() => SizeHint::new(),
            Self::KeptAlive(_) => SizeHint::new(),
            #[cfg(test)]
            Self::Fed(_) => SizeHint::new(),
            Self::Passed(tap) => {
                let read = tap.read_bytes();
                let rest = tap.body.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower() + read);
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper + read);
                }
                hint
            }
        }
    }
}
