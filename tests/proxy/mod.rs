//! What a client of the proxy and the upstream behind it see.

mod admission;
mod affinity;
mod bodies;
mod connections;
mod endpoints;
mod errors;
mod headers;
mod holding;
mod keepalive;
mod limits;
mod many_sessions;
mod no_key;
mod outages;
mod parallel;
mod paths;
mod queue;
mod rotation;
mod streaming;
mod truncation;
