//! JSON for programs.

use serde::Serialize;

/// One document, indented, with a newline at its end.
pub(crate) fn document<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// One document on one line, for streams.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(format!("{}\n", serde_json::to_string(value)?))
}
