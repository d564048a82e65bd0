//! `kmi` as a person or a script runs it.

mod config;
mod connect;
mod logs;
mod proxy;
mod rotation;
mod status;
mod usage;
