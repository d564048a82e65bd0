//! The pure pool through days of requests in seconds, against what must always hold, and against what nobody could
//! do better. A failure prints its seed; `KMI_SIM_SEED=7 cargo test -p kmi-tests --test simulation` runs that one.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]
#![allow(clippy::print_stderr, reason = "a failed test says how to run it again")]

#[path = "simulation/bounds.rs"]
mod bounds;
#[path = "simulation/promises.rs"]
mod promises;
#[path = "simulation/runs.rs"]
mod runs;
