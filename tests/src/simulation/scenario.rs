//! The scenarios: worlds, demand and troubles drawn from a seed.

use fastrand::Rng;
use kmid_core::kimi::error::Row;

use super::demand::{Demand, Habit, Request, hour_of_day};
use super::trouble::{Answer, Trouble, Whom};
use super::world::{Account, Plan, WEEK, World};
use super::{DAY, HOUR, MINUTE, Millis, SECOND, Units};

/// One world, what is asked of it, and what goes wrong.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it was drawn from.
    pub seed: u64,
    /// When it ends.
    pub until: Millis,
    /// Accounts and keys as they are in the beginning.
    pub world: World,
    /// By time.
    pub requests: Vec<Request>,
    /// The upstream's bad hours.
    pub troubles: Vec<Trouble>,
    /// When the daemon's wall clock is off from, and by how much.
    pub skews: Vec<(Millis, Millis)>,
}

/// Draws a scenario from a seed.
pub type Draw = fn(u64) -> Scenario;

/// All scenarios, by name. The policies are compared on all but the last, where everything goes wrong.
pub const ALL: &[(&str, Draw)] = &[
    ("one heavy user, unequal plans", heavy_user),
    ("many short sessions", many_short),
    ("few long cached sessions, sub-agents", long_cached),
    ("a week near the limits, staggered resets", near_limits),
    ("outages and concurrency refusals", outages),
    ("every refusal, a clock that jumps", chaos),
];

impl Scenario {
    /// Whether something in the script has by then given a reason to block this key.
    #[must_use]
    pub fn may_be_blocked(&self, key: usize, at: Millis) -> bool {
        let account = self.world.keys[key].account;
        self.troubles.iter().any(|trouble| {
            trouble.blocks() && trouble.from <= at && trouble.concerns(key, account, trouble.from)
        })
    }

    /// Whether the account's quota can be used all the time: what expires of others is nobody's fault.
    #[must_use]
    pub fn stays_alive(&self, account: usize) -> bool {
        !self.troubles.iter().any(|trouble| trouble.blocks() && trouble.whom == Whom::Account(account))
    }
}

/// An agent that reads and writes files for an hour or so.
const AGENT: Habit = Habit {
    opening: (18_000, 30_000),
    turns: (20, 80),
    fresh: (400, 4000),
    output: (150, 1500),
    pause: (3, 60),
    longest: 200_000,
    agents: (0, (0, 0)),
};

/// A question or two.
const SHORT: Habit = Habit { opening: (12_000, 20_000), turns: (1, 4), pause: (10, 120), ..AGENT };

/// A long piece of work with sub-agents.
const LONG: Habit =
    Habit { opening: (20_000, 40_000), turns: (150, 300), pause: (5, 90), agents: (6, (3, 8)), ..AGENT };

/// A plan's size against the smallest, its share of a week that five hours may use, and `parallel.limit`.
struct Size {
    level: &'static str,
    weight: f64,
    parallel: u32,
    /// How much of the first 7-day window is over, and how much of it is used, 0 to 1.
    week_over: f64,
    week_used: f64,
}

impl Size {
    const fn new(level: &'static str, weight: f64, parallel: u32, week_over: f64, week_used: f64) -> Self {
        Self { level, weight, parallel, week_over, week_used }
    }
}

/// Accounts so large that the demand is `load` times what all their 7-day windows hold that overlap the scenario.
/// Some of those end when little has been asked, or begin when little is asked any more: it is never all of use.
fn sized(requests: &[Request], sizes: &[Size], until: Millis, load: f64, rng: &mut Rng) -> World {
    let weeks = |size: &Size| {
        let after = (until as f64 / WEEK as f64 - (1.0 - size.week_over)).max(0.0);
        size.weight * (1.0 - size.week_used + after.ceil())
    };
    let work: Units = requests.iter().map(Request::least_cost).sum();
    let unit = work as f64 / load / sizes.iter().map(weeks).sum::<f64>();
    let mut world = World::default();
    for (number, size) in sizes.iter().enumerate() {
        let week = (unit * size.weight) as Units;
        let plan = Plan { level: size.level, five_hours: week / 6, week, parallel: size.parallel };
        let week_ago = (size.week_over * WEEK as f64) as Millis;
        let five_hours_ago = rng.i64(0..5 * HOUR);
        let id = format!("account{number}");
        world.add(Account::new(id, plan, five_hours_ago, week_ago, size.week_used));
    }
    world
}

/// A demand on accounts that it loads so far, and the chance that is left for what goes wrong.
fn loaded(
    name: &'static str,
    seed: u64,
    until: Millis,
    mut demand: Demand,
    load: f64,
    sizes: impl FnOnce(&mut Rng) -> Vec<Size>,
) -> (Scenario, Rng) {
    let mut rng = demand.rng.fork();
    let requests = demand.finish();
    let sizes = sizes(&mut rng);
    let world = sized(&requests, &sizes, until, load, &mut rng);
    let scenario = Scenario { name, seed, until, world, requests, troubles: Vec::new(), skews: Vec::new() };
    (scenario, rng)
}

/// The last requests end before the scenario does.
fn demand(seed: u64, until: Millis) -> Demand {
    Demand::new(seed, until - 20 * MINUTE)
}

/// Working days: `sessions` of a kind one after the other between two hours of the day, with breaks in minutes.
fn work_days(demand: &mut Demand, habit: &Habit, days: i64, hours: (i64, i64), breaks: (i64, i64)) {
    for day in 0..days {
        let evening = day * DAY + hours.1 * HOUR;
        let mut at = day * DAY + hours.0 * HOUR + demand.rng.i64(0..HOUR);
        while at < evening {
            at = demand.session(habit, at, evening);
            at += demand.rng.i64(breaks.0..=breaks.1) * MINUTE;
        }
    }
}

/// Sessions that begin at any time, so many a day, by day more than by night.
fn crowd(demand: &mut Demand, habit: &Habit, from: Millis, until: Millis, a_day: i64) {
    let mut at = from;
    while at < until {
        let quiet = if (8..22).contains(&hour_of_day(at)) { 1 } else { 4 };
        let mean = quiet * DAY / a_day * 17 / 24;
        at += demand.rng.i64(0..=2 * mean);
        demand.session(habit, at, until);
    }
}

/// One person, all day, on a small, a middle and a large plan.
#[must_use]
pub fn heavy_user(seed: u64) -> Scenario {
    let until = 14 * DAY;
    let mut demand = demand(seed, until);
    work_days(&mut demand, &AGENT, 14, (9, 19), (5, 40));
    let sizes = |rng: &mut Rng| {
        vec![
            Size::new("LEVEL_BASIC", 1.0, 10, rng.f64(), 0.0),
            Size::new("LEVEL_INTERMEDIATE", 3.0, 20, rng.f64(), 0.0),
            Size::new("LEVEL_ADVANCED", 6.0, 30, rng.f64(), 0.0),
        ]
    };
    loaded("one heavy user, unequal plans", seed, until, demand, 0.85, sizes).0
}

/// Questions from many places, little cache.
#[must_use]
pub fn many_short(seed: u64) -> Scenario {
    let until = 10 * DAY;
    let mut demand = demand(seed, until);
    crowd(&mut demand, &SHORT, 0, until, 160);
    let size = |rng: &mut Rng| Size::new("LEVEL_INTERMEDIATE", 1.0, 20, rng.f64(), rng.f64() * 0.5);
    let sizes = |rng: &mut Rng| (0..4).map(|_| size(rng)).collect();
    loaded("many short sessions", seed, until, demand, 0.9, sizes).0
}

/// Two people, each with sessions of hours that send out sub-agents.
#[must_use]
pub fn long_cached(seed: u64) -> Scenario {
    let until = 8 * DAY;
    let mut demand = demand(seed, until);
    for _ in 0..2 {
        work_days(&mut demand, &LONG, 8, (8, 17), (10, 60));
    }
    let sizes = |rng: &mut Rng| {
        vec![
            Size::new("LEVEL_INTERMEDIATE", 2.0, 20, rng.f64(), 0.0),
            Size::new("LEVEL_INTERMEDIATE", 2.0, 20, rng.f64(), 0.0),
            Size::new("LEVEL_ADVANCED", 4.0, 30, rng.f64(), 0.0),
        ]
    };
    loaded("few long cached sessions, sub-agents", seed, until, demand, 0.8, sizes).0
}

/// The first days are quiet and the last ones busy: quota that expires early is missed later.
#[must_use]
pub fn near_limits(seed: u64) -> Scenario {
    let until = 9 * DAY;
    let mut demand = demand(seed, until);
    crowd(&mut demand, &SHORT, 0, until, 60);
    crowd(&mut demand, &AGENT, 0, 5 * DAY, 5);
    crowd(&mut demand, &AGENT, 5 * DAY, until, 18);
    let sizes = |rng: &mut Rng| {
        let over = [0.75, 0.55, 0.35, 0.1].map(|over| over + rng.f64() * 0.1);
        over.map(|over| Size::new("LEVEL_INTERMEDIATE", 1.0, 20, over, over * 0.5)).into()
    };
    loaded("a week near the limits, staggered resets", seed, until, demand, 0.9, sizes).0
}

/// The upstream has bad hours, and accounts take fewer requests at once than they say.
#[must_use]
pub fn outages(seed: u64) -> Scenario {
    let until = 7 * DAY;
    let mut demand = demand(seed, until);
    crowd(&mut demand, &Habit { agents: (10, (3, 10)), ..AGENT }, 0, until, 12);
    let size = |rng: &mut Rng| Size::new("LEVEL_INTERMEDIATE", 1.0, 10, rng.f64(), 0.0);
    let sizes = |rng: &mut Rng| (0..3).map(|_| size(rng)).collect();
    let (mut scenario, mut rng) =
        loaded("outages and concurrency refusals", seed, until, demand, 0.75, sizes);
    let answers = [Answer::Row(Row::UpstreamError), Answer::Row(Row::Overloaded), Answer::NoAnswer];
    for _ in 0..20 {
        let answer = answers[rng.usize(0..answers.len())];
        let lasts = rng.i64(30..900) * SECOND;
        scenario.trouble(&mut rng, lasts, Whom::Everybody, answer, 100);
    }
    for _ in 0..12 {
        let account = Whom::Account(rng.usize(0..3));
        let parallel = Answer::Parallel(rng.u32(2..6));
        scenario.trouble(&mut rng, 4 * HOUR, account, parallel, 100);
        scenario.trouble(&mut rng, 10 * MINUTE, account, Answer::Row(Row::RateLimited), 60);
    }
    scenario.trouble(&mut rng, 20 * MINUTE, Whom::Everybody, Answer::Row(Row::ClientRefused), 100);
    scenario
}

/// Every row of the error table, keys that die, a wall clock that jumps.
#[must_use]
pub fn chaos(seed: u64) -> Scenario {
    let until = 6 * DAY;
    let mut demand = demand(seed, until);
    crowd(&mut demand, &SHORT, 0, until, 80);
    crowd(&mut demand, &Habit { agents: (20, (4, 14)), ..AGENT }, 0, until, 4);
    demand.spoil(20);
    let size = |size: i32, rng: &mut Rng| Size::new("LEVEL_BASIC", f64::from(size), 4, rng.f64(), 0.3);
    let sizes = |rng: &mut Rng| (1..6).map(|number| size(number, rng)).collect();
    let (mut scenario, mut rng) =
        loaded("every refusal, a clock that jumps", seed, until, demand, 0.8, sizes);
    scenario.world.add_key("second", 0, false);
    scenario.world.add_key("off", 1, true);
    let everybody = [Row::UpstreamError, Row::Overloaded, Row::ClientRefused, Row::RateLimited, Row::Unknown];
    for row in everybody {
        for percent in [20, 100] {
            let lasts = rng.i64(1..15) * MINUTE;
            scenario.trouble(&mut rng, lasts, Whom::Everybody, Answer::Row(row), percent);
        }
    }
    for row in [Row::QuotaMonth, Row::QuotaCycle, Row::RateLimited, Row::TierLimit, Row::ConcurrentLimit] {
        let (account, lasts) = (Whom::Account(rng.usize(0..5)), rng.i64(1..20) * 10 * MINUTE);
        scenario.trouble(&mut rng, lasts, account, Answer::Row(row), 50);
    }
    for row in [Row::Payment, Row::Balance, Row::Banned] {
        let lasts = if row == Row::Banned { 10 * DAY } else { 6 * HOUR };
        let account = Whom::Account(rng.usize(0..2));
        scenario.trouble(&mut rng, lasts, account, Answer::Row(row), 100);
    }
    scenario.trouble(&mut rng, 5 * HOUR, Whom::Key(5), Answer::Row(Row::InvalidKey), 100);
    scenario.trouble(&mut rng, 3 * HOUR, Whom::Everybody, Answer::CutShort, 10);
    scenario.trouble(&mut rng, 3 * HOUR, Whom::Everybody, Answer::NoAnswer, 10);
    scenario.trouble(&mut rng, 12 * HOUR, Whom::Account(2), Answer::Parallel(2), 100);
    // a laptop whose battery was empty, a clock set by hand, a time server that puts it right
    for skew in [-3 * HOUR, 0, 40 * DAY, 0, 20 * MINUTE, -DAY, 0] {
        scenario.skews.push((rng.i64(0..until), skew));
    }
    scenario
}

impl Scenario {
    /// Something goes wrong at any time, for so long.
    fn trouble(&mut self, rng: &mut Rng, lasts: Millis, whom: Whom, answer: Answer, percent: u8) {
        let from = rng.i64(0..self.until);
        self.troubles.push(Trouble { from, until: from + lasts, whom, answer, percent });
    }
}
