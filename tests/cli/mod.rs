//! `kmi` as a person or a script runs it.

mod config;
mod connect;
mod doctor;
mod keyring;
mod keys;
mod keys_prompt;
mod logs;
mod proxy;
mod report;
mod rotation;
mod shell;
mod status;
mod trace_screen;
mod usage;
