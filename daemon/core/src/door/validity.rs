//! How long a certificate is good.

use std::time::Duration;

use crate::time::Time;

/// Its end is said this long ahead.
pub const WARN_AHEAD: Duration = Duration::from_secs(14 * 86_400);

/// The time in which a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub not_before: Time,
    /// Until then.
    pub not_after: Time,
}

/// What a person should know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Good,
    /// It ends within [`WARN_AHEAD`], after so many whole days.
    EndsSoon(u64),
    /// It has ended.
    Ended,
    /// It has not begun; a clock may be wrong.
    NotYet,
}

impl Validity {
    /// How it stands.
    #[must_use]
    pub fn standing(&self, now: Time) -> Standing {
        if now >= self.not_after {
            return Standing::Ended;
        }
        if now < self.not_before {
            return Standing::NotYet;
        }
        let left = self.not_after.since(now);
        if left < WARN_AHEAD { Standing::EndsSoon(left.as_secs() / 86_400) } else { Standing::Good }
    }
}
