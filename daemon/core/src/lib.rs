//! What kmid decides, without doing anything: values, `now` and random numbers go in, values come out.
//!
//! Nothing here opens a file, a socket, an environment variable or a clock; the crate's dependencies are the
//! guard. The daemon around it is the thin shell that does the IO.

pub mod account;
pub mod client;
pub mod cooldown;
pub mod door;
pub mod history;
pub mod json;
pub mod key;
pub mod kimi;
pub mod ledger;
pub mod outcome;
pub mod policy;
pub mod pool;
pub mod queue;
pub mod rate;
pub mod recheck_plan;
pub mod refresh_plan;
pub mod said;
pub mod session;
pub mod time;
