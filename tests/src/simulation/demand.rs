//! Who asks for what, and when. Drawn from the seed alone, before any key is chosen: the demand is the same for
//! every policy, whatever became of earlier requests.

use fastrand::Rng;
use kmid_core::kimi::error::Row;

use super::world::{CACHE_LIVES, cost};
use super::{HOUR, Millis, SECOND, Units};

/// The client asks again for so long when there is no key or the API is busy; then the turn is lost. Kimi's own
/// client gives up after 145 s (ARCHITECTURE.md, "What the clients do", 2026-11).
pub const PATIENCE: Millis = 145 * SECOND;
/// An attempt that is served begins so long after the first asking at the latest: the last asking, the failovers in
/// it, and what the daemon may let it wait in a queue. The driver asserts it; the bound stands on it.
pub const LATEST_START: Millis = PATIENCE + 60 * SECOND;

/// What one client wants once.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it is asked for first.
    pub at: Millis,
    /// The session it belongs to.
    pub session: u32,
    /// Tokens of input that an account may have cached from earlier requests of the session.
    pub shared: i64,
    /// Tokens of input that are new.
    pub fresh: i64,
    /// Tokens of output.
    pub output: i64,
    /// Tokens that an account has cached once it has served this.
    pub leaves: i64,
    /// How long the answer takes.
    pub takes: Millis,
    /// What is wrong with the request itself, so that no key can serve it.
    pub fault: Option<Row>,
    /// Whether any account could have the shared part cached, whoever chooses.
    pub may_hit: bool,
}

impl Request {
    /// Tokens of input.
    #[must_use]
    pub fn input(&self) -> i64 {
        self.shared + self.fresh
    }

    /// The most of its input that can be cached on any account.
    #[must_use]
    pub fn best_cached(&self) -> i64 {
        if self.may_hit { self.shared } else { 0 }
    }

    /// The least that it can cost.
    #[must_use]
    pub fn least_cost(&self) -> Units {
        cost(self.input(), self.best_cached(), self.output)
    }
}

/// From and to, both possible.
pub type Range = (i64, i64);

/// How a kind of session behaves.
#[derive(Debug, Clone)]
pub struct Habit {
    /// Tokens that the first request carries.
    pub opening: Range,
    /// Requests of the session, sub-agents not counted.
    pub turns: Range,
    /// Tokens that each request adds.
    pub fresh: Range,
    /// Tokens of each answer.
    pub output: Range,
    /// Seconds between the end of an answer and the next request.
    pub pause: Range,
    /// The context is compacted to its opening when it grows beyond this.
    pub longest: i64,
    /// Percent of turns that start sub-agents, and how many.
    pub agents: (u8, Range),
}

/// Draws requests; [`Demand::finish`] gives them in the order of their times.
#[derive(Debug)]
pub struct Demand {
    /// Where chance comes from.
    pub rng: Rng,
    requests: Vec<Request>,
    sessions: u32,
    until: Millis,
}

impl Demand {
    /// No requests yet; none will be later than `until`.
    #[must_use]
    pub fn new(seed: u64, until: Millis) -> Self {
        Self { rng: Rng::with_seed(seed), requests: Vec::new(), sessions: 0, until }
    }

    fn draw(&mut self, (from, to): Range) -> i64 {
        self.rng.i64(from..=to)
    }

    /// One session from `start` on, over at `until` at the latest; when its last answer ends.
    pub fn session(&mut self, habit: &Habit, start: Millis, until: Millis) -> Millis {
        let session = self.sessions;
        self.sessions += 1;
        let opening = self.draw(habit.opening);
        let (mut at, mut shared, mut fresh) = (start, 0, opening);
        for _ in 0..self.draw(habit.turns) {
            if at >= until {
                break;
            }
            let (output, leaves) = (self.draw(habit.output), shared + fresh);
            let takes = takes(fresh, output);
            self.push(session, at, (shared, fresh, output), leaves + output, takes);
            shared = leaves + output;
            at += takes;
            let (percent, count) = habit.agents;
            if self.rng.u8(0..100) < percent {
                at = self.agents(session, at, opening, count, habit);
            }
            at += self.draw(habit.pause) * SECOND;
            fresh = self.draw(habit.fresh);
            if shared + fresh > habit.longest {
                // a summary stands in for what was said; the opening is still the same
                shared = opening;
                fresh = self.draw(habit.opening) / 2;
            }
        }
        at
    }

    /// A burst of sub-agents: they share the session's opening and leave nothing new that others could use. When the
    /// last one's answer ends.
    fn agents(&mut self, session: u32, at: Millis, opening: i64, count: Range, habit: &Habit) -> Millis {
        let mut end = at;
        for _ in 0..self.draw(count) {
            let start = at + self.draw((0, 1500));
            let (fresh, output) = (self.draw(habit.fresh) * 2, self.draw(habit.output));
            let takes = takes(fresh, output);
            self.push(session, start, (opening, fresh, output), opening, takes);
            end = end.max(start + takes);
        }
        end
    }

    fn push(&mut self, session: u32, at: Millis, sizes: (i64, i64, i64), leaves: i64, takes: Millis) {
        let (shared, fresh, output) = sizes;
        if at < self.until {
            let may_hit = shared > 0;
            self.requests.push(Request {
                at,
                session,
                shared,
                fresh,
                output,
                leaves,
                takes,
                fault: None,
                may_hit,
            });
        }
    }

    /// Makes so many of a thousand requests wrong in themselves.
    pub fn spoil(&mut self, of_a_thousand: u32) {
        let rows = [Row::InvalidRequest, Row::BadModel, Row::ModelNotFound, Row::Unknown];
        for request in &mut self.requests {
            if self.rng.u32(0..1000) < of_a_thousand {
                request.fault = self.rng.choice(rows);
            }
        }
    }

    /// All requests by time, each knowing whether a cache could help it at all.
    #[must_use]
    pub fn finish(mut self) -> Vec<Request> {
        self.requests.sort_by_key(|request| (request.at, request.session));
        let mut by_session: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
        for (index, request) in self.requests.iter().enumerate() {
            by_session.entry(request.session).or_default().push(index);
        }
        for indices in by_session.values() {
            for &index in indices {
                let may_hit = indices.iter().any(|&other| {
                    other != index && may_find_cached(&self.requests[index], &self.requests[other])
                });
                self.requests[index].may_hit &= may_hit;
            }
        }
        self.requests
    }
}

/// Whether `request` could begin within the life of a cache that `other` left: with the clients' patience either may
/// begin later than it was first asked for.
fn may_find_cached(request: &Request, other: &Request) -> bool {
    let earliest_end = other.at + other.takes;
    let latest_end = earliest_end + LATEST_START;
    other.fault.is_none()
        && earliest_end <= request.at + LATEST_START
        && request.at - latest_end <= CACHE_LIVES
}

/// A second, a millisecond for each 50 tokens of input that are new, 50 tokens of output a second.
fn takes(fresh: i64, output: i64) -> Millis {
    SECOND + fresh / 50 + output * 20
}

/// The hour of the day, 0 to 23, in the user's own time.
#[must_use]
pub fn hour_of_day(at: Millis) -> i64 {
    at.div_euclid(HOUR).rem_euclid(24)
}
