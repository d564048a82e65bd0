//! Random outages: no healthy key is the worse for one afterwards, and an upstream that is down is left in peace.

use proptest::prelude::*;

use super::*;
use crate::pool::outage::{BreakerState, SHORTEST_OPEN};

/// What everybody meets while the upstream is out of order.
fn met(kind: usize) -> Outcome {
    match kind {
        0 => refused(503, Row::UpstreamError),
        1 => refused(529, Row::UpstreamError),
        2 => refused(429, Row::Overloaded),
        3 => refused(429, Row::RateLimited),
        4 => refused_for(429, Row::RateLimited, 30),
        5 => refused(403, Row::ClientRefused),
        6 => refused(402, Row::Payment),
        _ => BROKE,
    }
}

const KINDS: usize = 8;
const LABELS: [&str; 5] = ["alpha", "beta", "gamma", "delta", "epsilon"];

/// Requests from many clients at an upstream that is up or down, in steps of a tenth of a second.
struct Rush {
    bench: Bench,
    out: Vec<(Time, Lease)>,
    /// When requests were let through while the breaker was not closed.
    probes: Vec<Time>,
    sent: usize,
}

impl Rush {
    fn new(accounts: usize, auto: bool) -> Self {
        let labels = &LABELS[..accounts];
        let bench = if auto { Bench::auto(failover(), labels) } else { Bench::new(failover(), labels) };
        Self { bench, out: Vec::new(), probes: Vec::new(), sent: 0 }
    }

    fn breaker(&self) -> BreakerState {
        self.bench.pool.view(self.bench.now).upstreams[0].breaker
    }

    /// As many clients ask; each answer takes a while.
    fn ask(&mut self, clients: usize, takes: u64) {
        let was_closed = self.breaker() == BreakerState::Closed;
        for _ in 0..clients {
            // Whom one is refused, all are refused in the same moment.
            let Ok(lease) = self.bench.try_lease() else { break };
            self.sent += 1;
            if !was_closed {
                self.probes.push(self.bench.now);
            }
            self.out.push((self.bench.now + Duration::from_millis(takes), lease));
        }
    }

    /// What is due by now is answered; `leaves` says which clients do not wait for it.
    fn answer(&mut self, outcome: &Outcome, leaves: u64, random: u64) {
        let now = self.bench.now;
        for (_, lease) in self.out.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            let left = (lease.number ^ random) % 16 < leaves;
            self.bench.pool.record(lease, if left { &Outcome::ClientLeft } else { outcome }, now, random);
        }
    }

    fn tick(&mut self) {
        self.bench.now = self.bench.now + Duration::from_millis(100);
    }

    /// A 402 that one account alone met is its own: its hour is over, and its next request decides, which failover
    /// never gives it while the other key serves.
    fn all_ready(&self) -> bool {
        let view = self.bench.pool.view(self.bench.now);
        view.keys.iter().all(|key| key.state == KeyState::Ready || key.reason == Some("half_open"))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn after_an_outage_every_healthy_key_is_ready(
        accounts in 2..=5usize,
        auto in any::<bool>(),
        kinds in prop::collection::vec(0..KINDS, 1..4),
        clients in 1..20usize,
        takes in 0..3000u64,
        leaves in 0..4u64,
        random in any::<u64>(),
    ) {
        let mut rush = Rush::new(accounts, auto);
        for step in 0..600usize {
            rush.ask(clients, takes);
            let kind = kinds[step * kinds.len() / 600];
            rush.answer(&met(kind), leaves, random.wrapping_mul(step as u64 + 1));
            rush.tick();
        }
        // an hour and a bit, in which one client asks now and then
        for _ in 0..800u64 {
            rush.ask(1, 0);
            rush.answer(&Outcome::Completed, 0, random);
            rush.bench.pass(5);
        }
        prop_assert!(rush.all_ready(), "{:?}", rush.bench.pool.view(rush.bench.now).keys);
        prop_assert_eq!(rush.breaker(), BreakerState::Closed);
        // Where an account that had not met it was the first to be served, it passes for the others' own, for a day.
        rush.bench.pass(26 * HOUR);
        rush.ask(1, 0);
        rush.answer(&Outcome::Completed, 0, random);
        prop_assert!(!rush.bench.pool.has_trouble());
        for pair in rush.probes.windows(2) {
            prop_assert!(pair[1].since(pair[0]) >= SHORTEST_OPEN, "{pair:?}");
        }
    }

    #[test]
    fn sixty_seconds_without_an_upstream_cost_fifty_clients_nothing(
        accounts in 2..=5usize,
        kind in 0..6usize,
        takes in 0..900u64,
        random in any::<u64>(),
    ) {
        let mut rush = Rush::new(accounts, true);
        for step in 0..600u64 {
            rush.ask(50, takes);
            rush.answer(&met(kind), 0, random.wrapping_add(step));
            rush.tick();
            if rush.breaker() != BreakerState::Closed {
                prop_assert!(rush.all_ready(), "step {step}");
            }
        }
        prop_assert_eq!(rush.breaker() == BreakerState::Closed, false);
        prop_assert!(rush.probes.len() <= 60);
        // what was under way before the first answers, and then the probes only
        prop_assert_eq!(rush.sent - rush.probes.len() <= 50 * (takes as usize / 100 + 2), true);
        let back = rush.bench.now;
        while rush.breaker() != BreakerState::Closed {
            rush.ask(50, 0);
            rush.answer(&Outcome::Completed, 0, random);
            rush.tick();
            prop_assert!(rush.bench.now.since(back) <= secs(31), "it is noticed within the longest pause");
        }
        prop_assert!(rush.all_ready());
    }
}
