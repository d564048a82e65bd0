//! The comparison of all setups on all scenarios, as a table.

use std::fmt::Write as _;

use super::bound;
use super::brain::Setup;
use super::driver;
use super::metrics::Metrics;
use super::scenario::{ALL, Draw};

/// One line: a setup on a scenario, over several seeds.
#[derive(Debug, Clone)]
pub struct Line {
    /// What was compared.
    pub setup: Setup,
    /// One for each seed.
    pub runs: Vec<Metrics>,
    /// The upper bound on the work, one for each seed.
    pub bounds: Vec<i64>,
    /// What expires at the least, one for each seed.
    pub least_expired: Vec<i64>,
}

impl Line {
    fn sum(&self, of: impl Fn(&Metrics) -> i64) -> f64 {
        self.runs.iter().map(of).sum::<i64>() as f64
    }

    /// The share of the bound that was served, 0 to 1, over all seeds.
    #[must_use]
    pub fn of_bound(&self) -> f64 {
        self.sum(|run| run.work) / self.bounds.iter().sum::<i64>() as f64
    }

    /// Quota that expired.
    #[must_use]
    pub fn expired(&self) -> f64 {
        self.sum(|run| run.expired)
    }

    /// Quota that expired without what expires at the least.
    #[must_use]
    pub fn expired_needlessly(&self) -> f64 {
        self.expired() - self.least_expired.iter().sum::<i64>() as f64
    }

    /// Quota that lost cache hits cost.
    #[must_use]
    pub fn lost_cache(&self) -> f64 {
        self.sum(|run| run.paid - run.work)
    }

    /// Quota that served nobody and need not have been lost.
    #[must_use]
    pub fn wasted(&self) -> f64 {
        self.expired_needlessly() + self.lost_cache()
    }

    /// The share of possible cache hits that were hits, 0 to 1.
    #[must_use]
    pub fn hits(&self) -> f64 {
        self.sum(|run| run.cached) / self.sum(|run| run.cachable).max(1.0)
    }

    /// Requests lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.runs.iter().map(|run| run.lost).sum()
    }

    /// Keys that were blocked without a reason.
    #[must_use]
    pub fn healthy_blocked(&self) -> usize {
        self.runs.iter().map(|run| run.healthy_blocked.len()).sum()
    }
}

/// Runs every setup on one scenario.
#[must_use]
pub fn compare(draw: Draw, seeds: &[u64]) -> Vec<Line> {
    let scenarios: Vec<_> = seeds.iter().map(|&seed| draw(seed)).collect();
    let bounds: Vec<i64> = scenarios.iter().map(bound::most_work).collect();
    let least_expired: Vec<i64> = scenarios.iter().map(bound::least_expired).collect();
    let line = |&setup: &Setup| {
        let runs = scenarios.iter().map(|scenario| driver::run(scenario, setup, ()).0).collect();
        Line { setup, runs, bounds: bounds.clone(), least_expired: least_expired.clone() }
    };
    Setup::ALL.iter().map(line).collect()
}

/// The whole report as text. Tokens and quota in millions; quota in the price of a token of new input.
#[must_use]
pub fn report(seeds: &[u64]) -> String {
    let mut text = String::new();
    for (name, draw) in ALL {
        let lines = compare(*draw, seeds);
        let asked: u64 = lines[0].runs.iter().map(|run| run.asked).sum();
        let millions = |units: &[i64]| units.iter().sum::<i64>() as f64 / 1e7;
        let (bound, ended) = (millions(&lines[0].bounds), lines[0].sum(|run| run.ended) / 1e7);
        let least = millions(&lines[0].least_expired);
        let _ = writeln!(text, "{name}: {asked} requests");
        let _ = writeln!(
            text,
            "  bound {bound:.1} M; weeks that ended {ended:.1} M, expire at least {least:.1} M"
        );
        let _ = writeln!(text, "{HEAD}");
        for line in &lines {
            let _ = writeln!(text, "{}", row(line));
        }
        let _ = writeln!(text);
    }
    text
}

const HEAD: &str = "  policy                    tokens M  work M of bound    lost refusals    hits expired M cache M waste M blocked";

fn row(line: &Line) -> String {
    format!(
        "  {:<24} {:>9.1} {:>7.1} {:>7.1}% {:>7} {:>8} {:>6.1}% {:>9.1} {:>7.1} {:>7.1} {:>7}",
        line.setup.name(),
        line.sum(|run| run.tokens) / 1e6,
        line.sum(|run| run.work) / 1e7,
        line.of_bound() * 100.0,
        line.lost(),
        line.runs.iter().map(|run| run.refused_attempts).sum::<u64>(),
        line.hits() * 100.0,
        line.expired() / 1e7,
        line.lost_cache() / 1e7,
        line.wasted() / 1e7,
        line.healthy_blocked(),
    )
}
