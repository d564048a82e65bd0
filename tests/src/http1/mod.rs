//! HTTP/1.1 as it stands on the wire: heads with their names' order and case, bodies with their framing and the
//! way they ended. Both sides of the tests read through this, because a library would hide what they look for.

mod fields;
mod wire;

pub use fields::Fields;
pub use wire::{Framing, RequestHead, ResponseHead, Wire};
