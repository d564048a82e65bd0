//! Whom a certificate names.

use std::net::IpAddr;

/// The subject's alternative names of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// As they stand there, in their order.
    pub dns: Vec<String>,
    /// In their order.
    pub addresses: Vec<IpAddr>,
}

impl Names {
    /// The host by which clients on this machine reach a listener at `own` and believe the certificate: the address
    /// itself or `localhost` where it names these, else the first host that it names, else the address. As it stands in
    /// a URL.
    #[must_use]
    pub fn host(&self, own: IpAddr) -> String {
        if self.addresses.contains(&own) {
            return written(own);
        }
        let is_localhost = |name: &&String| name.eq_ignore_ascii_case("localhost");
        let local = self.dns.iter().find(|name| own.is_loopback() && is_localhost(name));
        // A wildcard names no host.
        let named = local.or_else(|| self.dns.iter().find(|name| !name.is_empty() && !name.contains('*')));
        named.cloned().unwrap_or_else(|| written(self.addresses.first().copied().unwrap_or(own)))
    }
}

fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn a_host_that_the_certificate_names() {
        let check = |dns: &[&str], addresses: &[&str], own: &str, expected: &str| {
            let names = Names {
                dns: dns.iter().map(ToString::to_string).collect(),
                addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            };
            assert_eq!(names.host(own.parse().unwrap()), expected, "{names:?} {own}");
        };
        check(&["kmid.example"], &["127.0.0.1"], "127.0.0.1", "127.0.0.1");
        check(&["kmid.example"], &["::1"], "::1", "[::1]");
        check(&["kmid.example", "localhost"], &[], "127.0.0.1", "localhost");
        check(&["kmid.example", "localhost"], &[], "192.0.2.1", "kmid.example");
        check(&["*.example", "kmid.example", "other.example"], &[], "127.0.0.1", "kmid.example");
        check(&["*.example"], &["192.0.2.1"], "127.0.0.1", "192.0.2.1");
        check(&[], &["2001:db8::1"], "127.0.0.1", "[2001:db8::1]");
        check(&["*.example"], &[], "127.0.0.1", "127.0.0.1");
        check(&[], &[], "127.0.0.1", "127.0.0.1");
        check(&[], &[], "::1", "[::1]");
    }
}
