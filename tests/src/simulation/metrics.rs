//! What came of one run.

use std::collections::BTreeSet;

use super::Units;
use super::demand::Request;

/// Counts of one run.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Requests that clients wanted, those that no key can serve not counted.
    pub asked: u64,
    /// Requests that were served.
    pub served: u64,
    /// Requests whose client gave up.
    pub lost: u64,
    /// Requests that are wrong in themselves and were answered so.
    pub faulty: u64,
    /// Attempts that the API refused or broke.
    pub refused_attempts: u64,
    /// Times that the pool had no key for an attempt.
    pub no_key: u64,
    /// Tokens of input and output served.
    pub tokens: i64,
    /// What the served requests would have cost with every possible cache hit: what the bound bounds.
    pub work: Units,
    /// What they cost.
    pub paid: Units,
    /// Cached tokens of the requests served.
    pub cached: i64,
    /// The most of their tokens that could have been cached.
    pub cachable: i64,
    /// Left of the 7-day windows that ended.
    pub expired: Units,
    /// What all the 7-day windows that ended were worth.
    pub ended: Units,
    /// Keys that were blocked although nothing in the script gave a reason.
    pub healthy_blocked: BTreeSet<String>,
}

impl Metrics {
    /// A request was served, with so much of it cached, at that cost.
    pub fn serve(&mut self, request: &Request, cached: i64, cost: Units) {
        self.served += 1;
        self.tokens += request.input() + request.output;
        self.work += request.least_cost();
        self.paid += cost;
        self.cached += cached;
        self.cachable += request.best_cached();
    }

    /// The share of possible cache hits that were hits, 0 to 1.
    #[must_use]
    pub fn hit_share(&self) -> f64 {
        if self.cachable == 0 { 1.0 } else { self.cached as f64 / self.cachable as f64 }
    }
}
