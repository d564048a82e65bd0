//! End to end: real binaries, real sockets, a real TLS upstream.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]
#![allow(clippy::disallowed_methods, reason = "the rule about the time is the daemon's")]

mod checks;
mod cli;
mod compat;
mod control;
mod documents;
mod dry_run;
mod faults;
mod lifecycle;
mod metrics;
mod packages;
mod proxy;
mod restart;
mod restart_refused;
mod security;
mod service;
mod settings;
mod state;
