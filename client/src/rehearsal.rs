//! What a test may impose on a debug build: a clock that stands still, and a panic at a named point. A release build
//! has none of it, so that no person meets it.

use jiff::Timestamp;

/// Holds the time that [`App::view`](crate::app::App::view) shows, RFC 3339.
const CLOCK: &str = "_KMI_CLOCK";

/// Names the point that panics.
const PANIC: &str = "_KMI_PANIC";

/// The time to take for the present.
pub(crate) fn clock() -> Option<Timestamp> {
    variable(CLOCK)?.parse().ok()
}

/// Panics where a test wants it.
pub(crate) fn panic_at(point: &str) {
    assert!(variable(PANIC).is_none_or(|named| named != point), "rehearsed at {point}");
}

fn variable(name: &str) -> Option<String> {
    if cfg!(debug_assertions) { std::env::var(name).ok() } else { None }
}
