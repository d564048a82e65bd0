//! The control socket, spoken to as any JSON-RPC client would.

mod audit;
mod daemon;
mod keys;
mod logs;
mod protocol;
mod quota;
mod requests;
mod rotation;
