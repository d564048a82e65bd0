//! Programs and libraries that a machine may lack.

use super::require::or_skip;

/// Whether something is there that a test needs; see [`or_skip`].
///
/// # Panics
/// When it is not there, and everything is required.
#[must_use]
pub fn present(what: &str, there: bool) -> bool {
    or_skip(there, &format!("missing: {what}"))
}
