//! What an attempt meant and whose fault it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kimi::error::Row;

/// Whose fault a failed attempt was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// This key: dead, or without the right to a model.
    Key,
    /// The account behind the key, and so every key of it.
    Account,
    /// What the client asked for.
    Request,
    /// The client program itself is refused.
    Client,
    /// The API or the way to it.
    Upstream,
    /// Nobody's: the client left.
    Nobody,
}

/// How far an attempt had come when its transport failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Resolving, connecting, TLS.
    Connect,
    /// Sending the request.
    Send,
    /// Waiting for the response head.
    FirstByte,
    /// Reading the response body.
    Body,
}

/// In which way a transport failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The name did not resolve.
    Dns,
    /// The connection was refused or unreachable.
    Refused,
    /// The TLS handshake failed.
    Tls,
    /// Nothing came for too long.
    Timeout,
    /// The connection was reset or closed.
    Closed,
    /// What came was not HTTP.
    Protocol,
    /// An event stream ended cleanly without its terminal event.
    Truncated,
    /// This machine had no open file, port or memory left for a connection. It says nothing of the upstream: its
    /// outcome is [`Outcome::CutOff`].
    NoRoom,
}

/// A transport failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    /// How far the attempt had come.
    pub phase: Phase,
    /// What happened.
    pub kind: FaultKind,
}

/// What an error answer asks the pool to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// No key is touched.
    Nothing,
    /// A short pause that grows with repetition.
    Backoff,
    /// A pause until the named window resets.
    CoolUntilReset(FullWindow),
    /// A stop that ends by its time, a good recheck or a person.
    Block(BlockReason),
    /// Fewer requests in flight for the account; no pause.
    LowerCap,
}

/// Which quota window a refusal says is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullWindow {
    /// Not said: whichever the readings show full.
    Unknown,
    /// The 7-day window.
    Week,
    /// The month.
    Month,
}

/// Why a key is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockReason {
    /// 401: dead key or wrong host.
    InvalidKey,
    /// 402: membership lapsed or unverifiable.
    Payment,
    /// The account was banned.
    Banned,
    /// The balance is used up.
    Balance,
}

/// Where another attempt makes sense before anything reached the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Nowhere: the answer goes to the client.
    No,
    /// On another key, at once (KMI_PROXY_FAILOVER_MAX).
    OtherKey,
    /// On whichever key has a slot, this one included when an attempt of its account has ended; counts as a failover,
    /// and needs no right to switch.
    WhenFree,
    /// After a backoff (KMI_PROXY_RETRY_MAX).
    Later,
}

/// What a verdict rests on, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// The text says it.
    Text,
    /// The type or code says it; the text is new.
    Type,
    /// The status alone says it.
    Status,
    /// No row matched: it is passed on, and nothing follows from it.
    Unknown,
}

impl Certainty {
    /// The stable word used in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Type => "type",
            Self::Status => "status",
            Self::Unknown => "unknown",
        }
    }
}

/// The meaning of an error answer. Until when it holds, the answer says in its `Retry-After` only
/// ([`Outcome::Refused`]), and the pool's readings know the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Verdict {
    /// The row of the error table that matched.
    pub row: Row,
    /// Whose fault it is.
    pub whose: Party,
    /// What the pool does about it.
    pub action: Action,
    /// Whether another attempt makes sense.
    pub retry: Retry,
    /// How sure it is.
    pub sure: Certainty,
}

/// What one attempt meant. Every lease ends with exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The response came to its true end, and the upstream did what it is there for: a 2xx to a request for the
    /// model. That alone proves a key.
    Completed,
    /// The response came to its true end and is no error, but proves nothing of the key: `/models` answers to keys
    /// that chat refuses [kodus-ai#1257, 2026-11], and so may a redirect.
    Answered,
    /// The upstream answered with an error.
    Refused {
        /// HTTP status.
        status: u16,
        /// What it means.
        verdict: Verdict,
        /// Until when, where the answer itself says so: its `Retry-After`, if it had a usable one.
        retry_after: Option<Duration>,
    },
    /// The transport failed, or the stream ended without its terminal event.
    Broke(Fault),
    /// The client went away first.
    ClientLeft,
    /// kmid could not go on: the time to drain was over, or it lacked what a connection takes
    /// ([`FaultKind::NoRoom`]).
    CutOff,
}

impl Outcome {
    /// Whose fault it was; `None` when there was none.
    #[must_use]
    pub fn whose(&self) -> Option<Party> {
        match self {
            Self::Completed | Self::Answered => None,
            Self::Refused { verdict, .. } => Some(verdict.whose),
            Self::Broke(_) => Some(Party::Upstream),
            Self::ClientLeft | Self::CutOff => Some(Party::Nobody),
        }
    }

    /// The stable name used in traces, events and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed | Self::Answered => "completed",
            Self::Refused { verdict, .. } => verdict.row.name(),
            Self::Broke(_) => "upstream_broke",
            Self::ClientLeft => "client_left",
            Self::CutOff => "cut_off",
        }
    }
}

impl BlockReason {
    /// The stable word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_key",
            Self::Payment => "payment",
            Self::Banned => "banned",
            Self::Balance => "balance",
        }
    }
}

/// The words that a cooldown's reason can be, so that a restored one is a known word again.
#[must_use]
pub(crate) fn reason_word(text: &str) -> &'static str {
    match text {
        "quota" => "quota",
        "rate_limited" => "rate_limited",
        _ => "exhausted",
    }
}

impl FaultKind {
    /// The stable word used in traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "connection_refused",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Truncated => "truncated",
            Self::NoRoom => "no_room",
        }
    }
}
