//! `kmi` as a program, against a daemon that says what a test wants it to.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a failed step of a test ends the test")]

mod daemon;
mod fixed;
mod kmi;
mod pty;
mod screen;

mod connecting;
mod data;
mod logs;
mod outputs;
mod programs;
