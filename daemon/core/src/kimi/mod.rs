//! Facts about the Kimi API: its error table, its quota answer, its usage figures.

pub mod error;
pub mod quota;
pub mod usage;
