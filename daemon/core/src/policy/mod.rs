//! Which of the keys that can serve is taken: one file a policy, all of them pure.
//!
//! Every policy gives a candidate a score and a reason; `rank` brings them into order. KMI_KEY_PRIORITY comes before
//! any policy: a lower tier is used only while no key of a higher one can serve.

mod drain;
mod most_left;
mod round_robin;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::Duration;

use crate::account::AccountId;
use crate::time::Time;

/// KMI_ROTATE_POLICY
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Each in its turn.
    #[default]
    RoundRobin,
    /// The one with the most left in its worst window, weighed by the plan's size.
    MostLeft,
    /// The one whose quota would expire unused first.
    Drain,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::MostLeft, Self::Drain];

    /// The word used in settings, JSON and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::MostLeft => "most-left",
            Self::Drain => "drain",
        }
    }

    /// Whether it looks at windows; one that does not spares their calculation.
    #[must_use]
    pub(crate) fn needs_windows(self) -> bool {
        self != Self::RoundRobin
    }

    /// Whether keys in state *warn* stand back behind ready ones. `drain` exists to use up what is left, and judges
    /// low windows by itself.
    fn holds_warn_back(self) -> bool {
        self != Self::Drain
    }
}

/// What is left of one window of a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Left {
    /// 0 to 100.
    pub percent: f64,
    /// When it starts anew.
    pub resets_at: Option<Time>,
    /// How long it is.
    pub length: Option<Duration>,
    /// Percent of it an hour that the whole pool's traffic would take, if all of it came here.
    pub burn: Option<f64>,
    /// Percent of it an hour that the account's shorter windows let through.
    pub pace: Option<f64>,
}

/// Windows looked at a candidate; the API shows two to four.
const MAX_WINDOWS: usize = 6;

/// The windows of a candidate: a list on the heap, because candidates are made at every request, and most policies
/// look at none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Windows(Vec<Left>);

impl Windows {
    /// Adds a window; with too many of them the one that has the most left is left out.
    pub(crate) fn push(&mut self, left: Left) {
        if self.0.len() < MAX_WINDOWS {
            self.0.push(left);
        } else if let Some(fullest) = self.0.iter_mut().max_by(|a, b| a.percent.total_cmp(&b.percent))
            && left.percent < fullest.percent
        {
            *fullest = left;
        }
    }

    /// As a slice.
    #[must_use]
    pub(crate) fn as_slice(&self) -> &[Left] {
        &self.0
    }

    /// The least left over all; `None` when no window is known.
    #[must_use]
    pub(crate) fn worst_percent(&self) -> Option<f64> {
        self.as_slice().iter().map(|left| left.percent).min_by(f64::total_cmp)
    }
}

impl FromIterator<Left> for Windows {
    fn from_iter<I: IntoIterator<Item = Left>>(windows: I) -> Self {
        let mut all = Self::default();
        windows.into_iter().for_each(|left| all.push(left));
        all
    }
}

/// A key that can serve, as a policy sees it at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// Its place in the pool.
    pub index: usize,
    /// KMI_KEY_PRIORITY
    pub priority: i32,
    /// Whose it is.
    pub account: AccountId,
    /// What the account has left; empty while nothing is known.
    pub windows: Windows,
    /// How much a percent is worth here; in one unit over all candidates, which one does not matter.
    pub size: f64,
    /// Attempts in flight for its account.
    pub in_flight: u32,
    /// In state *warn*.
    pub warn: bool,
}

/// What a policy remembers, and the rules it goes by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Standing {
    /// The place in the pool whose turn it is.
    pub turn: usize,
    /// The account that served last: `drain` stays with it unless another one is clearly better.
    pub current: Option<AccountId>,
    /// KMI_ROTATE_INCLUDE_WARN
    pub include_warn: bool,
}

/// A candidate's rank and why it has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranked {
    /// Its place in the pool.
    pub index: usize,
    /// A stable word: `in_turn`, `most_left`, `expires_first`, `stays`, `no_deadline`, `too_little`, `guarded`,
    /// `empty`, `no_reading`.
    pub reason: &'static str,
    /// Higher is better; comparable within one tier and policy only.
    pub score: f64,
    /// Stands behind the others of its tier because it is in state *warn*.
    pub held_back: bool,
    /// Its place among the candidates.
    at: usize,
}

/// What a policy says of one candidate.
struct Judged {
    score: f64,
    reason: &'static str,
}

/// Brings all candidates into order, best first. `ranked` is cleared before; it is the caller's, to be used again.
pub(crate) fn rank(
    policy: Policy,
    candidates: &[Candidate],
    standing: &Standing,
    now: Time,
    ranked: &mut Vec<Ranked>,
) {
    ranked.clear();
    ranked.extend(all(policy, candidates, standing, now));
    ranked.sort_by(|a, b| order(policy, candidates, standing, a, b));
}

/// The first of [`rank`], without putting the others in order.
#[must_use]
pub(crate) fn best(
    policy: Policy,
    candidates: &[Candidate],
    standing: &Standing,
    now: Time,
) -> Option<Ranked> {
    all(policy, candidates, standing, now).min_by(|a, b| order(policy, candidates, standing, a, b))
}

fn all(
    policy: Policy,
    candidates: &[Candidate],
    standing: &Standing,
    now: Time,
) -> impl Iterator<Item = Ranked> {
    let largest = candidates.iter().map(|candidate| candidate.size).fold(0.0, f64::max);
    candidates.iter().enumerate().map(move |(at, candidate)| {
        let judged = match policy {
            Policy::RoundRobin => round_robin::judge(),
            Policy::MostLeft => most_left::judge(candidate),
            Policy::Drain => drain::judge(candidate, standing.current, largest, now),
        };
        Ranked {
            index: candidate.index,
            reason: judged.reason,
            score: if judged.score.is_nan() { 0.0 } else { judged.score },
            held_back: candidate.warn && policy.holds_warn_back() && !standing.include_warn,
            at,
        }
    })
}

/// Less is better. Total: no two places in the pool are the same.
fn order(policy: Policy, candidates: &[Candidate], standing: &Standing, a: &Ranked, b: &Ranked) -> Ordering {
    let (one, other) = (&candidates[a.at], &candidates[b.at]);
    let busy =
        if policy == Policy::RoundRobin { Ordering::Equal } else { one.in_flight.cmp(&other.in_flight) };
    let turn = |index: usize| (index < standing.turn, index);
    other
        .priority
        .cmp(&one.priority)
        .then(a.held_back.cmp(&b.held_back))
        .then(b.score.total_cmp(&a.score))
        .then(busy)
        .then_with(|| turn(a.index).cmp(&turn(b.index)))
}
