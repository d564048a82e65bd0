//! What nobody could do better: an upper bound on the work that any policy serves, knowing the whole future.
//!
//! *Work* is what the served requests would have cost with every possible cache hit ([`Request::least_cost`]). The
//! bound is a maximum flow:
//!
//! ```text
//! source -> demand of 10 minutes -> 5-hour window of an account -> 7-day window of the account -> sink
//! ```
//!
//! Why no policy of any kind can serve more. Take whatever it did, and send each request it served as a flow of its
//! least cost from the bucket of its asking, through the windows in which it was admitted. That is a flow:
//!
//! 1. *A request is served once,* and admitted between its asking and [`LATEST_START`] later. So a bucket sends no
//!    more than it holds, and only to windows that overlap the bucket and that time after it: those arcs exist.
//! 2. *A window holds it.* Windows are fixed in time (see `world`), they neither begin nor end by what is used. All
//!    but the last request admitted to a window were paid before it was full, and nothing costs less than its least
//!    cost. So the work admitted to a window is less than its capacity and one request more: the dearest that could
//!    have been asked for in it is added to the capacity.
//! 3. *Caches cannot help more.* The least cost assumes that the account has all of the shared context cached, if
//!    any account possibly could: some request of the session may have ended within the life of a cache before it.
//! 4. *What the bound leaves out only hinders:* limits of requests in flight, outages of single accounts, the whole
//!    of a request (a flow may divide it), and that a 5-hour window which the weekly reset divides is one (each part
//!    of it may here be used to the full capacity).
//!
//! The maximum flow is at least that flow, whatever the policy was.

use std::collections::BTreeMap;

use super::demand::{LATEST_START, Request};
use super::flow::{Flow, UNLIMITED};
use super::scenario::Scenario;
use super::world::{Account, FIVE_HOURS, WEEK};
use super::{MINUTE, Millis, Units};

/// Requests of so long are one node.
const BUCKET: Millis = 10 * MINUTE;

/// The most work that anybody could serve.
#[must_use]
pub fn most_work(scenario: &Scenario) -> Units {
    most(scenario, |_, _| true)
}

/// What expires of the 7-day windows that end even when everybody asks first of what ends first and every possible
/// cache hit is one. A policy that pays for lost caches can let less expire; with what those cost it is worse.
#[must_use]
pub fn least_expired(scenario: &Scenario) -> Units {
    let counts = |account, ends| ends <= scenario.until && scenario.stays_alive(account);
    let mut ended = 0;
    for (number, account) in scenario.world.accounts.iter().enumerate() {
        let mut ends = account.week.resets_at();
        let mut used = account.week.used;
        while counts(number, ends) {
            ended += account.plan.week - used;
            used = 0;
            ends += WEEK;
        }
    }
    (ended - most(scenario, counts)).max(0)
}

/// The most that flows into the 7-day windows that count, by account and end.
fn most(scenario: &Scenario, counts: impl Fn(usize, Millis) -> bool) -> Units {
    let demand = Buckets::of(scenario);
    let mut flow = Flow::default();
    let (source, sink) = (flow.node(), flow.node());
    let buckets: Vec<(Millis, usize)> = demand
        .0
        .iter()
        .map(|(&from, bucket)| {
            let node = flow.node();
            flow.arc(source, node, bucket.work);
            (from, node)
        })
        .collect();
    for (number, account) in scenario.world.accounts.iter().enumerate() {
        if scenario.world.keys.iter().any(|key| key.account == number && !key.disabled) {
            add_account(&mut flow, account, &demand, &buckets, sink, &|ends| counts(number, ends));
        }
    }
    flow.most(source, sink)
}

fn add_account(
    flow: &mut Flow,
    account: &Account,
    demand: &Buckets,
    buckets: &[(Millis, usize)],
    sink: usize,
    counts: &dyn Fn(Millis) -> bool,
) {
    let Some(&last) = demand.0.keys().last() else { return };
    let end = last + BUCKET + LATEST_START;
    let mut week = account.week.began;
    while week < end {
        let week_end = week + WEEK;
        let used = if week == account.week.began { account.week.used } else { 0 };
        let week_node = flow.node();
        let most = room(account.plan.week - used, demand.dearest(week, week_end));
        flow.arc(week_node, sink, if counts(week_end) { most } else { 0 });
        let mut part = week.max(0);
        while part < week_end.min(end) {
            let since = (part - account.five_hours.began).rem_euclid(FIVE_HOURS);
            let part_end = (part - since + FIVE_HOURS).min(week_end);
            let node = flow.node();
            flow.arc(node, week_node, room(account.plan.five_hours, demand.dearest(part, part_end)));
            let first = buckets.partition_point(|&(from, _)| from + BUCKET + LATEST_START < part);
            for &(_, bucket) in buckets[first..].iter().take_while(|&&(from, _)| from < part_end) {
                flow.arc(bucket, node, UNLIMITED);
            }
            part = part_end;
        }
        week = week_end;
    }
}

/// What a window may hold of work: it admits until it is full, so one request more.
fn room(left: Units, dearest: Units) -> Units {
    if left > 0 { left + dearest } else { 0 }
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    work: Units,
    dearest: Units,
}

/// What is asked for, by the beginning of its bucket.
struct Buckets(BTreeMap<Millis, Bucket>);

impl Buckets {
    fn of(scenario: &Scenario) -> Self {
        let mut buckets: BTreeMap<Millis, Bucket> = BTreeMap::new();
        for request in scenario.requests.iter().filter(|request| may_be_served(request, scenario)) {
            let bucket = buckets.entry(request.at - request.at.rem_euclid(BUCKET)).or_default();
            bucket.work += request.least_cost();
            bucket.dearest = bucket.dearest.max(request.least_cost());
        }
        Self(buckets)
    }

    /// The dearest request that can be admitted in that time.
    fn dearest(&self, from: Millis, until: Millis) -> Units {
        let asked = self.0.range(from - LATEST_START - BUCKET..until);
        asked.map(|(_, bucket)| bucket.dearest).max().unwrap_or(0)
    }
}

/// Nothing is wrong with it, and the API is there at some time while its client waits.
fn may_be_served(request: &Request, scenario: &Scenario) -> bool {
    let gone = |from: Millis, until: Millis| from <= request.at && request.at + LATEST_START < until;
    let stops = scenario.troubles.iter().filter(|trouble| trouble.stops_everything());
    request.fault.is_none() && !stops.into_iter().any(|trouble| gone(trouble.from, trouble.until))
}
