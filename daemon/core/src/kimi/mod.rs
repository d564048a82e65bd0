//! Facts about the Kimi API: its error table, its quota answer, its wires and usage figures.

pub mod error;
mod figure;
pub mod quota;
pub mod retry_after;
pub mod sse;
pub mod usage;
pub mod wire;
