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

    /// Quota that expired, as a share of the windows that ended, 0 to 1.
    #[must_use]
    pub fn expired(&self) -> f64 {
        self.sum(|run| run.expired) / self.sum(|run| run.ended).max(1.0)
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
    let line = |&setup: &Setup| {
        let runs = scenarios.iter().map(|scenario| driver::run(scenario, setup, ()).0).collect();
        Line { setup, runs, bounds: bounds.clone() }
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
        let bound = lines[0].bounds.iter().sum::<i64>() as f64 / 1e7;
        let _ = writeln!(text, "{name}: {asked} requests, bound {bound:.1} M of work");
        let _ = writeln!(
            text,
            "  {:<26} {:>9} {:>8} {:>7} {:>8} {:>8} {:>7} {:>9} {:>9} {:>8}",
            "policy",
            "tokens M",
            "work M",
            "bound",
            "lost",
            "refused",
            "hits",
            "expired M",
            "of ended",
            "blocked"
        );
        for line in &lines {
            let _ = writeln!(
                text,
                "  {:<26} {:>9.1} {:>8.1} {:>6.1}% {:>8} {:>8} {:>6.1}% {:>9.2} {:>8.1}% {:>8}",
                line.setup.name(),
                line.sum(|run| run.tokens) / 1e6,
                line.sum(|run| run.work) / 1e7,
                line.of_bound() * 100.0,
                line.lost(),
                line.runs.iter().map(|run| run.refused_attempts).sum::<u64>(),
                line.hits() * 100.0,
                line.sum(|run| run.expired) / 1e7,
                line.expired() * 100.0,
                line.healthy_blocked(),
            );
        }
        let _ = writeln!(text);
    }
    text
}
