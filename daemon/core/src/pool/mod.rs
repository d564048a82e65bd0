//! All keys with their states; the one thing that decides.

pub mod snapshot;
pub mod view;
