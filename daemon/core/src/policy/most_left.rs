//! The key whose account has the most left: its worst window, weighed by the plan's size, because 30 % of a big plan
//! beats 80 % of a small one [kimi-upstream.md, "GET /usages", trap 4, 2026-11].

use super::{Candidate, Judged};

pub(super) fn judge(candidate: &Candidate) -> Judged {
    match candidate.windows.worst_percent() {
        // Whole percents, as the API counts: a smaller lead is no reason to pile all requests onto one account.
        Some(percent) => {
            let reason = if percent <= 0.0 { "empty" } else { "most_left" };
            Judged { score: percent.max(0.0).floor() * candidate.size, reason }
        }
        None => Judged { score: -1.0, reason: "no_reading" },
    }
}
