//! What a client of the proxy and the upstream behind it see.

mod admission;
mod bodies;
mod connections;
mod endpoints;
mod errors;
mod headers;
mod limits;
mod no_key;
mod outages;
mod parallel;
mod paths;
mod rotation;
mod streaming;
mod truncation;
