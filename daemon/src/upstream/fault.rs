//! Transport errors and the faults they amount to.

use std::error::Error;
use std::fmt;
use std::io;

use kmid_core::outcome::{Fault, FaultKind, Outcome, Phase};

use super::client_body::ClientBodyError;
use super::lack;
use super::request_body::Progress;

/// A boxed cause.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request got no response head, or its response no end.
#[derive(Debug)]
pub struct SendError {
    /// How far it had come, and what happened.
    pub fault: Fault,
    /// The client's own request body broke: nobody upstream is to blame.
    pub client_broke: bool,
    /// No byte of a response had come, and its connection is to blame: HTTP/2 can also say that a request was not taken
    /// up.
    pub nothing_came: bool,
    source: BoxError,
}

impl SendError {
    pub(crate) fn new(phase: Phase, kind: FaultKind, source: impl Into<BoxError>) -> Self {
        Self { fault: Fault { phase, kind }, client_broke: false, nothing_came: true, source: source.into() }
    }

    /// From an error of hyper's client.
    pub(crate) fn of_hyper(phase: Phase, error: hyper::Error, nothing_came: bool) -> Self {
        let kind = if error.is_parse() {
            FaultKind::Protocol
        } else if error.is_timeout() {
            FaultKind::Timeout
        } else {
            FaultKind::Closed
        };
        let client_broke = error.is_user() && find::<ClientBroke>(&error).is_some();
        Self { fault: Fault { phase, kind }, client_broke, nothing_came, source: error.into() }
    }

    /// From an error of a request on an HTTP/2 connection. A stream that is reset may have been at work for minutes; one
    /// whose connection ended, or that was refused (RFC 9113 8.7), has had nobody else's answer yet.
    pub(crate) fn of_http2(phase: Phase, error: hyper::Error, progress: &Progress) -> Self {
        if let Some(broke) = progress.take_break() {
            let error = Self::new(phase, FaultKind::Closed, broke);
            return Self { client_broke: true, nothing_came: false, ..error };
        }
        let is_lost = |error: &h2::Error| {
            error.is_go_away() || error.is_io() || error.reason() == Some(h2::Reason::REFUSED_STREAM)
        };
        let lost = find(&error).map_or(error.is_canceled() || error.is_closed(), is_lost);
        Self::of_hyper(phase, error, lost)
    }

    /// From an error while connecting.
    pub(crate) fn of_connect(error: impl Into<BoxError>) -> Self {
        let source: BoxError = error.into();
        // First: what kmid lacks makes look-ups fail, too.
        let kind = if chain(&*source).any(lack::is_ours) {
            FaultKind::NoRoom
        // hyper-util marks failed look-ups by their text only.
        } else if chain(&*source).any(|cause| cause.to_string().starts_with("dns error")) {
            if lack::is_full() { FaultKind::NoRoom } else { FaultKind::Dns }
        } else if chain(&*source).any(is_tls) {
            FaultKind::Tls
        } else {
            match find::<io::Error>(&*source).map(io::Error::kind) {
                Some(io::ErrorKind::TimedOut) => FaultKind::Timeout,
                Some(io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => FaultKind::Closed,
                _ => FaultKind::Refused,
            }
        };
        Self::new(Phase::Connect, kind, source)
    }
}

impl SendError {
    /// The same, or the client's doing where the upstream had all that came of the request and waited for the rest:
    /// then neither a silence nor a close says anything of the upstream.
    pub(crate) fn unless_waiting(self, upload: Option<&Progress>) -> Self {
        if self.client_broke || !upload.is_some_and(Progress::waits_for_client) {
            return self;
        }
        let why = match self.fault.kind {
            FaultKind::Timeout => ClientBodyError::Silent,
            FaultKind::Closed => ClientBodyError::Awaited,
            _ => return self,
        };
        let error = Self::new(self.fault.phase, self.fault.kind, ClientBroke(why.into()));
        Self { client_broke: true, nothing_came: false, ..error }
    }

    /// What it means for the key and its host.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.fault.kind {
            _ if self.client_broke => Outcome::ClientLeft,
            FaultKind::NoRoom => Outcome::CutOff,
            _ => Outcome::Broke(self.fault),
        }
    }

    fn is_too_large(&self) -> bool {
        find::<hyper::Error>(&*self.source).is_some_and(hyper::Error::is_parse_too_large)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let doing = match self.fault.phase {
            Phase::Connect => "connecting to the upstream",
            Phase::Send => "sending the request upstream",
            Phase::FirstByte => "waiting for the upstream's answer",
            Phase::Body => "reading the upstream's answer",
        };
        let what = match self.fault.kind {
            FaultKind::Dns => "its name did not resolve",
            FaultKind::Refused => "it cannot be reached",
            FaultKind::Tls => "TLS failed",
            FaultKind::Timeout => "nothing came for too long",
            FaultKind::Closed => "the connection was closed",
            FaultKind::Protocol if self.is_too_large() => "the head of its answer is too large",
            FaultKind::Protocol => "it did not speak HTTP",
            FaultKind::Truncated => "the stream ended without its terminal event",
            FaultKind::NoRoom => "this machine has no open file, port or memory left for it",
        };
        write!(f, "{doing}: {what}")
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// The client went away while its request body was being sent on.
#[derive(Debug)]
pub struct ClientBroke(pub BoxError);

impl fmt::Display for ClientBroke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client's request body broke off")
    }
}

impl Error for ClientBroke {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// An IO error does not name what it wraps among its causes: `source()` of it is that of the wrapped one.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    cause.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| wrapped.is::<rustls::Error>())
}

/// An error and all its causes.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|cause| cause.downcast_ref())
}
