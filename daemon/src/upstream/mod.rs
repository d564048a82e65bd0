//! The way to the API: connections, TLS, transport faults, and the embedded simulator.

pub mod simulator;
