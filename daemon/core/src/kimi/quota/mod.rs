//! What an account has left, as `/usages` says it.

mod field;
mod name;
mod parse;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::parse::parse;
use crate::said::Said;
use crate::time::Time;
use crate::{say, show_as_said};

/// One answer of `/usages`, every known shape brought into one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// `user.userId`: limits belong to it.
    pub account: Option<String>,
    /// `user.membership.level`
    pub plan: Option<String>,
    /// The account's e-mail, where an older shape names one.
    pub email: Option<String>,
    /// Every window, one entry a name, each with its worst reading; shortest first.
    pub windows: Vec<Window>,
    /// `parallel.limit`: requests in flight for the account.
    pub parallel_limit: Option<u32>,
    /// Whether quota outside the windows is left (`totalQuota` or a booster wallet that may be charged), so that a
    /// full window need not stop the account.
    pub extra_left: bool,
}

/// One quota window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// `5h`, `7d`, `month`, `month_code`, or the unknown window as the API names it.
    pub name: String,
    /// In the API's own unit: percent today, requests in 2025.
    pub limit: Option<f64>,
    /// In the same unit as `limit`.
    pub used: Option<f64>,
    /// 0 to 100.
    pub percent_left: f64,
    /// When it starts anew.
    pub resets_at: Option<Time>,
    /// How long it is, where known.
    pub length: Option<Duration>,
}

/// Why an answer of `/usages` could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// Not JSON.
    NotJson,
    /// JSON, but without any quota in it.
    NoQuota,
}

impl QuotaError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::NotJson => say!(quota_is_no_json),
            Self::NoQuota => say!(quota_is_none),
        }
    }
}

show_as_said!(QuotaError);

impl Quota {
    /// The window with the least left.
    #[must_use]
    pub fn worst(&self) -> Option<&Window> {
        self.windows.iter().min_by(|a, b| a.percent_left.total_cmp(&b.percent_left))
    }
}
