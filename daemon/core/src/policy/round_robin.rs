//! Each in its turn: all are equal, and the turn decides.

use super::Judged;

pub(super) fn judge() -> Judged {
    Judged { score: 0.0, reason: "in_turn" }
}
