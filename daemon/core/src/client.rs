//! Client programs, told apart by what they say of themselves.

use std::hash::{DefaultHasher, Hasher};

use http::header::{HeaderMap, HeaderName, USER_AGENT};

/// What the upstream's gate looks at [kimi-upstream.md, Hosts and endpoints, 2026-11]. Other headers of the clients'
/// identity change with each call (`X-Msh-Tool-Call-Id`) or with the machine.
const IDENTITY: [HeaderName; 2] = [USER_AGENT, HeaderName::from_static("x-msh-platform")];

/// A client program, as the upstream's gate tells it from others. Two programs that say the same are one. Kept in
/// memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// The client whose request has these headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        // Two that hash alike share a pause, which is all that they could gain by it.
        let mut hasher = DefaultHasher::new();
        for name in IDENTITY {
            for value in headers.get_all(name) {
                hasher.write(value.as_bytes());
                hasher.write_u8(0xff);
            }
            hasher.write_u8(0);
        }
        Self(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(fields: &[(&'static str, &str)]) -> ClientId {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        ClientId::of(&headers)
    }

    #[test]
    fn what_a_client_says_of_itself_tells_it_from_others() {
        let cli = client(&[("user-agent", "KimiCLI/1.50.0"), ("x-msh-platform", "kimi_cli")]);
        let same = [
            ("content-length", "17"),
            ("x-msh-platform", "kimi_cli"),
            ("user-agent", "KimiCLI/1.50.0"),
            ("x-msh-tool-call-id", "call_1"),
        ];
        assert_eq!(client(&same), cli);
        assert_ne!(client(&[("user-agent", "KimiCLI/1.50.0")]), cli);
        assert_ne!(client(&[("user-agent", "curl/8"), ("x-msh-platform", "kimi_cli")]), cli);
        assert_ne!(client(&[("x-msh-platform", "a")]), client(&[("user-agent", "a")]));
        assert_ne!(client(&[("user-agent", "ab")]), client(&[("user-agent", "a"), ("user-agent", "b")]));
    }
}
