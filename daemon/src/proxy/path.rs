//! Which endpoint a request's path names: pure.

use std::borrow::Cow;

/// Endpoints that most requests name.
const FREQUENT: [&str; 5] =
    ["/chat/completions", "/messages", "/messages/count_tokens", "/models", "/usages"];

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPath {
    /// Not below the base path.
    Outside,
    /// A segment, a slash or a character that could lead out of the base path upstream.
    Trick,
}

/// The endpoint below the base path, beginning with a slash, as the client wrote it (`/chat/completions`).
///
/// # Errors
/// When the path is not below the base path, or could leave it on the way: dot segments in any
/// encoding, empty segments, backslashes, encoded control characters.
pub fn endpoint<'a>(path: &'a str, base_path: &str) -> Result<&'a str, BadPath> {
    // What is known needs no closer look.
    if let Some(rest) = path.strip_prefix(base_path).filter(|rest| FREQUENT.contains(rest)) {
        return Ok(rest);
    }
    if has_tricks(path) {
        return Err(BadPath::Trick);
    }
    let rest = path.strip_prefix(base_path).ok_or(BadPath::Outside)?;
    if rest.starts_with('/') { Ok(rest) } else { Err(BadPath::Outside) }
}

/// Whether a path is the base path itself or leads to it: what programs have for a base URL, with and without `/v1`.
#[must_use]
pub fn leads_to_base(path: &str, base_path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    base_path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The endpoint as a value to keep; nothing is allocated for those that most requests name.
#[must_use]
pub fn kept(endpoint: &str) -> Cow<'static, str> {
    match FREQUENT.into_iter().find(|known| *known == endpoint) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(endpoint.to_owned()),
    }
}

fn has_tricks(path: &str) -> bool {
    path.contains("//") || path.contains('\\') || path.split('/').any(leads_elsewhere)
}

fn leads_elsewhere(segment: &str) -> bool {
    let decoded = decode(segment.as_bytes());
    // `%252e`: a second decoding behind us would see dots.
    let twice = decode(&decoded);
    // An encoded slash inside a name may stand; one that a decoder behind us would climb by may not. `..;` climbs in
    // servers that know path parameters.
    let climbs = |text: &[u8]| {
        text.split(|byte| matches!(byte, b'/' | b'\\' | b';')).any(|part| matches!(part, b"." | b".."))
    };
    climbs(&decoded) || climbs(&twice) || decoded.iter().any(u8::is_ascii_control)
}

fn decode(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return bytes.into();
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                out.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "/kmi-rotor/v1";

    #[test]
    fn endpoints_below_the_base_path() {
        for (path, expected) in [
            ("/kmi-rotor/v1/models", "/models"),
            ("/kmi-rotor/v1/files/a%20b", "/files/a%20b"),
            ("/kmi-rotor/v1/", "/"),
            ("/kmi-rotor/v1/files/", "/files/"),
            ("/kmi-rotor/v1/files/..a", "/files/..a"),
            ("/kmi-rotor/v1/files/a%25b", "/files/a%25b"),
            ("/kmi-rotor/v1/files/a%2Fb", "/files/a%2Fb"),
        ] {
            assert_eq!(endpoint(path, BASE), Ok(expected), "{path}");
        }
        assert_eq!(endpoint("/models", ""), Ok("/models"));
    }

    #[test]
    fn the_base_path_and_what_is_above_it() {
        for path in ["/", "/kmi-rotor", "/kmi-rotor/", "/kmi-rotor/v1", "/kmi-rotor/v1/"] {
            assert!(leads_to_base(path, BASE), "{path}");
        }
        for path in ["//", "/kmi", "/kmi-rotor//", "/kmi-rotor/v", "/kmi-rotor/v1/models", "/other", "*"] {
            assert!(!leads_to_base(path, BASE), "{path}");
        }
        assert!(leads_to_base("/", "") && !leads_to_base("/models", ""));
    }

    #[test]
    fn paths_that_lead_elsewhere() {
        for path in
            ["/", "/kmi-rotor/v1", "/kmi-rotor/v1models", "/other/v1/models", "*", "/kmi-rotor/v2/models"]
        {
            assert_eq!(endpoint(path, BASE), Err(BadPath::Outside), "{path}");
        }
        for path in [
            "/kmi-rotor/v1/../v2/models",
            "/kmi-rotor/v1/%2e%2E/admin",
            "/kmi-rotor/v1/.%2e/admin",
            "/kmi-rotor/v1/./models",
            "/kmi-rotor/v1//models",
            "//kmi-rotor/v1/models",
            "/kmi-rotor/v1/..%2fadmin",
            "/kmi-rotor/v1/a%2f..%2Fb",
            "/kmi-rotor/v1/..%5cb",
            "/kmi-rotor/v1/..;/b",
            "/kmi-rotor/v1/a\\b",
            "/kmi-rotor/v1/%252e%252e/admin",
            "/kmi-rotor/v1/a%00",
        ] {
            assert_eq!(endpoint(path, BASE), Err(BadPath::Trick), "{path}");
        }
    }
}
