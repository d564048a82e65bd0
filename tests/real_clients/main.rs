//! The real clients, run for real: both generations of the Kimi client, Claude Code, opencode and the SDKs, against a
//! real kmid, in dry-run and with a scripted API over TLS behind it.
//!
//! `tests/real-clients.sh` installs them and starts this. `KMI_TEST_CLIENTS` names the folder that they are in; what
//! is not there is skipped, and with `KMI_TEST_REQUIRE_ALL=1` its lack is a failure.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test, there is no one to report to")]

mod agents;
mod clients;
mod kimi;
mod model;
mod sdks;
mod turn;
