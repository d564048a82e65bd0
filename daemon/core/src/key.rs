//! API keys: the secret, its fingerprint, its label and where it may be sent.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::InvalidHeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::said::Said;
use crate::{say, show_as_said};

/// A value that must never be shown: no `Serialize`, redacted `Debug` and `Display`, wiped on drop.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that has to send it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The secret behind `prefix` as a header's value: marked as sensitive, and wiped when its last clone goes.
    ///
    /// # Errors
    /// When it cannot stand in a header.
    pub fn to_header(&self, prefix: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        let text = Zeroizing::new([prefix.as_bytes(), self.0.as_bytes()].concat());
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// Compares with `other` in time that depends on the lengths only.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }

    /// The last four characters behind dots, as keys are shown to people; a short secret shows none.
    #[must_use]
    pub fn masked(&self) -> String {
        let count = self.0.chars().count();
        let tail: String = self.0.chars().skip(if count >= 12 { count - 4 } else { count }).collect();
        format!("...{tail}")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The first 12 hex digits of a key's SHA-256: names a key without showing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 6]);

impl Fingerprint {
    /// The fingerprint of a key.
    #[must_use]
    pub fn of(secret: &Secret) -> Self {
        let digest = Sha256::digest(secret.expose().as_bytes());
        let mut short = [0; 6];
        short.copy_from_slice(&digest[..6]);
        Self(short)
    }

    /// Its twelve hex digits.
    pub fn text<'d>(&self, digits: &'d mut [u8; 12]) -> &'d str {
        hex(&self.0, digits)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; 12]))
    }
}

/// The bytes as lower-case hex digits; `digits` has twice their number.
pub(crate) fn hex<'d>(bytes: &[u8], digits: &'d mut [u8]) -> &'d str {
    for (two, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        two.copy_from_slice(&[byte >> 4, byte & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    std::str::from_utf8(digits).unwrap_or_default()
}

/// The bytes that so many hex digits stand for.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    // A sign would be taken for a digit.
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl std::str::FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        unhex(text).map(Self).ok_or(NotAFingerprint)
    }
}

/// A text that is not twelve hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 12 hex digits")]
pub struct NotAFingerprint;

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One API key as read from its file.
#[derive(Debug, Clone)]
pub struct Key {
    /// The person's name for it, unique in the pool.
    pub label: Arc<str>,
    /// What it is remembered by.
    pub fingerprint: Fingerprint,
    /// The key itself.
    pub secret: Secret,
    /// Where it may be sent, and nowhere else.
    pub base_url: BaseUrl,
    /// Higher comes first in the pool.
    pub priority: i32,
    /// Switched off by the person in its file.
    pub disabled: bool,
    /// The account's e-mail, if the file names one.
    pub email: Option<String>,
    /// The file it came from, relative to the key directory.
    pub source: String,
    /// When that file last changed, in milliseconds since the Unix epoch: a change ends a 401's block.
    pub revision: u64,
}

impl Key {
    /// A key of which no more is known, as from a file `LABEL.env` that holds nothing else.
    #[must_use]
    pub fn new(label: &str, secret: Secret, base_url: BaseUrl) -> Self {
        Self {
            label: label.into(),
            fingerprint: Fingerprint::of(&secret),
            secret,
            base_url,
            priority: 0,
            disabled: false,
            email: None,
            source: format!("{label}.env"),
            revision: 0,
        }
    }
}

/// An upstream base URL: https, a host, no user, query or fragment, no slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    host: Arc<str>,
    port: u16,
    path: Arc<str>,
    /// Made once: every request needs it.
    authority: HeaderValue,
}

/// Why a base URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// It does not parse as an absolute URL with a host.
    NotAUrl,
    /// Its scheme is not https.
    NotHttps,
    /// It carries a user name, a query or a fragment.
    Extra,
}

impl BaseUrlError {
    /// For people.
    #[must_use]
    pub fn said(self) -> Said {
        match self {
            Self::NotAUrl => say!(base_url_is_none),
            Self::NotHttps => say!(base_url_not_https),
            Self::Extra => say!(base_url_has_more),
        }
    }
}

show_as_said!(BaseUrlError);

impl BaseUrl {
    /// Checks and takes apart a base URL.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        if text.contains(['?', '#']) {
            return Err(BaseUrlError::Extra);
        }
        let uri: http::Uri = text.parse().map_err(|_| BaseUrlError::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(BaseUrlError::NotAUrl);
        };
        if *scheme != http::uri::Scheme::HTTPS {
            return Err(BaseUrlError::NotHttps);
        }
        if authority.as_str().contains('@') {
            return Err(BaseUrlError::Extra);
        }
        if authority.host().is_empty() || (authority.as_str().contains(':') && port_is_bad(authority)) {
            return Err(BaseUrlError::NotAUrl);
        }
        let host: Arc<str> = authority.host().to_ascii_lowercase().into();
        let port = authority.port_u16().unwrap_or(443);
        let authority = if port == 443 { host.to_string() } else { format!("{host}:{port}") };
        Ok(Self {
            authority: HeaderValue::try_from(authority).map_err(|_| BaseUrlError::NotAUrl)?,
            host,
            port,
            path: uri.path().trim_end_matches('/').into(),
        })
    }

    /// The host name in lower case; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 unless named.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path before the endpoint, without a slash at its end; may be empty.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether both name the same host and port.
    #[must_use]
    pub fn shares_host(&self, other: &BaseUrl) -> bool {
        self.port == other.port && self.host == other.host
    }

    /// `host` or `host:port`, as it stands in a Host header.
    #[must_use]
    pub fn authority(&self) -> &HeaderValue {
        &self.authority
    }

    /// The same as text, for people.
    #[must_use]
    pub fn authority_text(&self) -> String {
        // Made from text that was checked to be a host.
        self.authority.to_str().unwrap_or(&self.host).to_owned()
    }
}

/// `host:` and `host:99999` parse as authorities, but name no port.
fn port_is_bad(authority: &http::uri::Authority) -> bool {
    let after_host = &authority.as_str()[authority.host().len()..];
    !after_host.is_empty() && authority.port_u16().is_none_or(|port| port == 0)
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            443 => write!(f, "https://{}{}", self.host, self.path),
            port => write!(f, "https://{}:{port}{}", self.host, self.path),
        }
    }
}

/// The hosts that keys may be sent to: exact names and `*.domain`; empty allows every https host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist(pub Vec<String>);

impl Allowlist {
    /// Whether a key may be sent to this host.
    #[must_use]
    pub fn permits(&self, url: &BaseUrl) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|entry| match entry.strip_prefix("*.") {
                Some(domain) => url.host().strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
                None => url.host().eq_ignore_ascii_case(entry),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("sk-kimi-abcdefghijkl");
        assert_eq!(format!("{secret} {secret:?} {}", secret.masked()), "[secret] [secret] ...ijkl");
        assert_eq!(Secret::new("short").masked(), "...");
    }

    #[test]
    fn a_secret_as_a_header() {
        let value = Secret::new("sk-kimi-1").to_header("Bearer ").unwrap();
        assert_eq!((value.as_bytes(), value.is_sensitive()), (&b"Bearer sk-kimi-1"[..], true));
        assert!(Secret::new("a\nb").to_header("").is_err());
    }

    #[test]
    fn a_fingerprint_reads_back() {
        let fingerprint = Fingerprint::of(&Secret::new("abc"));
        assert_eq!(fingerprint.to_string(), "ba7816bf8f01");
        assert_eq!("ba7816bf8f01".parse(), Ok(fingerprint));
        assert_eq!("ba7816bf8f0é".parse::<Fingerprint>(), Err(NotAFingerprint));
    }

    #[test]
    fn base_urls() {
        let url = BaseUrl::parse("https://API.kimi.com/coding/v1/").unwrap();
        assert_eq!((url.host(), url.port(), url.path()), ("api.kimi.com", 443, "/coding/v1"));
        assert_eq!(BaseUrl::parse("https://h:8443").unwrap().to_string(), "https://h:8443");
        for (text, why) in [
            ("http://api.kimi.com/v1", BaseUrlError::NotHttps),
            ("api.kimi.com", BaseUrlError::NotAUrl),
            ("https://", BaseUrlError::NotAUrl),
            ("https://h:99999/", BaseUrlError::NotAUrl),
            ("https://u:p@h/", BaseUrlError::Extra),
            ("https://h/?q=1", BaseUrlError::Extra),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn allowlists() {
        let list = Allowlist(vec!["api.kimi.com".into(), "*.moonshot.ai".into()]);
        let permits = |url: &str| list.permits(&BaseUrl::parse(url).unwrap());
        assert!(permits("https://api.kimi.com/coding/v1") && permits("https://api.moonshot.ai/v1"));
        assert!(!permits("https://moonshot.ai/v1") && !permits("https://evilmoonshot.ai/"));
        assert!(!permits("https://api.kimi.com.evil.example/"));
    }
}
