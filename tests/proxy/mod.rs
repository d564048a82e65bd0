//! What a client of the proxy and the upstream behind it see.

mod admission;
mod affinity;
mod bodies;
mod certificate;
mod connections;
mod crowd;
mod early_answers;
mod endpoints;
mod errors;
mod headers;
mod holding;
mod http2_clients;
mod http2_upstream;
mod keepalive;
mod limits;
mod many_sessions;
mod no_key;
mod outages;
mod parallel;
mod paths;
mod queue;
mod remote;
mod rotation;
mod streaming;
mod tokens;
mod truncation;

use std::io::Write as _;

use kmi_tests::harness::{Daemon, Setup};
use kmi_tests::upstream::Upstream;

/// A daemon with the keys `alpha` and `beta`, the second of which may serve where the first fails.
async fn two_keys(upstream: &Upstream) -> Daemon {
    Setup::live(upstream).keys(&["alpha", "beta"]).may_switch().start().await
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}
