//! The real binaries in a temporary HOME, and what tests hold them by.

pub mod binaries;
pub mod cli;
pub mod control;
pub mod daemon;
pub mod downstream;
pub mod files;
pub mod home;
pub mod machine;
pub mod needs;
pub mod process;
pub mod programs;
pub mod request;
pub mod require;
pub mod tmux;
pub mod user_manager;
pub mod wait;

pub use daemon::{Daemon, Setup};
pub use downstream::{Answer, Connection, End};
pub use request::Request;
