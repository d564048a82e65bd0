//! Code shared by the end-to-end tests and the benchmark: a scriptable Kimi API over real TLS, a harness around
//! the real binaries, an HTTP client that shows what is on the wire, and a simulation of the pure pool.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test, there is no one to report to")]
#![allow(clippy::disallowed_methods, reason = "the rule about the time is the daemon's")]

pub mod harness;
pub mod http1;
pub mod simulation;
pub mod upstream;
