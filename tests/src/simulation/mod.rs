//! A seeded simulation of the pure pool: days of requests in seconds, without sockets, threads or a clock.
//!
//! The parts: [`clock`] (virtual time, and a wall clock that may jump), [`world`] (accounts, their windows, caches and
//! limits), [`demand`] (sessions and when they ask for what), [`trouble`] (what goes wrong, and when), [`upstream`]
//! (what the API answers), [`brain`] (the pool behind the few calls that the daemon makes of it), [`driver`] (the
//! queue of events), [`metrics`] (what came of it), [`bound`] and [`flow`] (what nobody could do better),
//! [`scenario`] and [`report`].
//!
//! Everything follows from a seed. Requests, their times and sizes are drawn before the pool is asked anything, so
//! that every policy meets the same demand.

pub mod bound;
pub mod brain;
pub mod clock;
pub mod demand;
pub mod driver;
pub mod flow;
pub mod metrics;
pub mod report;
pub mod scenario;
pub mod trouble;
pub mod upstream;
pub mod world;

/// Milliseconds of true time since the simulation began.
pub type Millis = i64;

/// One second.
pub const SECOND: Millis = 1000;
/// One minute.
pub const MINUTE: Millis = 60 * SECOND;
/// One hour.
pub const HOUR: Millis = 60 * MINUTE;
/// One day.
pub const DAY: Millis = 24 * HOUR;

/// A tenth of the quota that one token of new input costs: the unit of costs and windows.
pub type Units = i64;
