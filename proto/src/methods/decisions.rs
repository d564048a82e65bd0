//! Why a key was chosen: the same record in the trace, in `requests.get` and in `rotation.plan`.

use serde::{Deserialize, Serialize};

/// One choice: what there was to choose from, and what each candidate had for or against it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Decision {
    /// `manual`, `failover` or `auto`
    pub mode: String,
    /// `round-robin`, `most-left` or `drain`
    pub policy: String,
    /// `new`, `stayed`, `moved`, `lent_out` or `no_session`
    pub placement: String,
    /// The chosen one first, then in the order in which they would have been chosen, then those that could not.
    pub candidates: Vec<Candidate>,
    /// Candidates that are not listed, of a large pool.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_off: u64,
}

/// A key at the moment of the choice.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Candidate {
    /// Its label.
    pub key_label: String,
    /// Whether it was chosen.
    pub chosen: bool,
    /// `ready`, `warn`, `cooling`, `blocked` or `disabled`
    pub state: String,
    /// What kept it from being chosen, a stable word: `state`, `tried`, `at_cap`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
    /// Why it is in its state, or where it stands in the policy's order, a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the obstacle ends, where that is known, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// What the policy ranked it by; more is better. Its unit is the policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// KMI_KEY_PRIORITY
    pub priority: i32,
    /// Attempts in flight of its account.
    pub in_flight: u32,
    /// And the most there may be, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<u32>,
    /// What it had left.
    pub windows: Vec<CandidateWindow>,
}

/// A window of a candidate.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CandidateWindow {
    /// `5h`, `7d`, ...
    pub name: String,
    /// 0 to 100.
    pub percent_left: f64,
    /// How old the reading was.
    pub age_seconds: u64,
    /// `poll`, `error` or `ledger`
    pub source: String,
    /// RFC 3339
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
