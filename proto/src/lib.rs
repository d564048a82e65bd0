//! The wire contract between `kmid` and `kmi`: JSON-RPC 2.0, one message a line, over a local socket.
//!
//! Types only: no sockets, no files, no clock.

pub mod methods;
