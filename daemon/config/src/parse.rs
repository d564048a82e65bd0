//! One reader a kind of value: text -> value, or what would have been allowed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use jiff::tz::{Offset, TimeZone};
use kmid_core::door::Named;
use kmid_core::key::{Allowlist, BaseUrl, Secret};
use kmid_core::policy::Policy;
use kmid_core::said::Said;
use kmid_core::say;

use crate::settings::{ListenAddr, Locale, UpstreamHttp};
use crate::zone_files;

/// What is allowed, as the end of a sentence. It never repeats the value.
pub(crate) type Parsed<T> = Result<T, Said>;

fn expected<T>(what: Said) -> Parsed<T> {
    Err(what)
}

/// `1 true yes on` and `0 false no off` in any case.
///
/// # Errors
/// Anything else, also the empty text.
pub fn boolean(text: &str) -> Result<bool, Said> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => expected(say!(use_switch)),
    }
}

/// A whole number from `low` to `high`.
pub(crate) fn whole(low: u64, high: u64) -> impl Fn(&str) -> Parsed<u64> {
    move |text| match text.trim().parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => expected(say!(use_whole, low = low, high = high)),
    }
}

/// `host:port`; the host is an IP address (IPv6 in brackets) or a host name.
pub(crate) fn listen_addr(text: &str) -> Parsed<ListenAddr> {
    let wrong = || expected(say!(use_listen));
    let text = text.trim();
    let Some((host, port)) = text.rsplit_once(':') else { return wrong() };
    // `u16::from_str` would take a leading plus sign
    let digits = Some(port).filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let Some(port) = digits.and_then(|port| port.parse().ok()) else { return wrong() };
    let host = match host.strip_prefix('[') {
        Some(v6) => match v6.strip_suffix(']').filter(|v6| v6.parse::<Ipv6Addr>().is_ok()) {
            Some(v6) => v6,
            None => return wrong(),
        },
        None if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv4()) || is_host_name(host) => host,
        None => return wrong(),
    };
    Ok(ListenAddr { host: host.to_ascii_lowercase(), port })
}

/// As [`listen_addr`]; empty is none.
pub(crate) fn optional_listen_addr(text: &str) -> Parsed<Option<ListenAddr>> {
    if text.trim().is_empty() { Ok(None) } else { listen_addr(text).map(Some) }
}

/// Letters, digits, dots, dashes; not four numbers that are no address.
fn is_host_name(host: &str) -> bool {
    let labels_are_good = host.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    });
    let last_is_a_number = host.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    host.len() <= 253 && labels_are_good && !last_is_a_number
}

/// A path that starts with a slash and ends without one; `/` becomes the empty text.
pub(crate) fn base_path(text: &str) -> Parsed<String> {
    let wrong = || expected(say!(use_base_path));
    let text = text.trim();
    if text.is_empty() {
        return wrong();
    }
    let path = text.trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    let good = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
    };
    if path.len() <= 200 && path.split('/').all(good) { Ok(format!("/{path}")) } else { wrong() }
}

/// An https URL.
pub(crate) fn base_url(text: &str) -> Parsed<BaseUrl> {
    BaseUrl::parse(text).map_err(|why| say!(use_base_url, why = why.said()))
}

/// Hosts and `*.domain`, separated by commas.
pub(crate) fn allowlist(text: &str) -> Parsed<Allowlist> {
    let entries = text.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|e| !e.is_empty());
    let entries: Vec<String> = entries.collect();
    let good = |entry: &String| {
        is_host_name(entry.strip_prefix("*.").unwrap_or(entry))
            || entry.parse::<std::net::Ipv4Addr>().is_ok()
            || entry
                .strip_prefix('[')
                .and_then(|e| e.strip_suffix(']'))
                .is_some_and(|e| e.parse::<Ipv6Addr>().is_ok())
    };
    if entries.iter().all(good) { Ok(Allowlist(entries)) } else { expected(say!(use_allowlist)) }
}

/// A policy's name.
pub(crate) fn rotate_policy(text: &str) -> Parsed<Policy> {
    let named = Policy::ALL.into_iter().find(|policy| text.trim().eq_ignore_ascii_case(policy.name()));
    named.ok_or_else(|| say!(use_policy))
}

/// `1.1`, `2` or `auto`.
pub(crate) fn upstream_http(text: &str) -> Parsed<UpstreamHttp> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1.1" => Ok(UpstreamHttp::Http1),
        "2" => Ok(UpstreamHttp::Http2),
        "auto" => Ok(UpstreamHttp::Auto),
        _ => expected(say!(use_http)),
    }
}

/// `system`, `en` or `ru`.
pub(crate) fn locale(system: Locale) -> impl Fn(&str) -> Parsed<Locale> {
    move |text| match text.trim().to_ascii_lowercase().as_str() {
        "system" => Ok(system),
        "en" => Ok(Locale::En),
        "ru" => Ok(Locale::Ru),
        _ => expected(say!(use_locale)),
    }
}

/// `local`, `UTC`, an offset or an IANA name.
pub(crate) fn timezone(local: &TimeZone) -> impl Fn(&str) -> Parsed<TimeZone> {
    let local = local.clone();
    move |text| {
        let text = text.trim();
        if text.eq_ignore_ascii_case("local") {
            return Ok(local.clone());
        }
        if text.eq_ignore_ascii_case("utc") {
            return Ok(TimeZone::UTC);
        }
        let known = match text.as_bytes() {
            [b'+' | b'-', ..] => offset(text),
            _ => zone_files::named(text),
        };
        known.ok_or_else(|| say!(use_timezone))
    }
}

/// `+03:00` or `+0300`.
/// A zone as KMI_TIMEZONE takes it, but for `local`, which is UTC here.
///
/// # Errors
/// With what is allowed.
pub fn zone(text: &str) -> Result<TimeZone, Said> {
    timezone(&TimeZone::UTC)(text)
}

fn offset(text: &str) -> Option<TimeZone> {
    let (sign, digits) = text.split_at(1);
    let digits = digits.replacen(':', "", 1);
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let seconds = (hours * 60 + minutes) * 60;
    let whole = Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()?;
    (hours < 24 && minutes < 60).then(|| TimeZone::fixed(whole))
}

/// A level or a tracing filter. A bare word must be a level: tracing would take a mistyped level for a module's name
/// and log nothing.
pub(crate) fn log_level(text: &str) -> Parsed<String> {
    let wrong = || expected(say!(use_log_level));
    let text = text.trim();
    let is_printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    // kmid has no spans to filter by, so that `target[span{field}]=level` is refused with the rest.
    match text.len() <= 500 && is_printable && text.split(',').all(is_directive) {
        true => Ok(text.to_owned()),
        false => wrong(),
    }
}

fn is_directive(part: &str) -> bool {
    let is_level = |level: &str| {
        ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(level))
    };
    match part.trim().split_once('=') {
        Some((target, level)) => {
            !target.is_empty()
                && target.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:-".contains(&b))
                && is_level(level)
        }
        None => is_level(part.trim()),
    }
}

/// A token that fits into a header: printable ASCII without blanks. Empty = none.
pub(crate) fn token(text: &str) -> Parsed<Option<Secret>> {
    let text = text.trim();
    match text.bytes().all(|b| b.is_ascii_graphic()) && text.len() <= 512 {
        true => Ok((!text.is_empty()).then(|| Secret::new(text))),
        false => expected(say!(use_token)),
    }
}

/// `name:token` separated by commas; each name and each token once.
pub(crate) fn named_tokens(text: &str) -> Parsed<Vec<Named>> {
    let wrong = || expected(say!(use_named_tokens));
    let is_name = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let mut tokens: Vec<Named> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some((name, value)) = entry.split_once(':') else { return wrong() };
        let Ok(Some(secret)) = token(value) else { return wrong() };
        let taken = |other: &Named| {
            other.name.eq_ignore_ascii_case(name) || other.secret.matches(secret.expose().as_bytes())
        };
        if !is_name(name) || tokens.len() >= 100 || tokens.iter().any(taken) {
            return wrong();
        }
        tokens.push(Named { name: name.into(), secret });
    }
    Ok(tokens)
}

/// IP addresses separated by commas; an IPv4 address in IPv6 form is the IPv4 address.
pub(crate) fn addresses(text: &str) -> Parsed<BTreeSet<IpAddr>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let addresses = entries.map(|entry| Ok(entry.parse::<IpAddr>()?.to_canonical()));
    let addresses: Result<BTreeSet<_>, std::net::AddrParseError> = addresses.collect();
    match addresses {
        Ok(addresses) if addresses.len() <= 100 => Ok(addresses),
        _ => expected(say!(use_addresses)),
    }
}

/// A name of one line.
pub(crate) fn name(text: &str) -> Parsed<String> {
    let text = text.trim();
    if text.chars().count() <= 100 && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        expected(say!(use_name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refuses<T>(parse: impl Fn(&str) -> Parsed<T>, texts: &[&str]) {
        for text in texts {
            assert!(parse(text).is_err(), "{text:?} must be refused");
        }
    }

    #[test]
    fn booleans_are_strict() {
        for text in ["1", "true", "YES", " on "] {
            assert_eq!(boolean(text), Ok(true), "{text}");
        }
        for text in ["0", "False", "no", "OFF"] {
            assert_eq!(boolean(text), Ok(false), "{text}");
        }
        refuses(boolean, &["", "2", "y", "enabled", "truee", "01"]);
    }

    #[test]
    fn numbers_have_a_range() {
        assert_eq!(whole(1, 10)("10"), Ok(10));
        refuses(whole(1, 10), &["", "0", "11", "-1", "1.5", "1e1", "ten", "99999999999999999999999"]);
    }

    #[test]
    fn listen_addresses() {
        let addr = |text: &str| listen_addr(text).unwrap();
        assert_eq!(addr("127.0.0.1:54123"), ListenAddr { host: "127.0.0.1".into(), port: 54123 });
        assert_eq!(addr("[::1]:0"), ListenAddr { host: "::1".into(), port: 0 });
        assert!(addr("LocalHost:80").is_loopback() && addr("[::1]:80").is_loopback());
        assert!(!addr("0.0.0.0:80").is_loopback() && !addr("box.lan:80").is_loopback());
        refuses(
            listen_addr,
            &[
                "",
                "54123",
                ":54123",
                "127.0.0.1",
                "127.0.0.1:",
                "127.0.0.1:+80",
                "127.0.0.1:65536",
                "::1:80",
                "[127.0.0.1]:80",
                "[::1]",
                "*:80",
                "1.2.3:80",
                "256.0.0.1:80",
                "a b:80",
                "http://127.0.0.1:80",
            ],
        );
    }

    #[test]
    fn base_paths_are_normalised() {
        for (text, path) in
            [("/kmi-rotor/v1", "/kmi-rotor/v1"), ("kmi-rotor/v1/", "/kmi-rotor/v1"), ("/", ""), ("//", "")]
        {
            assert_eq!(base_path(text).as_deref(), Ok(path));
        }
        refuses(base_path, &["", "/a//b", "/a/../b", "/.", "/a?b", "/a#b", "/a%2fb", "/a b", "/é", "/a\\b"]);
    }

    #[test]
    fn allowlists() {
        assert_eq!(
            allowlist(" API.kimi.com , *.moonshot.ai,").unwrap().0,
            ["api.kimi.com", "*.moonshot.ai"].map(String::from)
        );
        assert!(allowlist("").unwrap().0.is_empty());
        assert_eq!(allowlist("127.0.0.1,[::1]").unwrap().0.len(), 2);
        refuses(
            allowlist,
            &["*", "https://a.b", "a.b/c", "a.b:443", "a.*", "*a.b", "*.", "a b", "-a.b", "кими.рф"],
        );
    }

    #[test]
    fn timezones() {
        let local = TimeZone::get("Asia/Tokyo").unwrap();
        let zone = |text: &str| timezone(&local)(text).unwrap();
        assert_eq!(zone("local"), local);
        assert_eq!(zone("utc"), TimeZone::UTC);
        assert_eq!(zone("+03:00").to_fixed_offset().unwrap(), Offset::constant(3));
        assert_eq!(zone("-0230").to_fixed_offset().unwrap().seconds(), -9000);
        assert_eq!(zone("Europe/Moscow").iana_name(), Some("Europe/Moscow"));
        refuses(
            timezone(&local),
            &["", "Mars/Olympus", "+3", "+24:00", "+03:60", "+0é:0", "../x", "/etc/localtime"],
        );
    }

    #[test]
    fn log_filters() {
        for text in ["info", "TRACE", "warn,kmid::proxy=debug", "off"] {
            assert_eq!(log_level(text).as_deref(), Ok(text));
        }
        refuses(
            log_level,
            &[
                "",
                "inof",
                "info,",
                "kmid=loud",
                "=info",
                "info\nx",
                "é",
                "info,[span]=debug",
                "kmid[{key=a}]=debug",
                "info,{a}",
            ],
        );
    }

    #[test]
    fn addresses_alone() {
        let found = addresses(" 10.0.0.2, ::ffff:10.0.0.2,fd00::2,").unwrap();
        assert_eq!(found, ["10.0.0.2".parse().unwrap(), "fd00::2".parse::<IpAddr>().unwrap()].into());
        assert!(addresses("").unwrap().is_empty());
        refuses(addresses, &["proxy.lan", "10.0.0.0/8", "10.0.0.2:80", "[::1]", "10.0.0.2 10.0.0.3"]);
    }

    #[test]
    fn policies_by_name() {
        assert_eq!(rotate_policy(" Drain "), Ok(Policy::Drain));
        assert_eq!(rotate_policy("most-left"), Ok(Policy::MostLeft));
        refuses(rotate_policy, &["", "roundrobin", "drain,most-left", "1"]);
    }

    #[test]
    fn tokens_fit_into_a_header() {
        assert!(token("").unwrap().is_none());
        assert_eq!(token("s3cret").unwrap().unwrap().expose(), "s3cret");
        refuses(token, &["a b", "a\r\nb", "é", &"x".repeat(513)]);
    }

    #[test]
    fn tokens_with_names() {
        let found = named_tokens(" laptop:first, desktop:se:cond,").unwrap();
        let shown: Vec<_> = found.iter().map(|token| (&*token.name, token.secret.expose())).collect();
        assert_eq!(shown, [("laptop", "first"), ("desktop", "se:cond")]);
        assert!(named_tokens(" ").unwrap().is_empty());
        refuses(
            named_tokens,
            &[
                "first",
                ":first",
                "a:",
                "a b:first",
                "a:fi rst",
                "a:first,A:second",
                "a:first,b:first",
                "é:first",
            ],
        );
        let many = |n: usize| (0..n).map(|n| format!("n{n}:t{n},")).collect::<String>();
        assert_eq!(named_tokens(&many(100)).unwrap().len(), 100);
        refuses(named_tokens, &[&many(101), &format!("{}:first", "x".repeat(33))]);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (boolean(&text), whole(0, 5)(&text), listen_addr(&text), base_path(&text), base_url(&text));
            let _ = (allowlist(&text), upstream_http(&text), locale(Locale::En)(&text), log_level(&text), token(&text), name(&text), addresses(&text));
            let _ = (timezone(&TimeZone::UTC)(&text), rotate_policy(&text), named_tokens(&text));
        }

        #[test]
        fn address_like_text_never_panics(text in "[\\[\\]:0-9a-f.+é-]{0,24}") {
            let _ = (listen_addr(&text), timezone(&TimeZone::UTC)(&text));
        }
    }
}
