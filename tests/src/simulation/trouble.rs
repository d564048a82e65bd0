//! What goes wrong, and when: a script of the upstream's bad hours.

use kmid_core::kimi::error::Row;

use super::Millis;

/// Whom it hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Every account.
    Everybody,
    /// One account and all its keys.
    Account(usize),
    /// One key.
    Key(usize),
}

/// What is answered instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// An error of this row.
    Row(Row),
    /// The connection breaks before the first byte.
    NoAnswer,
    /// The connection breaks in the middle of the answer, which is paid for.
    CutShort,
    /// Fewer requests at once than the API says it allows.
    Parallel(u32),
}

/// One bad hour.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// First moment.
    pub from: Millis,
    /// First moment at which it is over.
    pub until: Millis,
    /// Whom it hits.
    pub whom: Whom,
    /// What is answered.
    pub answer: Answer,
    /// How many of a hundred attempts it hits.
    pub percent: u8,
}

impl Trouble {
    /// Whether it can hit this key at that moment.
    #[must_use]
    pub fn concerns(&self, key: usize, account: usize, at: Millis) -> bool {
        let hits = match self.whom {
            Whom::Everybody => true,
            Whom::Account(number) => number == account,
            Whom::Key(number) => number == key,
        };
        hits && (self.from..self.until).contains(&at)
    }

    /// Whether a key that meets it is rightly blocked.
    #[must_use]
    pub fn blocks(&self) -> bool {
        matches!(
            (self.answer, self.whom),
            (
                Answer::Row(Row::InvalidKey | Row::Payment | Row::Banned | Row::Balance),
                Whom::Key(_) | Whom::Account(_)
            )
        )
    }

    /// Whether nobody at all is served while it lasts.
    #[must_use]
    pub fn stops_everything(&self) -> bool {
        self.whom == Whom::Everybody && self.percent >= 100 && !matches!(self.answer, Answer::Parallel(_))
    }
}
