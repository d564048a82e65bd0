//! Who may use the proxy: no web site may spend the person's keys.

use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::Upstream;

#[tokio::test]
async fn only_loopback_names_are_hosts() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    for host in
        ["localhost", "LOCALHOST:1", "127.0.0.1:54123", "127.0.0.9", "[::1]", "[::1]:8080", "localhost:65535"]
    {
        let answer = daemon.send(Request::get("/models").field("Host", host)).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    let served = upstream.at("/models").len();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io:54123",
        "192.168.1.5",
        "0.0.0.0",
        "[2001:db8::1]",
        "evil.example:54123",
        "",
    ] {
        let answer = daemon.send(Request::get("/models").field("Host", host)).await;
        assert!(answer.by_kmid() && matches!(answer.status, 400 | 403), "{host}: {answer:?}");
    }
    assert_eq!(upstream.at("/models").len(), served);
}

#[tokio::test]
async fn no_web_site_gets_in() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:54123"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "anything"),
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = daemon.send(Request::new(method, "/models").field(name, value)).await;
            assert_eq!((answer.status, answer.by_kmid()), (403, true), "{method} {name}: {value}");
            assert!(!answer.fields.names().iter().any(|n| n.starts_with("access-control")), "{answer:?}");
            assert!(!answer.error_type().is_empty(), "{answer:?}");
        }
    }
    assert!(upstream.at("/models").is_empty());
    for (name, value) in
        [("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")]
    {
        assert_eq!(
            daemon.send(Request::get("/models").field(name, value)).await.status,
            200,
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn a_token_is_asked_for_when_one_is_set() {
    let token = "a-token-of-some-length";
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_TOKEN", token).start().await;
    for wrong in ["", "a-token-of-some-lengtH", "a-token-of-some-length2", "a-token"] {
        let answer =
            daemon.send(Request::get("/models").field("Authorization", &format!("Bearer {wrong}"))).await;
        assert_eq!((answer.status, answer.by_kmid()), (401, true), "{wrong}");
        assert!(!answer.text().contains(token));
    }
    assert_eq!(daemon.send(Request::get("/models")).await.status, 401);
    for (name, value) in [
        ("Authorization", format!("Bearer {token}")),
        ("x-api-key", token.to_owned()),
        ("x-kmi-proxy-token", token.to_owned()),
    ] {
        assert_eq!(daemon.send(Request::get("/models").field(name, &value)).await.status, 200, "{name}");
    }
    for seen in upstream.at("/models") {
        let fields = format!("{:?}", seen.head.fields);
        assert!(!fields.contains(token), "the token went upstream: {fields}");
    }
    assert_eq!(upstream.at("/models").len(), 3);
}

#[tokio::test]
async fn a_remote_listener_needs_all_that_it_needs() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_LISTEN", "0.0.0.0:0");
    let (ran, _home) = setup.fails().await;
    assert_eq!(ran.code, 64, "{ran:?}");
    for name in ["KMI_PROXY_ALLOW_REMOTE", "KMI_PROXY_TOKEN", "KMI_PROXY_TLS_CERT"] {
        assert!(ran.err.contains(name), "{name} is missing from: {}", ran.err);
    }
}

#[tokio::test]
async fn a_remote_listener_whose_tls_is_elsewhere_or_not_wanted() {
    let upstream = Upstream::start().await;
    for (name, value) in [("KMI_PROXY_TLS_TERMINATED", "1"), ("KMI_PROXY_REQUIRE_TLS", "0")] {
        let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_LISTEN", "0.0.0.0:0");
        let setup = setup.env("KMI_PROXY_ALLOW_REMOTE", "1").env(name, value);
        let daemon = setup.env("KMI_PROXY_TOKEN", "a-token-of-some-length").start().await;
        let address = (std::net::Ipv4Addr::LOCALHOST, daemon.proxy().port()).into();
        let mut connection = kmi_tests::harness::Connection::open(address).await;
        // Whatever name it is reached by, the token is what counts; a web page stays out.
        let request = || Request::get("/models").field("Host", "kmi.example");
        assert_eq!(connection.exchange(request()).await.status, 401, "{name}");
        let token = |request: Request| request.field("x-kmi-proxy-token", "a-token-of-some-length");
        assert_eq!(connection.exchange(token(request())).await.status, 200, "{name}");
        let page = token(request()).field("Origin", "https://evil.example");
        assert_eq!(connection.exchange(page).await.status, 403, "{name}");
    }
    assert_eq!(upstream.at("/models").len(), 2);
}

#[tokio::test]
async fn a_remote_listener_with_its_own_tls() {
    use kmi_tests::harness::Connection;
    use kmi_tests::upstream::tls::Authority;
    let upstream = Upstream::start().await;
    let authority = Authority::new();
    let (certificate, key) = authority.issue();
    let setup = Setup::live(&upstream).keys(&["alpha"]).file("cert.pem", certificate).file("key.pem", key);
    let path = |name: &str| setup.home().path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let daemon = setup
        .env("KMI_PROXY_LISTEN", "0.0.0.0:0")
        .env("KMI_PROXY_ALLOW_REMOTE", "1")
        .env("KMI_PROXY_TOKEN", "a-token-of-some-length")
        .env("KMI_PROXY_TLS_CERT", &certificate)
        .env("KMI_PROXY_TLS_KEY", &key)
        .start()
        .await;
    let address = (std::net::Ipv4Addr::LOCALHOST, daemon.proxy().port()).into();
    let request = || Request::get("/models").field("Host", "kmi.example");
    let mut connection = Connection::open_tls(address, &authority.pem()).await;
    assert_eq!(connection.exchange(request()).await.status, 401);
    let answer = connection.exchange(request().field("x-api-key", "a-token-of-some-length")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Plain text on the same port gets nothing through.
    let mut plain = Connection::open(address).await;
    plain.send(&request()).await;
    assert!(plain.any_head().await.map_or(true, |head| head.status >= 400));
    assert_eq!(upstream.at("/models").len(), 1);
}
