//! What is said of those that were not let in: the first of a minute at once, the rest as a count.

use std::collections::BTreeMap;
use std::time::Duration;

use super::peer::Peer;
use crate::time::Time;

/// Peers, each with its reason, that are named in a minute; the others are counted together.
pub const MOST: usize = 20;
/// How long refusals are counted before the count is said.
pub const EVERY: Duration = Duration::from_secs(60);

/// Refusals of a minute that were not said when they happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who; `None` for those that are not told apart.
    pub peer: Option<Peer>,
    /// Why; a stable word.
    pub why: &'static str,
    /// How many.
    pub count: u64,
}

#[derive(Debug)]
struct Counted {
    since: Time,
    unsaid: u64,
}

/// Refusals that are still to be said.
#[derive(Debug, Default)]
pub struct Tally {
    counted: BTreeMap<(Peer, &'static str), Counted>,
    others: BTreeMap<&'static str, Counted>,
}

impl Tally {
    /// A refusal. Whether to say it at once; if not, it is counted.
    pub fn note(&mut self, peer: Peer, why: &'static str, now: Time) -> bool {
        if let Some(counted) = self.counted.get_mut(&(peer, why)) {
            counted.unsaid = counted.unsaid.saturating_add(1);
            return false;
        }
        if self.counted.len() < MOST {
            self.counted.insert((peer, why), Counted { since: now, unsaid: 0 });
            return true;
        }
        let others = self.others.entry(why).or_insert(Counted { since: now, unsaid: 0 });
        others.unsaid = others.unsaid.saturating_add(1);
        false
    }

    /// What is to be said now: the counts whose minute is over. Those who were quiet for a minute are forgotten.
    pub fn due(&mut self, now: Time) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut look = |peer: Option<Peer>, why: &'static str, counted: &mut Counted| {
            // A clock that was put back ends the minute, too.
            if now >= counted.since && now.since(counted.since) < EVERY {
                return true;
            }
            let count = std::mem::take(&mut counted.unsaid);
            counted.since = now;
            if count > 0 {
                reports.push(Report { peer, why, count });
            }
            count > 0
        };
        self.counted.retain(|(peer, why), counted| look(Some(*peer), why, counted));
        self.others.retain(|why, counted| look(None, why, counted));
        reports
    }

    /// Whether nothing is counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counted.is_empty() && self.others.is_empty()
    }
}
