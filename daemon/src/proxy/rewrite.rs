//! Headers on their way through: pure. What is not named here passes byte for byte.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use kmid_core::key::Key;
use kmid_core::kimi::wire::Wire;

use super::reply::LONGEST_WAIT;

/// The label of the key that answered.
pub const KEY: HeaderName = HeaderName::from_static("x-kmi-key");
/// The request's name in traces and logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-kmi-request-id");
/// Why this key, in short.
pub const DECISION: HeaderName = HeaderName::from_static("x-kmi-decision");
/// Who made the answer, where it was not the upstream.
pub const ORIGIN: HeaderName = HeaderName::from_static("x-kmi-origin");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Hop-by-hop whether `Connection` names them or not (RFC 9110 7.6.1, RFC 9112 for Transfer-Encoding).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A key that does not fit into a header. Checked when keys are loaded; kept as a type so that nothing
/// unfit can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot stand in a header")]
pub struct Unfit;

/// Turns the client's headers into those that go upstream with `key`, in place and in order. Call it once a
/// request with [`for_upstream`], then for each attempt with [`with_key`].
pub fn for_upstream(headers: &mut HeaderMap) {
    let wants_trailers = headers.get_all(TE).iter().any(|te| has_token(te, "trailers"));
    remove(headers, |name| {
        // Expectations are answered by this hop: the body is collected here.
        [EXPECT, VIA, FORWARDED].contains(name)
            || name.as_str().starts_with("x-forwarded-")
            || name.as_str().starts_with("x-kmi-")
    });
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// Whether the body comes in another transfer coding than `chunked`, which nobody here takes off (RFC 9112 6.1).
#[must_use]
pub fn has_transfer_coding(headers: &HeaderMap) -> bool {
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    headers.get_all(TRANSFER_ENCODING).iter().any(|value| !is_chunked(value))
}

/// Joins the `cookie` fields that HTTP/2 may split (RFC 9113 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Puts the key where the client had its own, or where the wire expects it, never in both places; and the host.
///
/// # Errors
/// When the key does not fit into a header.
pub fn with_key(headers: &mut HeaderMap, key: &Key, wire: Wire) -> Result<(), Unfit> {
    let used_api_key = headers.contains_key(X_API_KEY);
    let used_bearer = headers.contains_key(AUTHORIZATION);
    let as_api_key = match (used_api_key, used_bearer) {
        (true, false) => true,
        (false, true) => false,
        _ => wire == Wire::Anthropic,
    };
    let (keep, drop) = if as_api_key { (X_API_KEY, AUTHORIZATION) } else { (AUTHORIZATION, X_API_KEY) };
    let value = key.secret.to_header(if as_api_key { "" } else { "Bearer " }).map_err(|_| Unfit)?;
    headers.remove(drop);
    headers.insert(keep, value);
    headers.insert(HOST, key.base_url.authority().clone());
    Ok(())
}

/// Takes what belongs to the upstream's connection, names of ours, and leave for web pages out of a response's headers.
pub fn for_client(headers: &mut HeaderMap) {
    // The body's end is where Transfer-Encoding says; a length beside it is not to be believed (RFC 9112 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove(headers, |name| {
        let name = name.as_str();
        name.starts_with("x-kmi-") || name.starts_with("access-control-")
    });
}

/// Takes out a `Retry-After` that does more harm than good (see `LONGEST_WAIT`). Without it a client asks again soon, and
/// then is told which key is free when.
pub fn without_long_wait(headers: &mut HeaderMap) {
    let is_short = |value: &HeaderValue| {
        value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .is_some_and(|seconds: u64| seconds <= LONGEST_WAIT.as_secs())
    };
    if headers.get(RETRY_AFTER).is_some_and(|value| !is_short(value)) {
        headers.remove(RETRY_AFTER);
    }
}

/// Removes what belongs to one hop, and what `also` names. The names that are there are gone through: most messages
/// have few, and none of these.
fn remove(headers: &mut HeaderMap, also: impl Fn(&HeaderName) -> bool) {
    let named = named_by_connection(headers);
    let leaves = |name: &&HeaderName| HOP_BY_HOP.contains(name) || named.contains(name) || also(name);
    let leaving: Vec<HeaderName> = headers.keys().filter(leaves).cloned().collect();
    for name in leaving {
        headers.remove(name);
    }
}

/// The headers that `Connection` names, without those that go in any case.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        // Most clients send it.
        .filter(|name| !name.trim().eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| name.trim().parse().ok())
        // A client that lists these asks to lose its own request.
        .filter(|name: &HeaderName| *name != HOST && *name != CONTENT_LENGTH)
        .collect()
}

fn has_token(value: &HeaderValue, token: &str) -> bool {
    let has = |text: &str| {
        text.split(',')
            .any(|part| part.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(token)))
    };
    value.to_str().is_ok_and(has)
}

#[cfg(test)]
mod tests {
    use kmid_core::key::{BaseUrl, Secret};

    use super::*;

    fn key() -> Key {
        let secret = Secret::new("sk-kimi-real");
        Key::new("alpha", secret, BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap())
    }

    fn rewritten(pairs: &[(&'static str, &'static str)], wire: Wire) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        for_upstream(&mut headers);
        with_key(&mut headers, &key(), wire).unwrap();
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn identity_and_order_stay_and_the_key_stands_where_the_clients_stood() {
        let sent = [
            ("host", "127.0.0.1:54123"),
            ("user-agent", "KimiCLI/1.50.0"),
            ("authorization", "Bearer client"),
            ("x-msh-platform", "kimi_cli"),
            ("x-stainless-arch", "x64"),
            ("x-stainless-arch", "again"),
        ];
        let expected = [
            ("host", "api.kimi.com"),
            ("user-agent", "KimiCLI/1.50.0"),
            ("authorization", "Bearer sk-kimi-real"),
            ("x-msh-platform", "kimi_cli"),
            ("x-stainless-arch", "x64"),
            ("x-stainless-arch", "again"),
        ];
        assert_eq!(rewritten(&sent, Wire::OpenAi), pairs(&expected));
    }

    #[test]
    fn never_both_forms_of_the_key() {
        let host = ("host", "localhost");
        let api = [("host", "api.kimi.com"), ("x-api-key", "sk-kimi-real")];
        let bearer = [("host", "api.kimi.com"), ("authorization", "Bearer sk-kimi-real")];
        assert_eq!(rewritten(&[host, ("x-api-key", "c")], Wire::OpenAi), pairs(&api));
        assert_eq!(rewritten(&[host], Wire::Anthropic), pairs(&api));
        assert_eq!(rewritten(&[host], Wire::OpenAi), pairs(&bearer));
        let both = [host, ("x-api-key", "c"), ("authorization", "Bearer c")];
        assert_eq!(rewritten(&both, Wire::Anthropic), pairs(&api));
        assert_eq!(rewritten(&both, Wire::OpenAi), pairs(&bearer));
    }

    fn of_response(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        for_client(&mut headers);
        without_long_wait(&mut headers);
        headers
    }

    #[test]
    fn of_a_response_nothing_passes_that_is_ours_or_would_mislead() {
        let ours = of_response(&[
            ("x-kmi-dry-run", "true"),
            ("x-kmi-queue-ms", "1"),
            ("access-control-allow-origin", "*"),
            ("x-trace-id", "t"),
        ]);
        assert_eq!(ours.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-trace-id"]);
        let chunked = of_response(&[("transfer-encoding", "chunked"), ("content-length", "1")]);
        assert!(chunked.is_empty(), "{chunked:?}");
        assert_eq!(of_response(&[("content-length", "1")]).len(), 1);
        for (wait, stays) in [
            ("0", true),
            ("60", true),
            ("61", false),
            ("1152", false),
            ("Wed, 21 Oct 2026 07:28:00 GMT", false),
        ] {
            assert_eq!(!of_response(&[("retry-after", wait)]).is_empty(), stays, "{wait}");
        }
    }

    #[test]
    fn cookies_are_one_field() {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2; c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn what_belongs_to_this_hop_stays_here() {
        let sent = [
            ("host", "localhost"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers, deflate"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
            ("via", "1.1 x"),
            ("forwarded", "for=x"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-kmi-proxy-token", "t"),
            ("x-msh-version", "1"),
        ];
        let expected = [
            ("host", "api.kimi.com"),
            ("x-msh-version", "1"),
            ("te", "trailers"),
            ("connection", "TE"),
            ("authorization", "Bearer sk-kimi-real"),
        ];
        let mut got = rewritten(&sent, Wire::OpenAi);
        let mut expected = pairs(&expected);
        got.sort();
        expected.sort();
        assert_eq!(got, expected);
    }
}
