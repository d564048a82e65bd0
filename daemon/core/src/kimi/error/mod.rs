//! The error table: status and structured text of an error answer -> what it means.

mod table;
mod text;

pub use table::{Row, classify};
pub use text::{ErrorText, error_event, log_text, parse};
