//! Addresses in config files: whose host, and whether it is kmid's own.

use kmid_core::key::BaseUrl;

/// Where kmid itself listens, as a client would write it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAddress {
    /// IP address or name, an IPv6 address with or without brackets.
    pub host: String,
    /// The port that is bound.
    pub port: u16,
    /// KMI_PROXY_BASE_PATH: starts with a slash, ends without one; may be empty.
    pub base_path: String,
}

/// An address as it stands in a config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// Takes apart an absolute http or https URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.trim().parse().ok()?;
        let authority = uri.authority()?;
        let default_port = match uri.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        (!host.is_empty()).then(|| Self {
            host,
            port: authority.port_u16().unwrap_or(default_port),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether it is kmid: its port on this machine or on its own host, or its base path there, because the port
    /// may have been another when the address was written down.
    pub(super) fn is_kmid(&self, own: &OwnAddress) -> bool {
        let own_host = own.host.trim_matches(['[', ']']).to_ascii_lowercase();
        let here = is_this_machine(&self.host) || self.host == own_host;
        let below_base = !own.base_path.is_empty()
            && self
                .path
                .strip_prefix(own.base_path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let same_port = self.port == own.port;
        // a listener on all interfaces answers under any of the machine's names
        (here && (same_port || below_base)) || (same_port && below_base)
    }

    pub(super) fn same_host(&self, url: &BaseUrl) -> bool {
        self.host == url.host().trim_matches(['[', ']']) && self.port == url.port()
    }

    /// Whether it is one of the API's own hosts. Source: kimi-upstream.md "Hosts and endpoints", 2026-11.
    pub(super) fn is_kimi(&self) -> bool {
        ["kimi.com", "kimi.ai", "moonshot.ai", "moonshot.cn"].iter().any(|domain| {
            self.host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn own(host: &str) -> OwnAddress {
        OwnAddress { host: host.into(), port: 54123, base_path: "/kmi-rotor/v1".into() }
    }

    #[test]
    fn kmid_is_recognised_however_it_is_written() {
        for url in [
            "http://127.0.0.1:54123/kmi-rotor/v1",
            "http://127.0.0.1:54123/kmi-rotor/v1/",
            "http://localhost:54123/kmi-rotor",
            "http://LOCALHOST:54123",
            "http://[::1]:54123/kmi-rotor/v1",
            "https://127.0.0.2:54123/x",
            "http://127.0.0.1:50000/kmi-rotor/v1/search",
            "http://my-machine:54123/kmi-rotor/v1",
        ] {
            assert!(Address::parse(url).unwrap().is_kmid(&own("127.0.0.1")), "{url}");
        }
        for url in [
            "https://api.kimi.com/coding/v1",
            "https://api.kimi.com/kmi-rotor/v1",
            "https://127.0.0.1:8443/coding/v1",
            "http://127.0.0.1:50000/kmi-rotor/v10",
            "http://my-machine:54123/v1",
        ] {
            assert!(!Address::parse(url).unwrap().is_kmid(&own("127.0.0.1")), "{url}");
        }
        assert!(Address::parse("https://rotor.lan:54123/").unwrap().is_kmid(&own("rotor.lan")));
        for url in ["", "api.kimi.com", "ftp://127.0.0.1:54123/", "http://", "/kmi-rotor/v1"] {
            assert_eq!(Address::parse(url), None, "{url}");
        }
    }

    #[test]
    fn hosts() {
        let url = BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap();
        assert!(Address::parse("https://API.kimi.com:443/other").unwrap().same_host(&url));
        assert!(!Address::parse("https://api.kimi.ai/coding/v1").unwrap().same_host(&url));
        assert!(Address::parse("https://api.moonshot.cn/v1").unwrap().is_kimi());
        assert!(!Address::parse("https://evilkimi.com/v1").unwrap().is_kimi());
    }
}
