//! One documented entry a variable.
