//! Settings of kmid and kmi: every `KMI_` variable, how it is resolved, and the one place that reads them.
//!
//! This room is a crate of its own because `kmi` shares the resolver without carrying the daemon.

pub mod env;
pub mod load;
pub mod resolve;
pub mod settings;
