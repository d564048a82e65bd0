//! How older state files become the present one. Each version's types are frozen in its own file: they are not the
//! program's types of today and never change with them.
//!
//! To add version N+1: copy the present types to `vN.rs`, freeze them, write `migrate`, and call it in `store`.

pub(super) mod v1;
