//! What the machine under the tests has.

use std::net::{IpAddr, UdpSocket};

/// An address of this machine beyond loopback. Connections to it never leave the machine, and are for kmid those of
/// another one. `None`, said on stderr, where there is none.
///
/// # Panics
/// When there is none, and `KMI_TEST_REQUIRE_ALL=1`.
#[must_use]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn own_address() -> Option<IpAddr> {
    // Choosing a way to a documentation address (RFC 5737) sends nothing.
    let address = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("198.51.100.1:9")?;
        socket.local_addr()
    });
    let address = address.ok().map(|address| address.ip());
    let found = address.filter(|address| !address.is_loopback() && !address.is_unspecified());
    if found.is_none() {
        let required = std::env::var_os("KMI_TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
        assert!(!required, "this machine has no address beyond loopback, and KMI_TEST_REQUIRE_ALL=1");
        eprintln!("skipped: this machine has no address beyond loopback");
    }
    found
}
