//! Nothing outside the base path is ever asked of the upstream, however the target is written.

use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::Upstream;

#[tokio::test]
async fn tricks_never_leave_the_base_path() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let asked = upstream.requests().len();
    let tricks = [
        "/",
        "/models",
        "/kmi-rotor",
        "/kmi-rotor/v10/models",
        "/kmi-rotor/v1x",
        "/kmi-rotor/v1/../models",
        "/kmi-rotor/v1/../../etc",
        "/kmi-rotor/v1/a/../../models",
        "/kmi-rotor/v1/..",
        "/kmi-rotor/v1/%2e%2e/models",
        "/kmi-rotor/v1/.%2E/models",
        "/kmi-rotor/v1/%2e%2e%2fmodels",
        "/kmi-rotor/v1/a%2f..%2f..%2fmodels",
        "/kmi-rotor/v1/..%5cmodels",
        "/kmi-rotor/v1/..;/models",
        "//kmi-rotor/v1/models",
        "/kmi-rotor//v1/models",
        "/x/../kmi-rotor/v1/models",
        "/KMI-ROTOR/V1/models",
        "http://evil.example/kmi-rotor/v1/models",
        "https://evil.example/coding/v1/models",
    ];
    for target in tricks {
        let answer = daemon.send(Request::target("GET", target)).await;
        // What arrives all the same must be below the base path, with no way up in any reading of it.
        for seen in &upstream.requests()[asked..] {
            let path = seen.head.target.split('?').next().unwrap();
            assert!(path.starts_with("/coding/v1/"), "{target} became {path}");
            let decoded =
                path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
            assert!(
                !decoded.split(['/', '\\', ';']).any(|segment| segment == ".."),
                "{target} became {path}"
            );
            assert_eq!(
                seen.head.fields.get("host").unwrap(),
                format!("localhost:{}", upstream.address().port())
            );
        }
        if upstream.requests().len() == asked {
            assert!(answer.by_kmid() && (400..500).contains(&answer.status), "{target}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn double_slashes_below_the_base_path_are_refused() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let asked = upstream.requests().len();
    let answer = daemon.send(Request::get("//evil.example/models")).await;
    assert_eq!((answer.status, answer.by_kmid()), (400, true), "{answer:?}");
    assert_eq!(upstream.requests().len(), asked);
}

#[tokio::test]
async fn absolute_form_with_a_loopback_name_is_the_same_request() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    let target = format!("http://localhost:{}/kmi-rotor/v1/models?x=1", daemon.proxy().port());
    let answer = daemon.send(Request::target("GET", &target)).await;
    // RFC 9112, section 3.2.2: a server must accept the absolute form.
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.nth("/models", 1).await.head.target, "/coding/v1/models?x=1");
}

#[tokio::test]
async fn what_is_not_http_gets_no_further() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let asked = upstream.requests().len();
    for (bytes, status) in [
        (&b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n"[..], 405),
        (b"GARBAGE\r\n\r\n", 400),
        (
            b"POST /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
        ),
        (
            b"POST /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            400,
        ),
        (
            b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            200,
        ),
    ] {
        let mut connection = daemon.connect().await;
        connection.send_raw(bytes).await.unwrap();
        assert_eq!(connection.any_head().await.unwrap().status, status, "{}", bytes.escape_ascii());
    }
    // Smuggling: what was let through, the last one, was framed in one way only (RFC 9112, section 6.3).
    let seen = &upstream.requests()[asked..];
    assert_eq!(seen.len(), 1, "{seen:?}");
    let fields = &seen[0].head.fields;
    assert!(!fields.has("content-length"), "{fields:?}");
}

/// Claude Code asks so at its start whether somebody listens at its base URL, which has no `/v1`.
#[tokio::test]
async fn a_head_of_the_base_path_is_answered_and_is_no_request() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let asked = upstream.requests().len();
    for target in ["/", "/kmi-rotor", "/kmi-rotor/", "/kmi-rotor/v1"] {
        let answer = daemon.send(Request::target("HEAD", target)).await;
        assert_eq!((answer.status, answer.fields.has("x-kmi-key")), (200, false), "{target}");
    }
    let foreign = Request::target("HEAD", "/kmi-rotor").field("Host", "evil.example");
    assert_eq!(daemon.send(foreign).await.status, 403);
    assert_eq!(daemon.send(Request::target("HEAD", "/kmi")).await.status, 404);
    assert_eq!(upstream.requests().len(), asked, "nothing of it goes upstream");
    let traces = daemon.traces(2).await;
    let statuses: Vec<_> = traces.iter().map(|trace| trace["status"].as_u64()).collect();
    assert_eq!(statuses, [Some(403), Some(404)], "only what was refused is counted: {traces:?}");
}
