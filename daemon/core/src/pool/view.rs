//! A consistent picture of the pool for readers; no secrets in it.

use std::sync::Arc;

use serde::Serialize;

use crate::account::AccountId;
use crate::key::Fingerprint;
use crate::kimi::quota::Quota;
use crate::kimi::usage::Tokens;
use crate::ledger::Figure;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::pool::outage::UpstreamView;
use crate::said::Said;
use crate::time::Time;

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Can serve.
    Ready,
    /// Can serve, but its worst window is under 20 %.
    Warn,
    /// Paused until a time.
    Cooling,
    /// Needs a person or a successful recheck.
    Blocked,
    /// Switched off in its file.
    Disabled,
}

impl KeyState {
    /// The word used in JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Warn => "warn",
            Self::Cooling => "cooling",
            Self::Blocked => "blocked",
            Self::Disabled => "disabled",
        }
    }

    /// Whether a key in this state may be leased.
    #[must_use]
    pub fn serves(self) -> bool {
        matches!(self, Self::Ready | Self::Warn)
    }
}

/// The whole pool at one moment.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// In pool order.
    pub keys: Vec<KeyView>,
    /// Place of the active key in `keys`.
    pub active: Option<usize>,
    /// Automatic rotation on.
    pub auto: bool,
    /// KMI_AUTO_ROTATE_ALLOWED
    pub allowed: bool,
    /// How keys are chosen.
    pub mode: super::Mode,
    /// The round-robin position.
    pub rotation_index: u64,
    /// Sessions that are known, those of keys that are gone included.
    pub sessions: usize,
    /// When a quota was last read.
    pub last_refresh: Option<Time>,
    /// KMI_ROTATE_POLICY
    pub policy: Policy,
    /// When no key has anything left at the present traffic, if no window resets before; `None` when unknown.
    pub empty_at: Option<Time>,
    /// The hosts that keys are sent to, in pool order.
    pub upstreams: Vec<UpstreamView>,
}

impl PoolView {
    /// The active key.
    #[must_use]
    pub fn active_key(&self) -> Option<&KeyView> {
        self.keys.get(self.active?)
    }
}

/// One key at one moment.
#[derive(Debug, Clone)]
pub struct KeyView {
    /// The person's name for it.
    pub label: Arc<str>,
    /// What it is remembered by.
    pub fingerprint: Fingerprint,
    /// The last four characters behind dots.
    pub masked: String,
    /// How it stands.
    pub state: KeyState,
    /// Why, a stable word: `quota`, `rate_limited`, `invalid_key`, `payment`, ...
    pub reason: Option<&'static str>,
    /// When the state ends by itself.
    pub until: Option<Time>,
    /// E-mail of the account.
    pub email: Option<String>,
    /// The file it came from.
    pub source: String,
    /// Where it is sent.
    pub base_url: String,
    /// Higher comes first.
    pub priority: i32,
    /// Last attempt.
    pub last_used: Option<Time>,
    /// Attempts made with it.
    pub requests: u64,
    /// Attempts in flight.
    pub in_flight: u32,
    /// Attempts in flight for its account.
    pub account_in_flight: u32,
    /// Most attempts in flight for its account.
    pub cap: u32,
    /// While the account is taken up step by step: most attempts in flight for now, less than `cap`.
    pub ramp: Option<u32>,
    /// By class.
    pub errors: ErrorCounts,
    /// Whose it is.
    pub account_id: AccountId,
    /// What its account has left, by the worst of all sources.
    pub figures: Vec<FigureView>,
    /// As the responses counted them.
    pub tokens: Tokens,
    /// Sessions that stay with it.
    pub sessions: usize,
    /// The last good reading and its time.
    pub reading: Option<(Quota, Time)>,
    /// Why the last refresh failed, if it did.
    pub refresh_error: Option<Said>,
}

/// A figure, and whether it is too old to be shown as how things stand.
#[derive(Debug, Clone, PartialEq)]
pub struct FigureView {
    /// The figure.
    pub figure: Figure,
    /// Nobody has looked for so long that it is history.
    pub stale: bool,
}

/// Error counts by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ErrorCounts {
    /// 401
    pub e401: u64,
    /// 402 and 403
    pub e403: u64,
    /// 429
    pub e429: u64,
    /// 5xx and transport failures
    pub e5xx: u64,
}

impl ErrorCounts {
    /// Counts an attempt, where it failed. A break of the upstream counts as its failure.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Refused { status: 401, .. } => self.e401 += 1,
            Outcome::Refused { status: 402 | 403, .. } => self.e403 += 1,
            Outcome::Refused { status: 429, .. } => self.e429 += 1,
            Outcome::Refused { status: 500.., .. } | Outcome::Broke(_) => self.e5xx += 1,
            Outcome::Refused { .. }
            | Outcome::Completed
            | Outcome::Answered
            | Outcome::ClientLeft
            | Outcome::CutOff => {}
        }
    }
}
