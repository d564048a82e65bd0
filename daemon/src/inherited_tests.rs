#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::OsString;
use std::os::unix::net::UnixListener;
use std::path::Path;

use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;

use super::*;

fn settings(home: &Path, set: &[(&str, &str)]) -> Settings {
    let mut outside = Outside { home: Some(home.to_owned()), ..Outside::capture() };
    outside.vars.retain(|name, _| !name.starts_with("KMI_"));
    outside.vars.extend(set.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))));
    load::load(&Launch::default(), &outside).unwrap().settings
}

fn proxy_on(address: &str) -> Inherited {
    Inherited { proxy: Some(TcpListener::bind(address).unwrap()), ..Inherited::default() }
}

#[test]
fn a_listener_is_taken_where_the_settings_say() {
    let home = tempfile::tempdir().unwrap();
    let inherited = proxy_on("127.0.0.1:0");
    let port = inherited.proxy.as_ref().unwrap().local_addr().unwrap().port();
    for (listen, fits) in [
        (format!("127.0.0.1:{port}"), true),
        ("127.0.0.1:0".to_owned(), true),
        (format!("localhost:{port}"), true),
        (format!("127.0.0.2:{port}"), false),
        (format!("[::1]:{port}"), false),
        ("127.0.0.1:1".to_owned(), false),
    ] {
        let result = inherited.check(&settings(home.path(), &[("KMI_PROXY_LISTEN", &listen)]), Giver::Kmid);
        assert_eq!(result.is_ok(), fits, "{listen}: {result:?}");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains("KMI_PROXY_LISTEN") && text.contains("kmi service install"), "{text}");
        }
    }
}

#[test]
fn one_that_other_machines_reach_is_not_taken_for_a_local_one() {
    let home = tempfile::tempdir().unwrap();
    let result = proxy_on("0.0.0.0:0")
        .check(&settings(home.path(), &[("KMI_PROXY_LISTEN", "127.0.0.1:0")]), Giver::Kmid);
    assert!(matches!(result, Err(InheritError::Address { name: PROXY, .. })), "{result:?}");
}

#[test]
fn metrics_that_are_off_are_not_served() {
    let home = tempfile::tempdir().unwrap();
    let inherited =
        Inherited { metrics: Some(TcpListener::bind("127.0.0.1:0").unwrap()), ..Inherited::default() };
    let error = inherited.check(&settings(home.path(), &[]), Giver::Manager).unwrap_err().to_string();
    assert!(error.contains("KMI_METRICS_LISTEN is empty"), "{error}");
}

#[test]
fn the_control_socket_is_known_through_links_too() {
    let home = tempfile::tempdir().unwrap();
    let (real, link) = (home.path().join("real"), home.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let socket = real.join("kmid.sock");
    let inherited = Inherited { control: Some(UnixListener::bind(&socket).unwrap()), ..Inherited::default() };
    for (path, fits) in [(socket, true), (link.join("kmid.sock"), true), (real.join("other.sock"), false)] {
        let result = inherited
            .check(&settings(home.path(), &[("KMI_SOCKET", path.to_str().unwrap())]), Giver::Manager);
        assert_eq!(result.is_ok(), fits, "{}: {result:?}", path.display());
    }
}

#[test]
fn a_name_is_taken_from_an_older_kmid_alone() {
    let home = tempfile::tempdir().unwrap();
    let inherited = proxy_on("127.0.0.1:0");
    let port = inherited.proxy.as_ref().unwrap().local_addr().unwrap().port();
    let remote =
        [("KMI_PROXY_ALLOW_REMOTE", "1"), ("KMI_PROXY_REQUIRE_TLS", "0"), ("KMI_PROXY_TOKEN", TOKEN)];
    for (listen, from_kmid) in [(format!("proxy.lan:{port}"), true), ("proxy.lan:1".to_owned(), false)] {
        let settings = settings(home.path(), &[&remote[..], &[("KMI_PROXY_LISTEN", &listen)]].concat());
        assert_eq!(inherited.check(&settings, Giver::Kmid).is_ok(), from_kmid, "{listen}");
        assert!(inherited.check(&settings, Giver::Manager).is_err(), "{listen}");
    }
}

const TOKEN: &str = "a-token-of-some-length";

#[test]
fn a_socket_goes_over_unless_the_settings_moved() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let socket = std::os::fd::OwnedFd::from(socket);
    let at = |host: &str, port: u16| ListenAddr { host: host.to_owned(), port };
    for (was, wanted, expected) in [
        (at("127.0.0.1", port), at("127.0.0.1", port), Place::Same),
        (at("127.0.0.1", 0), at("127.0.0.1", 0), Place::Same),
        (at("127.0.0.1", 0), at("127.0.0.1", port), Place::Same),
        (at("127.0.0.1", port), at("localhost", port), Place::Same),
        // A name is not looked up again.
        (at("proxy.lan", port), at("proxy.lan", port), Place::Same),
        (at("proxy.lan", port), at("127.0.0.1", port), Place::Same),
        (at("proxy.lan", port), at("other.lan", port), Place::InTheWay),
        // Both at once cannot be.
        (at("127.0.0.1", port), at("0.0.0.0", port), Place::InTheWay),
        (at("127.0.0.1", port), at("::", port), Place::InTheWay),
        (at("127.0.0.1", port), at("127.0.0.1", port ^ 1), Place::Other),
        (at("proxy.lan", port), at("proxy.lan", port ^ 1), Place::Other),
        (at("127.0.0.1", port), at("0.0.0.0", 0), Place::Other),
    ] {
        let found = place(&socket, Some(&was), Some(&wanted)).unwrap();
        assert_eq!(found, expected, "from {was} to {wanted}");
    }
    // Metrics that are turned off.
    assert_eq!(place(&socket, Some(&at("127.0.0.1", port)), None).unwrap(), Place::Other);
}
