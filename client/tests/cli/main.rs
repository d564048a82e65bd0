//! `kmi` as a program, against a daemon that says what a test wants it to.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod daemon;
mod kmi;

mod connecting;
mod data;
mod logs;
mod programs;
