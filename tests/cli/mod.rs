//! `kmi` as a person or a script runs it.

mod config;
mod logs;
mod proxy;
mod rotation;
mod status;
mod trace_screen;
