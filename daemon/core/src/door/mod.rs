//! Who may come in to the proxy, how often a wrong one may try, and how much is said of it. Pure.

pub mod attempts;
pub mod names;
pub mod peer;
pub mod places;
pub mod tally;
#[cfg(test)]
mod tests;
mod tokens;
pub mod validity;

pub use self::tokens::{Named, Tokens};
