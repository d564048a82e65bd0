//! The wire contract between `kmid` and `kmi`: JSON-RPC 2.0, one message a line, over a local socket.
//!
//! Types, framing and a blocking client over any stream: no sockets, no files, no clock. Any JSON-RPC client can
//! speak it too.

pub mod build;
pub mod client;
pub mod codec;
pub mod endpoint;
pub mod envelope;
pub mod error;
pub mod hello;
pub mod method;
pub mod methods;
pub mod notify;
