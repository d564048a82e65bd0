//! The pool behind the calls that the daemon makes of it. Everything that knows the pool's own API is here.

use std::time::Duration;

use kmid_core::key::{BaseUrl, Fingerprint, Key, Secret};
use kmid_core::kimi::usage::Tokens;
use kmid_core::kimi::{error, quota};
use kmid_core::outcome::{Fault, FaultKind, Outcome, Phase};
use kmid_core::policy::Policy;
use kmid_core::pool::snapshot::Snapshot;
use kmid_core::pool::view::KeyState;
use kmid_core::pool::{Demand, Effect, Lease, Pool, Refusal, Rules};
use kmid_core::refresh_plan::{Pace, Readable, RefreshPlan};
use kmid_core::said::Said;
use kmid_core::session::SessionId;
use kmid_core::time::Time;

use super::demand::Request;
use super::upstream::Answer;
use super::world::World;

/// KMI_USAGE_CACHE_SECONDS
const PACE: Pace = Pace { every: Duration::from_secs(600), rest_when_idle: true };
/// How accounts stand is looked at so often, as the daemon does.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// KMI_ROTATE_POLICY
    pub policy: Policy,
    /// KMI_SESSION_AFFINITY
    pub affinity: bool,
}

impl Setup {
    /// Round robin that does not look at sessions: what every other tool does.
    pub const PLAIN: Self = Self::new(Policy::RoundRobin, false);
    /// The default.
    pub const ROUND_ROBIN: Self = Self::new(Policy::RoundRobin, true);
    /// What is left, with sessions that stay.
    pub const MOST_LEFT: Self = Self::new(Policy::MostLeft, true);
    /// What expires first, with sessions that stay.
    pub const DRAIN: Self = Self::new(Policy::Drain, true);
    /// Those that are compared.
    pub const ALL: &[Self] = &[Self::PLAIN, Self::ROUND_ROBIN, Self::MOST_LEFT, Self::DRAIN];

    const fn new(policy: Policy, affinity: bool) -> Self {
        Self { policy, affinity }
    }

    /// As the report names it.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}{}", self.policy.name(), if self.affinity { "" } else { ", no affinity" })
    }

    fn rules(self) -> Rules {
        let Self { policy, affinity } = self;
        Rules { allowed: true, policy, session_affinity: affinity, ..Rules::default() }
    }
}

/// The pool and the plan of its readings.
#[derive(Debug)]
pub struct Brain {
    /// The pool itself, for those who watch.
    pub pool: Pool,
    plan: RefreshPlan,
    looked: Option<Time>,
}

impl Brain {
    /// A pool with the world's keys, none of them read yet.
    #[must_use]
    pub fn new(setup: Setup, world: &World, now: Time) -> Self {
        let mut pool = Pool::new(setup.rules(), Snapshot::default());
        let keys: Vec<Key> = world.keys.iter().map(|key| new_key(&key.label, key.disabled)).collect();
        pool.set_keys(keys, now);
        pool.set_auto(true);
        Self { pool, plan: RefreshPlan::default(), looked: None }
    }

    /// A key for the next attempt of a request.
    ///
    /// # Errors
    /// When there is none.
    pub fn lease(&mut self, session: u32, tried: &[Fingerprint], now: Time) -> Result<Lease, Refusal> {
        let session = Some(SessionId(u64::from(session).to_be_bytes()));
        self.pool.lease(&Demand { tried, session, ..Demand::default() }, now)
    }

    /// Ends an attempt with what the API answered.
    pub fn record(&mut self, lease: Lease, outcome: &Outcome, now: Time, random: u64) -> Vec<Effect> {
        let effects = self.pool.record(lease, outcome, now, random);
        for effect in &effects {
            if let Effect::ReadQuota(fingerprint) = effect {
                self.plan.hurry(*fingerprint);
            }
        }
        effects
    }

    /// The usage figures at the end of an answer, as the daemon reads them.
    pub fn spent(lease: &mut Lease, request: &Request, cached: i64) {
        let count = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
        let (input, cached, output) = (count(request.input()), count(cached), count(request.output));
        lease.tokens = Tokens { input, cached, output };
    }

    /// When the next reading is due by the wall clock.
    pub fn next_reading(&mut self, now: Time) -> Option<Time> {
        if self.looked.is_none_or(|looked| now.since(looked).max(looked.since(now)) >= LOOKS_EVERY) {
            self.looked = Some(now);
            let view = self.pool.view(now);
            let keys = view.keys.iter().filter(|key| key.state != KeyState::Disabled);
            self.plan.set_keys(&keys.map(Readable::of).collect::<Vec<_>>(), PACE, now);
        }
        self.plan.next_due()
    }

    /// The keys to read now.
    pub fn take_due(&mut self, now: Time) -> Vec<Fingerprint> {
        self.plan.take_due(now)
    }

    /// Takes in what `/usages` answered, if it did.
    pub fn read(&mut self, key: Fingerprint, body: Option<&str>, now: Time, random: u64) {
        let reading = body.and_then(|body| quota::parse(body.as_bytes(), now).ok());
        match &reading {
            Some(quota) => drop(self.pool.record_quota(key, quota, now)),
            None => self.pool.record_quota_error(key, &Said::plain("no answer")),
        }
        self.plan.done(key, reading.is_some(), PACE, now, random);
    }

    /// A blocked key is asked for its quota again.
    pub fn recheck(&mut self, key: Fingerprint, body: Option<&str>, now: Time) {
        if let Some(quota) = body.and_then(|body| quota::parse(body.as_bytes(), now).ok()) {
            self.pool.record_quota(key, &quota, now);
            self.pool.half_open(key);
        }
    }
}

/// What the daemon makes of an answer.
#[must_use]
pub fn outcome_of(answer: &Answer) -> Outcome {
    match answer {
        Answer::Served { .. } => Outcome::Completed,
        Answer::CutShort => Outcome::Broke(Fault { phase: Phase::Body, kind: FaultKind::Closed }),
        Answer::NoAnswer => Outcome::Broke(Fault { phase: Phase::FirstByte, kind: FaultKind::Timeout }),
        Answer::Refused { status, body, retry_after } => Outcome::Refused {
            status: *status,
            verdict: error::classify(*status, error::parse(body.as_bytes()).as_ref()),
            retry_after: *retry_after,
        },
    }
}

fn new_key(label: &str, disabled: bool) -> Key {
    let secret = Secret::new(&format!("sk-kimi-simulated-{label}"));
    let base_url = BaseUrl::parse("https://api.kimi.com/coding/v1").expect("a URL");
    Key { disabled, ..Key::new(label, secret, base_url) }
}
