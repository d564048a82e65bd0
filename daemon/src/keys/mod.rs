//! The key directory: files -> keys, and what could not be used.
