//! What is noted of a request on its way, and becomes its trace line at its end.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, StatusCode};
use kmid_core::key::Fingerprint;
use kmid_core::kimi::error::ErrorText;
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::Outcome;
use kmid_core::pool::Decision;
use kmid_core::session::SessionId;
use tokio::time::Instant;

use super::keepalive::HeadOut;
use super::path;
use crate::clock;
use crate::local_time::Zone;
use crate::state::trace::{RequestId, TraceAttempt, TraceAttempts, TraceRecord};
use crate::state::{Lease, State};
use crate::upstream::request_body::Progress;

/// Most bytes of an endpoint that are noted.
const LONGEST_ENDPOINT: usize = 200;

/// What is noted of a request. Ends exactly once: when told to, or, dropped before that, as *client left* or
/// *cut off*. Boxed from the beginning: it goes from hand to hand on its request's way.
#[derive(Debug)]
pub(super) struct Journal {
    state: Arc<State>,
    zone: Zone,
    began: Instant,
    attempt_began: Instant,
    /// The response's `x-kmi-request-id`.
    pub(super) request_id: RequestId,
    method: Method,
    /// Path below the base path.
    endpoint: Cow<'static, str>,
    status: u16,
    ttfb: Option<std::time::Duration>,
    /// Set when the head, with status 200, went out before there was an answer.
    pub(super) head_out: Option<HeadOut>,
    key: Option<(Arc<str>, Fingerprint)>,
    rotation_index: u64,
    attempts: TraceAttempts,
    queued: Option<std::time::Duration>,
    /// The session that the body names.
    pub(super) session: Option<SessionId>,
    /// Why there was no key for it.
    pub(super) refused: Option<Box<Decision>>,
    /// The model that the body names.
    pub(super) model: Option<Box<str>>,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    pub(super) prompt: (Box<str>, Box<str>),
    /// Bytes of a collected request body.
    pub(super) bytes_up: u64,
    /// Bytes of a request body that were passed on as they came.
    pub(super) passed_up: Option<Progress>,
    pub(super) bytes_down: u64,
    pub(super) tokens: Option<Tokens>,
    /// Whose token let it in, where that has a name.
    pub(super) client_name: Option<Arc<str>>,
    /// It was not let in and is only counted: no line of the trace.
    pub(super) is_quiet: bool,
    ended: bool,
}

impl Journal {
    pub(super) fn begin(state: Arc<State>, zone: Zone, method: &Method, path: &str) -> Box<Self> {
        state.begin_request();
        let now = Instant::now();
        Box::new(Self {
            state,
            zone,
            began: now,
            attempt_began: now,
            request_id: RequestId::new(fastrand::u64(..)),
            method: method.clone(),
            // What is not an endpoint is noted, too, but not without bounds.
            endpoint: path::kept(&path[..path.floor_char_boundary(LONGEST_ENDPOINT)]),
            status: 0,
            ttfb: None,
            head_out: None,
            key: None,
            rotation_index: 0,
            attempts: TraceAttempts::new(),
            queued: None,
            session: None,
            refused: None,
            model: None,
            prompt: (Box::default(), Box::default()),
            bytes_up: 0,
            passed_up: None,
            bytes_down: 0,
            tokens: None,
            client_name: None,
            is_quiet: false,
            ended: false,
        })
    }

    /// The request was in the queue for so long, before one attempt of it.
    pub(super) fn waited(&mut self, queued: Option<std::time::Duration>) {
        if let Some(queued) = queued {
            self.queued = Some(self.queued.unwrap_or_default() + queued);
        }
    }

    /// How long the request was in the queue, if it was.
    pub(super) fn queued(&self) -> Option<std::time::Duration> {
        self.queued
    }

    /// Why the last attempt got its key.
    pub(super) fn decision(&self) -> Option<&Decision> {
        self.attempts.last().map(|attempt| &attempt.decision)
    }

    pub(super) fn attempt(&mut self, lease: &mut Lease) {
        self.attempt_began = Instant::now();
        self.key = Some((Arc::clone(&lease.key().label), lease.key().fingerprint));
        self.rotation_index = lease.rotation_index();
        self.attempts.push(TraceAttempt {
            key_label: Arc::clone(&lease.key().label),
            status: None,
            outcome: "client_left",
            took: std::time::Duration::ZERO,
            decision: lease.take_decision(),
        });
    }

    /// What it means that the request is dropped before its end.
    pub(super) fn unfinished(&self) -> Outcome {
        self.state.unfinished()
    }

    /// An error event that no row knows.
    pub(super) fn note_unknown(&self, text: &ErrorText) {
        self.state.note_unknown(200, Some(text));
    }

    /// How the attempt under way stands or ended.
    pub(super) fn attempt_met(&mut self, status: Option<StatusCode>, outcome: &'static str) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.status = status.map(|status| status.as_u16()).or(attempt.status);
            attempt.outcome = outcome;
            attempt.took = self.attempt_began.elapsed();
        }
    }

    /// The head of the response goes out to the client.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.ttfb = Some(self.began.elapsed());
    }

    /// Whether the request is over.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The request is over.
    pub(super) fn end(&mut self, outcome: &'static str, error_code: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(at) = self.head_out.as_ref().and_then(|head_out| head_out.get()) {
            self.status = StatusCode::OK.as_u16();
            self.ttfb = Some(*at - self.began);
        }
        if self.is_quiet {
            return self.state.end_unseen();
        }
        self.state.end_request(TraceRecord {
            zone: self.zone.clone(),
            ended_at: clock::now(),
            request_id: self.request_id,
            method: std::mem::take(&mut self.method),
            endpoint: std::mem::take(&mut self.endpoint),
            status: self.status,
            latency: self.began.elapsed(),
            ttfb: self.ttfb,
            key: self.key.take(),
            rotation_index: self.rotation_index,
            attempts: std::mem::take(&mut self.attempts),
            queued: self.queued,
            session: self.session,
            client_name: self.client_name.take(),
            refused: self.refused.take(),
            model: self.model.take(),
            prompt_hint: std::mem::take(&mut self.prompt.0),
            prompt_head: std::mem::take(&mut self.prompt.1),
            tokens: self.tokens,
            bytes_up: self.passed_up.as_ref().map_or(self.bytes_up, Progress::sent),
            bytes_down: self.bytes_down,
            error_code,
            outcome,
        });
    }

    /// The request is over with what its last attempt meant.
    pub(super) fn end_with(&mut self, outcome: &Outcome) {
        let name = outcome.name();
        self.attempt_met(None, name);
        let error_code = match outcome {
            Outcome::Completed | Outcome::Answered | Outcome::ClientLeft | Outcome::CutOff => None,
            Outcome::Refused { .. } => Some(name),
            Outcome::Broke(fault) => Some(fault.kind.name()),
        };
        self.end(name, error_code);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if !self.ended {
            let unfinished = self.unfinished().name();
            self.attempt_met(None, unfinished);
            self.end(unfinished, None);
        }
    }
}
