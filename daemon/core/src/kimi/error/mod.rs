//! The error table: status and structured text of an error answer -> what it means.

mod table;
mod text;

pub use table::{Row, classify};
pub(crate) use text::error_event;
pub use text::{ErrorText, log_text, parse};
