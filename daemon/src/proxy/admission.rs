//! Who may send requests: pure.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use http::{Method, Uri};
use kmid_core::door::Tokens;

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Its Host names another machine: a web page that made its name point here.
    ForeignHost,
    /// It comes from a web page.
    WebPage,
    /// The token is missing or wrong.
    Token,
    /// A CONNECT request, or another form of proxying.
    Tunnel,
    /// Its address had wrong tokens so often that this one was not looked at; it may come again after this.
    Slowed(Duration),
}

impl NotAdmitted {
    /// A stable word for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ForeignHost => "foreign_host",
            Self::WebPage => "web_page",
            Self::Token => "token",
            Self::Tunnel => "tunnel",
            Self::Slowed(_) => "slowed",
        }
    }
}

/// Lets a request come as far as its token, or says why not. No web site may spend the user's keys: a browser sends
/// `Origin`, or `Sec-Fetch-Site`, which scripts cannot forge. Node sends `Sec-Fetch-Mode` alone and passes. With
/// `only_loopback` nobody but this machine can reach the listener, and no other name for it is right.
///
/// # Errors
/// The first rule that the request breaks.
pub fn admit(
    only_loopback: bool,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<(), NotAdmitted> {
    if *method == Method::CONNECT {
        return Err(NotAdmitted::Tunnel);
    }
    if headers.contains_key(ORIGIN) {
        return Err(NotAdmitted::WebPage);
    }
    let mut sites = headers.get_all("sec-fetch-site").iter();
    if sites.any(|site| !matches!(site.as_bytes(), b"none" | b"same-origin")) {
        return Err(NotAdmitted::WebPage);
    }
    if only_loopback && !names_loopback(uri, headers) {
        return Err(NotAdmitted::ForeignHost);
    }
    Ok(())
}

/// Every name that the request gives for its target is this machine, on any port (`ssh -L`).
fn names_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut names = headers.get_all(HOST).iter().peekable();
    let has_host = names.peek().is_some() || uri.authority().is_some();
    let is_ours = |host: &str| without_port(host).is_some_and(host_is_loopback);
    let host_headers = names.all(|host| host.to_str().is_ok_and(is_ours));
    has_host && host_headers && uri.authority().is_none_or(|authority| host_is_loopback(authority.host()))
}

/// The name or address of a `Host`; nothing when what follows it is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(end);
    let is_port = rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (rest.is_empty() || is_port).then_some(name)
}

fn host_is_loopback(host: &str) -> bool {
    let name = host.trim_matches(['[', ']']).trim_end_matches('.');
    name.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The name of the token that the request presents as `Authorization: Bearer`, `x-api-key` or `x-kmi-proxy-token`;
/// compared in constant time.
///
/// # Errors
/// When none of them is a token in force.
pub fn token<'a>(tokens: &'a Tokens, headers: &HeaderMap) -> Result<Option<&'a Arc<str>>, NotAdmitted> {
    let bearer = headers.get(AUTHORIZATION).map(|value| value.as_bytes()).and_then(|value| {
        let (scheme, rest) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    let plain = |name: &str| headers.get(name).map(|value| value.as_bytes());
    tokens.find(&[bearer, plain("x-api-key"), plain("x-kmi-proxy-token")]).ok_or(NotAdmitted::Token)
}

#[cfg(test)]
mod tests {
    use kmid_core::door::Named;
    use kmid_core::key::Secret;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn check(uri: &str, pairs: &[(&'static str, &'static str)]) -> Result<(), NotAdmitted> {
        admit(true, &Method::POST, &uri.parse().unwrap(), &headers(pairs))
    }

    #[test]
    fn hosts() {
        for host in
            ["127.0.0.1:54123", "localhost", "LOCALHOST:9", "[::1]:80", "[::1]", "127.9.9.9", "a.localhost:1"]
        {
            assert_eq!(check("/x", &[("host", host)]), Ok(()), "{host}");
        }
        // The last is no host: an IPv6 address stands in brackets (RFC 3986, section 3.2.2).
        let names = ["evil.example", "10.0.0.1:54123", "localhost.evil.example", "127.0.0.1.evil.example"];
        let not_quite = [
            "localhost:80@evil.example",
            "localhost:80.evil.example",
            "[::1]evil.example",
            "[::1",
            "::1",
            "",
        ];
        for host in names.into_iter().chain(not_quite) {
            assert_eq!(check("/x", &[("host", host)]), Err(NotAdmitted::ForeignHost), "{host}");
        }
        assert_eq!(check("/x", &[]), Err(NotAdmitted::ForeignHost));
        let absolute = check("http://evil.example/x", &[("host", "localhost")]);
        assert_eq!(absolute, Err(NotAdmitted::ForeignHost));
    }

    #[test]
    fn web_pages() {
        let host = ("host", "localhost");
        assert_eq!(check("/x", &[host, ("origin", "null")]), Err(NotAdmitted::WebPage));
        assert_eq!(check("/x", &[host, ("sec-fetch-site", "cross-site")]), Err(NotAdmitted::WebPage));
        assert_eq!(check("/x", &[host, ("sec-fetch-site", "same-site")]), Err(NotAdmitted::WebPage));
        assert_eq!(check("/x", &[host, ("sec-fetch-site", "none")]), Ok(()));
        assert_eq!(check("/x", &[host, ("sec-fetch-mode", "cors")]), Ok(()));
    }

    #[test]
    fn the_name_of_a_host_does_not_matter_where_others_can_reach_it() {
        let uri = "/x".parse().unwrap();
        let check = |pairs| admit(false, &Method::POST, &uri, &headers(pairs));
        assert_eq!(check(&[("host", "kmi.example")]), Ok(()));
        assert_eq!(check(&[("host", "kmi.example"), ("origin", "null")]), Err(NotAdmitted::WebPage));
    }

    #[test]
    fn tokens() {
        let secret = Secret::new("let-me-in");
        let named = vec![Named { name: "laptop".into(), secret: Secret::new("named") }];
        let tokens = Tokens { unnamed: Some(secret), named };
        for pair in [
            ("authorization", "Bearer let-me-in"),
            ("authorization", "bearer let-me-in"),
            ("x-api-key", "let-me-in"),
            ("x-kmi-proxy-token", "let-me-in"),
        ] {
            assert_eq!(token(&tokens, &headers(&[pair])), Ok(None), "{pair:?}");
        }
        for pair in
            [("authorization", "Basic let-me-in"), ("x-api-key", "let-me-in2"), ("x-other", "let-me-in")]
        {
            assert_eq!(token(&tokens, &headers(&[pair])), Err(NotAdmitted::Token), "{pair:?}");
        }
        let both = [("authorization", "Bearer wrong"), ("x-kmi-proxy-token", "named")];
        assert_eq!(token(&tokens, &headers(&both)).unwrap().map(|name| &**name), Some("laptop"));
    }
}
