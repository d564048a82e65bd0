//! What is noted of a request on its way, and becomes its trace line at its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, StatusCode};
use kmid_core::key::Fingerprint;
use kmid_core::kimi::usage::Tokens;
use kmid_core::outcome::Outcome;
use kmid_core::session::SessionId;
use tokio::time::Instant;

use crate::clock;
use crate::local_time::Zone;
use crate::state::trace::{TraceAttempt, TraceRecord};
use crate::state::{Lease, State};

/// What is noted of a request. Ends exactly once: when told to, or, dropped before that, as *client left*.
#[derive(Debug)]
pub(super) struct Journal {
    state: Arc<State>,
    zone: Zone,
    began: Instant,
    attempt_began: Instant,
    /// The response's `x-kmi-request-id`.
    pub(super) request_id: Box<str>,
    method: Method,
    /// Path below the base path.
    pub(super) endpoint: Box<str>,
    status: u16,
    ttfb: Option<std::time::Duration>,
    key: Option<(Arc<str>, Fingerprint)>,
    rotation_index: u64,
    attempts: Vec<TraceAttempt>,
    /// The session that the body names.
    pub(super) session: Option<SessionId>,
    /// Empty unless KMI_TRACE_PROMPTS=1.
    pub(super) prompt: (Box<str>, Box<str>),
    /// Bytes of the request body that were sent on.
    pub(super) bytes_up: Arc<AtomicU64>,
    pub(super) bytes_down: u64,
    pub(super) tokens: Option<Tokens>,
    ended: bool,
}

impl Journal {
    pub(super) fn begin(state: Arc<State>, zone: Zone, method: &Method, path: &str) -> Self {
        state.begin_request();
        let now = Instant::now();
        Self {
            state,
            zone,
            began: now,
            attempt_began: now,
            request_id: format!("{:016x}", fastrand::u64(..)).into(),
            method: method.clone(),
            // What is not an endpoint is noted, too, but not without bounds.
            endpoint: path.chars().take(200).collect::<String>().into(),
            status: 0,
            ttfb: None,
            key: None,
            rotation_index: 0,
            attempts: Vec::new(),
            session: None,
            prompt: (Box::default(), Box::default()),
            bytes_up: Arc::default(),
            bytes_down: 0,
            tokens: None,
            ended: false,
        }
    }

    pub(super) fn attempt(&mut self, lease: &Lease) {
        self.attempt_began = Instant::now();
        self.key = Some((Arc::clone(&lease.key().label), lease.key().fingerprint));
        self.rotation_index = lease.rotation_index();
        self.attempts.push(TraceAttempt {
            key_label: Arc::clone(&lease.key().label),
            status: None,
            outcome: "client_left",
            took: std::time::Duration::ZERO,
        });
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

    /// The request is over.
    pub(super) fn end(&mut self, outcome: &'static str, error_code: Option<&'static str>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.state.end_request(TraceRecord {
            zone: self.zone.clone(),
            ended_at: clock::now(),
            request_id: std::mem::take(&mut self.request_id),
            method: std::mem::take(&mut self.method),
            endpoint: std::mem::take(&mut self.endpoint),
            status: self.status,
            latency: self.began.elapsed(),
            ttfb: self.ttfb,
            key: self.key.take(),
            rotation_index: self.rotation_index,
            attempts: std::mem::take(&mut self.attempts),
            session: self.session,
            prompt_hint: std::mem::take(&mut self.prompt.0),
            prompt_head: std::mem::take(&mut self.prompt.1),
            tokens: self.tokens,
            bytes_up: self.bytes_up.load(Ordering::Relaxed),
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
            Outcome::Completed | Outcome::ClientLeft => None,
            Outcome::Refused { .. } => Some(name),
            Outcome::Broke(fault) => Some(fault.kind.name()),
        };
        self.end(name, error_code);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.attempt_met(None, "client_left");
        self.end("client_left", None);
    }
}
