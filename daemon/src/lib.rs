//! kmid: a daemon that owns Kimi API keys, refreshes their quotas, chooses and rotates them, and is a local HTTP
//! proxy that real Kimi clients talk to as if it were the API.
//!
//! Imports point one way: `kmid-core` <- `config` <- `state` <- {`proxy`, `refresh`, `control`} <- `app` <- `main`.

#[cfg(any(windows, test))]
#[cfg_attr(not(windows), allow(dead_code, reason = "what is pure in it is tested everywhere"))]
mod access_list;
pub mod app;
pub mod client_config;
pub mod clock;
pub mod command;
pub mod control;
pub mod demo;
pub mod detach;
#[cfg(test)]
mod fixtures;
pub mod handover;
pub mod inherited;
pub mod instance;
pub mod keys;
pub mod line_log;
pub mod local_time;
pub mod logging;
pub mod metrics;
pub mod open_files;
pub mod own_process;
mod peer_watch;
pub mod private;
pub mod proxy;
pub mod pulse;
pub mod refresh;
pub mod service_manager;
pub mod signal;
pub mod starter;
pub mod state;
pub mod supervisor;
pub mod upstream;
