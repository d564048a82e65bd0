//! The only reader of the time.

use kmid_core::time::Time;

/// Wall-clock time now.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Time {
    Time::from_millis(jiff::Timestamp::now().as_millisecond())
}
