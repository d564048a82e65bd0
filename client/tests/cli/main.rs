//! `kmi` as a program, against a daemon that says what a test wants it to.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

mod daemon;
mod fixed;
mod kmi;
mod pty;
#[allow(unreachable_pub, reason = "the file is shared with the tests of the workspace")]
#[path = "../../../tests/src/harness/require.rs"]
mod require;
mod screen;

mod connecting;
mod data;
mod logs;
mod outputs;
mod programs;
mod zones;
