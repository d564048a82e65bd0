//! What the machine under the tests has.

use std::net::{IpAddr, UdpSocket};

use super::require::or_skip;

/// An address of this machine beyond loopback. Connections to it never leave the machine, and are for kmid those of
/// another one. `None`, said on stderr, where there is none.
///
/// # Panics
/// When there is none, and `KMI_TEST_REQUIRE_ALL=1`.
#[must_use]
pub fn own_address() -> Option<IpAddr> {
    // Choosing a way to a documentation address (RFC 5737) sends nothing.
    let address = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let address = address.ok().map(|address| address.ip());
    let found = address.filter(|address| !address.is_loopback() && !address.is_unspecified());
    if or_skip(found.is_some(), "this machine has no address beyond loopback") { found } else { None }
}
