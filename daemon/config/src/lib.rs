//! Settings of kmid and kmi: every `KMI_` variable, how it is resolved, and the one place that reads them.
//!
//! This room is a crate of its own because `kmi` shares the resolver without carrying the daemon.

pub mod dotenv;
pub mod env;
mod env_file;
pub mod issue;
pub mod keyring;
pub mod load;
pub mod outside;
mod parse;
mod paths;
mod pipe;
pub mod resolve;
pub mod settings;
pub mod show;
pub mod zone_files;

pub use env_file::nearest;
pub use parse::{boolean, zone};
