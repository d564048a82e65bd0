//! What of a head goes on, and what does not (RFC 9110, section 7.6.1).

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{ANY, Reply, Upstream};

async fn one_key(upstream: &Upstream) -> Daemon {
    Setup::live(upstream).keys(&["alpha"]).start().await
}

#[tokio::test]
async fn the_clients_key_is_replaced_in_the_form_it_used() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    let bearer = format!("Bearer {}", key_of("alpha"));
    let cases = [
        ("/chat/completions", Some(("Authorization", "Bearer client-key")), "authorization"),
        ("/chat/completions", Some(("x-api-key", "client-key")), "x-api-key"),
        ("/messages", Some(("X-Api-Key", "client-key")), "x-api-key"),
        ("/messages", Some(("authorization", "bearer client-key")), "authorization"),
        // A client that sent none gets the form of its wire.
        ("/messages", None, "x-api-key"),
        ("/chat/completions", None, "authorization"),
        ("/models", None, "authorization"),
    ];
    for (n, (endpoint, sent, form)) in cases.into_iter().enumerate() {
        let mut request = Request::post(endpoint, &serde_json::json!({}));
        if let Some((name, value)) = sent {
            request = request.field(name, value);
        }
        assert_eq!(daemon.send(request).await.status, 200, "case {n}");
        let seen = upstream
            .requests()
            .into_iter()
            .rfind(|s| s.endpoint() == endpoint && s.head.method == "POST")
            .unwrap();
        let fields = &seen.head.fields;
        let key = key_of("alpha");
        let (auth, api) =
            if form == "x-api-key" { (vec![], vec![key.as_str()]) } else { (vec![bearer.as_str()], vec![]) };
        assert_eq!((fields.all("authorization"), fields.all("x-api-key")), (auth, api), "case {n}");
    }
}

#[tokio::test]
async fn both_forms_at_once_become_one_key() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    let request = Request::chat()
        .field("Authorization", "Bearer client-one")
        .field("x-api-key", "client-two")
        .field("Authorization", "Basic Y2xpZW50");
    daemon.send(request).await;
    let seen = upstream.nth("/chat/completions", 1).await;
    let values = [seen.head.fields.all("authorization"), seen.head.fields.all("x-api-key")].concat();
    assert_eq!(values.len(), 1, "{values:?}");
    assert!(values[0].ends_with(&key_of("alpha")), "{values:?}");
}

#[tokio::test]
async fn everything_else_goes_up_byte_for_byte_and_nothing_is_added() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    let kept = [
        ("User-Agent", "KimiCLI/1.50.0"),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip, deflate"),
        ("accept-language", "*"),
        ("sec-fetch-mode", "cors"),
        ("X-Msh-Platform", "kimi_cli"),
        ("X-Msh-Device-Name", "h\u{f6}st"),
        ("anthropic-beta", "one"),
        ("anthropic-beta", "two, three"),
        ("anthropic-version", "2023-06-01"),
        ("x-stainless-retry-count", "0"),
        ("Cookie", "a=1; b=2"),
        ("x-empty", ""),
        ("TraceParent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Content-Type", "application/json; charset=utf-8"),
    ];
    let request = kept
        .into_iter()
        .fold(Request::new("POST", "/chat/completions").body("{}"), |r, (n, v)| r.field(n, v));
    assert_eq!(daemon.send(request).await.status, 200);
    let seen = upstream.nth("/chat/completions", 1).await;
    let fields = &seen.head.fields;
    for (name, _) in kept {
        let sent: Vec<_> =
            kept.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v).collect();
        assert_eq!(fields.all(name), sent, "{name}");
    }
    let mut names: Vec<String> = kept.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
    names.extend(["authorization", "content-length", "host"].map(String::from));
    names.sort();
    names.dedup();
    assert_eq!(fields.names(), names);
    assert_eq!(fields.get("host").unwrap(), format!("localhost:{}", upstream.address().port()));
    assert_eq!(fields.get("content-length"), Some("2"));
}

#[tokio::test]
async fn hop_by_hop_and_proxy_fields_stay_here() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    let request = Request::chat()
        .field("Connection", "keep-alive, X-Only-Here")
        .field("X-Only-Here", "1")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("Proxy-Authorization", "Basic c2VjcmV0")
        .field("Upgrade", "websocket")
        .field("Via", "1.1 somewhere")
        .field("Forwarded", "for=192.0.2.1")
        .field("X-Forwarded-For", "192.0.2.1")
        .field("X-Forwarded-Proto", "http")
        .field("X-Forwarded-Host", "h")
        .field("x-kmi-proxy-token", "t")
        .field("x-kmi-anything", "t");
    assert_eq!(daemon.send(request).await.status, 200);
    let seen = upstream.nth("/chat/completions", 1).await;
    assert_eq!(seen.head.fields.names(), ["authorization", "content-length", "content-type", "host"]);
}

/// RFC 9110, sections 7.6.1 and 10.1.4: `TE` belongs to the hop, so kmid sends one of its own, named in `Connection`,
/// when trailers are wanted behind it.
#[tokio::test]
async fn trailers_are_asked_for_when_the_client_wants_them() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    for (n, (sent, te, connection)) in [
        ("trailers", vec!["trailers"], vec!["TE"]),
        ("gzip;q=0.5, Trailers", vec!["trailers"], vec!["TE"]),
        ("gzip", vec![], vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let request = Request::chat().field("Connection", "TE, keep-alive").field("TE", sent);
        assert_eq!(daemon.send(request).await.status, 200);
        let fields = &upstream.nth("/chat/completions", n + 1).await.head.fields;
        assert_eq!((fields.all("te"), fields.all("connection")), (te, connection), "{sent}");
    }
}

#[tokio::test]
async fn the_response_comes_down_byte_for_byte() {
    let upstream = Upstream::start().await;
    let reply = Reply::json(200, &serde_json::json!({"ok": true}))
        .field("x-trace-id", "t-1")
        .field("x-request-id", "r-1")
        .field("Set-Cookie", "a=1")
        .field("Set-Cookie", "b=2")
        .field("Server", "kimi")
        .field("Date", "Mon, 23 Nov 2026 00:00:00 GMT")
        .field("retry-after", "7")
        .field("Connection", "keep-alive, x-hop")
        .field("x-hop", "1")
        .field("Keep-Alive", "timeout=9")
        .field("Proxy-Authenticate", "Basic");
    upstream.next(ANY, "/models", reply);
    let daemon = one_key(&upstream).await;
    let answer = daemon.send(Request::get("/models")).await;
    let fields = &answer.fields;
    for (name, values) in [
        ("x-trace-id", vec!["t-1"]),
        ("x-request-id", vec!["r-1"]),
        ("set-cookie", vec!["a=1", "b=2"]),
        ("server", vec!["kimi"]),
        ("date", vec!["Mon, 23 Nov 2026 00:00:00 GMT"]),
        ("retry-after", vec!["7"]),
        ("x-hop", vec![]),
        ("keep-alive", vec![]),
        ("x-kmi-key", vec!["alpha"]),
        ("x-kmi-origin", vec![]),
    ] {
        assert_eq!(fields.all(name), values, "{name}");
    }
    assert_eq!(fields.all("x-kmi-request-id").len(), 1);
    for name in fields.names() {
        assert!(!name.starts_with("access-control-") && name != "via", "{name}");
    }
}

#[tokio::test]
async fn request_ids_differ_and_are_those_of_the_trace() {
    let upstream = Upstream::start().await;
    let daemon = one_key(&upstream).await;
    let mut connection = daemon.connect().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = connection.exchange(Request::get("/models")).await;
        ids.push(answer.fields.get("x-kmi-request-id").unwrap().to_owned());
    }
    let traced: Vec<String> =
        daemon.traces(3).await.iter().map(|t| t["request_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, traced);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
}
