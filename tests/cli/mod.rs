//! `kmi` as a person or a script runs it.

mod config;
mod keys;
mod logs;
mod proxy;
mod rotation;
mod shell;
mod status;
