//! Parameters and results of every method, by noun.

pub mod clients;
pub mod daemon;
pub mod decisions;
pub mod keys;
pub mod logs;
pub mod metrics;
pub mod quota;
pub mod requests;
pub mod rotation;
pub mod usage;
