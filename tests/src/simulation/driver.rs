//! Runs one scenario with one setup: a queue of events in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;
use kmid_core::key::Fingerprint;
use kmid_core::outcome::{Outcome, Retry};
use kmid_core::pool::{Effect, Lease, Pool};
use kmid_core::time::Time;

use super::brain::{Brain, Setup, outcome_of};
use super::clock::Clock;
use super::demand::{LATEST_START, PATIENCE, Request};
use super::metrics::Metrics;
use super::scenario::Scenario;
use super::upstream::{self, Answer};
use super::world::World;
use super::{HOUR, Millis, SECOND};

/// KMI_PROXY_FAILOVER_MAX
const FAILOVERS: usize = 3;
/// An error answer takes so long.
/// KMI_QUEUE_MAX_WAIT_SECONDS; the daemon's queue hands slots on at once, here who waits looks at times.
const QUEUE_WAIT: Duration = Duration::from_secs(30);
const QUEUE_STEP: Millis = 250;
const ERROR_TAKES: Millis = 300;
/// An answer that never comes is given up after so long.
const TIMEOUT: Millis = 20 * SECOND;
/// KMI_BLOCKLIST_RECHECK_SECONDS
const RECHECK_EVERY: Millis = HOUR;

/// Who looks at every step.
pub trait Watch {
    /// A lease is about to be asked for.
    fn before_lease(&mut self, _pool: &Pool, _now: Time) {}
    /// Something was done.
    fn after(&mut self, _step: &Step<'_>, _seen: &Seen<'_>) {}
}

/// Nobody looks.
impl Watch for () {}

/// What was done.
#[derive(Debug)]
pub enum Step<'a> {
    /// A key was leased.
    Leased {
        /// The lease.
        lease: &'a Lease,
        /// Keys that the request had tried.
        tried: &'a [Fingerprint],
    },
    /// No key could be leased.
    NoKey,
    /// An attempt ended.
    Ended {
        /// The key's number in the world.
        key: usize,
        /// With what.
        outcome: &'a Outcome,
    },
    /// A quota was read, a blocked key asked again, or the wall clock moved.
    Other,
}

/// What there is to look at.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The pool.
    pub pool: &'a Pool,
    /// The wall clock.
    pub now: Time,
    /// The true time.
    pub at: Millis,
    /// The scenario, with its script.
    pub scenario: &'a Scenario,
    /// The accounts as they are now.
    pub world: &'a World,
    /// Leases held, by the key's number in the world.
    pub held: &'a [u32],
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client asks, again or for the first time.
    Ask { request: usize, times: u32 },
    /// A request that waits for a key looks again.
    Wait { request: usize, times: u32, tried: Vec<Fingerprint> },
    /// The API's answer to an attempt is there, whole or not.
    Answer(u64),
    /// Quotas are due.
    Read,
    /// Blocked keys are asked again.
    Recheck,
    /// The wall clock is off by so much from now on.
    Skew(Millis),
}

struct Attempt {
    request: usize,
    times: u32,
    tried: Vec<Fingerprint>,
    lease: Lease,
    key: usize,
    answer: Answer,
}

/// One run.
struct Driver<'a, W> {
    scenario: &'a Scenario,
    world: World,
    clock: Clock,
    brain: Brain,
    rng: Rng,
    queue: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    pushed: u64,
    attempts: BTreeMap<u64, Attempt>,
    numbers: BTreeMap<Fingerprint, usize>,
    held: Vec<u32>,
    reading_at: Option<Millis>,
    metrics: Metrics,
    watch: W,
}

/// Runs a scenario to its end: until the last client has its answer or gave up, at most two hours after the last
/// request, and then what the windows had left is counted at the scenario's end.
pub fn run<W: Watch>(scenario: &Scenario, setup: Setup, watch: W) -> (Metrics, W) {
    let clock = Clock::default();
    let world = scenario.world.clone();
    let brain = Brain::new(setup, &world, clock.wall());
    let numbers = brain.pool.keys().enumerate().map(|(number, key)| (key.fingerprint, number)).collect();
    let mut driver = Driver {
        scenario,
        clock,
        brain,
        rng: Rng::with_seed(scenario.seed ^ 0x5eed),
        queue: BinaryHeap::new(),
        pushed: 0,
        attempts: BTreeMap::new(),
        numbers,
        held: vec![0; world.keys.len()],
        reading_at: None,
        metrics: Metrics::default(),
        watch,
        world,
    };
    driver.begin();
    driver.go_on();
    driver.end()
}

impl<W: Watch> Driver<'_, W> {
    fn begin(&mut self) {
        for (request, wanted) in self.scenario.requests.iter().enumerate() {
            self.push(wanted.at, Event::Ask { request, times: 0 });
        }
        for &(at, skew) in &self.scenario.skews {
            self.push(at, Event::Skew(skew));
        }
        self.push(RECHECK_EVERY, Event::Recheck);
        self.plan_reading();
        self.metrics.asked =
            self.scenario.requests.iter().filter(|request| request.fault.is_none()).count() as u64;
    }

    fn push(&mut self, at: Millis, event: Event) {
        self.pushed += 1;
        self.queue.push(Reverse((at, self.pushed, event)));
    }

    fn go_on(&mut self) {
        let last = self.scenario.until + 2 * HOUR;
        while let Some(Reverse((at, _, event))) = self.queue.pop() {
            if at > last {
                break;
            }
            self.clock.advance(at);
            match event {
                Event::Ask { request, times } => self.attempt(request, times, Vec::new()),
                Event::Wait { request, times, tried } => self.attempt(request, times, tried),
                Event::Answer(number) => self.answered(number),
                Event::Read => self.read(),
                Event::Recheck => self.recheck(),
                Event::Skew(skew) => {
                    self.clock.set_skew(skew);
                    self.reading_at = None;
                    self.seen(&Step::Other);
                }
            }
            self.plan_reading();
        }
    }

    fn end(mut self) -> (Metrics, W) {
        assert!(self.attempts.is_empty(), "attempts never ended");
        for (number, account) in self.world.accounts.iter_mut().enumerate() {
            let first = self.scenario.world.accounts[number].week.resets_at();
            account.pass(self.scenario.until);
            if self.scenario.stays_alive(number) {
                self.metrics.expired += account.expired;
                let windows = (account.week.began - first) / account.week.length + 1;
                self.metrics.ended += account.week.capacity * windows;
            }
        }
        (self.metrics, self.watch)
    }

    fn seen(&mut self, step: &Step<'_>) {
        let seen = Seen {
            pool: &self.brain.pool,
            now: self.clock.wall(),
            at: self.clock.now(),
            scenario: self.scenario,
            world: &self.world,
            held: &self.held,
        };
        self.watch.after(step, &seen);
    }

    fn wanted(&self, request: usize) -> &Request {
        &self.scenario.requests[request]
    }

    fn attempt(&mut self, request: usize, times: u32, tried: Vec<Fingerprint>) {
        let now = self.clock.wall();
        self.watch.before_lease(&self.brain.pool, now);
        let lease = match self.brain.lease(self.wanted(request).session, &tried, now) {
            Ok(lease) => lease,
            Err(refusal) => {
                let waits_until = self.wanted(request).at + 30 * SECOND;
                if self.clock.now() < waits_until && refusal.may_end_by(now + QUEUE_WAIT) {
                    self.seen(&Step::NoKey);
                    return self.push(self.clock.now() + QUEUE_STEP, Event::Wait { request, times, tried });
                }
                self.metrics.no_key += 1;
                self.seen(&Step::NoKey);
                return self.ask_again(request, times);
            }
        };
        let key = self.numbers[&lease.key.fingerprint];
        self.held[key] += 1;
        self.seen(&Step::Leased { lease: &lease, tried: &tried });
        let wanted = &self.scenario.requests[request];
        assert!(self.clock.now() <= wanted.at + LATEST_START, "begun later than the bound allows for");
        let troubles = &self.scenario.troubles;
        let answer =
            upstream::answer(&mut self.world, troubles, key, wanted, self.clock.now(), &mut self.rng);
        let takes = match &answer {
            Answer::Served { .. } => wanted.takes,
            Answer::CutShort => wanted.takes / 2,
            Answer::NoAnswer => TIMEOUT,
            Answer::Refused { .. } => ERROR_TAKES,
        };
        let number = self.pushed;
        self.attempts.insert(number, Attempt { request, times, tried, lease, key, answer });
        self.push(self.clock.now() + takes, Event::Answer(number));
    }

    fn answered(&mut self, number: u64) {
        let Some(attempt) = self.attempts.remove(&number) else { return };
        let Attempt { request, times, mut tried, mut lease, key, answer } = attempt;
        let wanted = &self.scenario.requests[request];
        let now = self.clock.now();
        let account = &mut self.world.accounts[self.scenario.world.keys[key].account];
        match &answer {
            Answer::Served { cost, cached } => {
                account.end(Some((wanted.session, wanted.leaves)), now);
                self.metrics.serve(wanted, *cached, *cost);
                Brain::spent(&mut lease, wanted, *cached);
            }
            Answer::CutShort => account.end(None, now),
            Answer::NoAnswer | Answer::Refused { .. } => {}
        }
        let outcome = outcome_of(&answer);
        tried.push(lease.key.fingerprint);
        let random = self.rng.u64(..);
        let effects = self.brain.record(lease, &outcome, self.clock.wall(), random);
        self.held[key] -= 1;
        self.note_blocks(&effects);
        self.seen(&Step::Ended { key, outcome: &outcome });
        let retry = match &outcome {
            Outcome::Completed | Outcome::Answered | Outcome::ClientLeft | Outcome::CutOff => return,
            Outcome::Broke(_) => Retry::Later,
            Outcome::Refused { verdict, .. } => verdict.retry,
        };
        self.metrics.refused_attempts += 1;
        match retry {
            _ if self.wanted(request).fault.is_some() && retry != Retry::OtherKey => self.metrics.faulty += 1,
            Retry::OtherKey | Retry::WhenFree if tried.len() <= FAILOVERS => {
                self.attempt(request, times, tried);
            }
            Retry::OtherKey | Retry::WhenFree | Retry::Later => self.ask_again(request, times),
            Retry::No => self.metrics.lost += 1,
        }
    }

    /// The client waits, each time twice as long, until its patience ends.
    fn ask_again(&mut self, request: usize, times: u32) {
        let again = self.clock.now() + (SECOND << times.min(5));
        let wanted = self.wanted(request);
        if again <= wanted.at + PATIENCE {
            self.push(again, Event::Ask { request, times: times + 1 });
        } else if wanted.fault.is_some() {
            self.metrics.faulty += 1;
        } else {
            self.metrics.lost += 1;
        }
    }

    fn note_blocks(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Blocked { label, .. } = effect {
                let number = self.world.keys.iter().position(|key| *key.label == **label);
                let at = self.clock.now();
                if !number.is_some_and(|number| self.scenario.may_be_blocked(number, at)) {
                    self.metrics.healthy_blocked.insert(label.to_string());
                }
            }
        }
    }

    fn plan_reading(&mut self) {
        let Some(due) = self.brain.next_reading(self.clock.wall()) else { return };
        let at = self.clock.when(due).max(self.clock.now());
        if self.reading_at.is_none_or(|planned| at < planned) {
            self.reading_at = Some(at);
            self.push(at, Event::Read);
        }
    }

    fn read(&mut self) {
        if self.reading_at != Some(self.clock.now()) {
            return;
        }
        self.reading_at = None;
        let now = self.clock.wall();
        for fingerprint in self.brain.take_due(now) {
            let key = self.numbers[&fingerprint];
            let body = upstream::usages(&mut self.world, &self.scenario.troubles, key, self.clock.now());
            let random = self.rng.u64(..);
            self.brain.read(fingerprint, body.as_deref(), now, random);
            self.seen(&Step::Other);
        }
    }

    fn recheck(&mut self) {
        let now = self.clock.wall();
        let view = self.brain.pool.view(now);
        for key in view.keys.iter().filter(|key| key.state.name() == "blocked") {
            let number = self.numbers[&key.fingerprint];
            let body = upstream::usages(&mut self.world, &self.scenario.troubles, number, self.clock.now());
            self.brain.recheck(key.fingerprint, body.as_deref(), now);
            self.seen(&Step::Other);
        }
        self.push(self.clock.now() + RECHECK_EVERY, Event::Recheck);
    }
}
