//! The other end of a connection.

use std::fmt;
use std::net::IpAddr;

/// What stands for one peer: an IPv4 address, or the first 64 bits of an IPv6 address, because that many belong to
/// one line as a rule (RFC 6177, RFC 7084) and its owner can take any address below them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// One address.
    V4([u8; 4]),
    /// A /64.
    V6([u8; 8]),
}

impl Peer {
    /// The peer that has this address. An IPv4 address in IPv6 form is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(octets) => std::net::Ipv4Addr::from(*octets).fmt(f),
            Self::V6(first) => {
                let mut octets = [0; 16];
                octets[..8].copy_from_slice(first);
                write!(f, "{}/64", std::net::Ipv6Addr::from(octets))
            }
        }
    }
}

/// How a listener may be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Only from this machine.
    Loopback,
    /// By others, over TLS of its own, or in plain text because a person said so.
    Open,
    /// Through something that ends TLS in front of it: in plain text, from near by.
    Terminated,
}

impl Exposure {
    /// Whether this address may have a connection.
    #[must_use]
    pub fn lets_connect(self, address: IpAddr) -> bool {
        self != Self::Terminated || is_near(address)
    }

    /// Whether connections from this address stand for this machine's own programs, or for the many clients of what ends
    /// TLS on it: what one of them does wrong must not keep the others out. Any other address, a private one too, may be
    /// anybody's.
    #[must_use]
    pub fn is_shared(self, address: IpAddr) -> bool {
        self == Self::Loopback || address.to_canonical().is_loopback()
    }
}

/// This machine, or a network that no provider routes: RFC 1918, RFC 4193, link-local.
#[must_use]
pub fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}
