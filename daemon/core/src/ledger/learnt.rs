//! How many percent of a window a weighed token takes: learnt from polls, because no answer says it.

/// Percents that must have been seen used before the proportion is believed: polls count in whole ones.
const ENOUGH: f64 = 2.0;
/// From here on older experience fades, so that a changed plan is noticed.
const PLENTY: f64 = 40.0;

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Learnt {
    percent: f64,
    tokens: f64,
}

impl Learnt {
    /// Between two polls of one window so many percent and so many tokens were used. Use that did not come through kmid
    /// alone teaches nothing.
    pub(super) fn add(&mut self, percent: f64, tokens: f64) {
        if percent < 0.0 || tokens <= 0.0 {
            return;
        }
        self.percent += percent;
        self.tokens += tokens;
        if self.percent > PLENTY {
            self.percent /= 2.0;
            self.tokens /= 2.0;
        }
    }

    /// Percent a weighed token.
    pub(super) fn rate(self) -> Option<f64> {
        (self.percent >= ENOUGH && self.tokens > 0.0).then(|| self.percent / self.tokens)
    }
}
