//! Connections to the upstream: reuse, faults, HTTP versions.

use std::net::SocketAddr;

use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::wait::within;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::{ANY, Ended, Ending, Gate, Reply, Upstream, api};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

use super::two_keys;

#[tokio::test]
async fn a_reused_connection_that_closes_first_is_replaced_once() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    daemon.quotas_read().await;
    let mut connection = daemon.connect().await;
    for (n, ending) in [Ending::CloseBeforeHead, Ending::ResetBeforeHead].into_iter().enumerate() {
        assert_eq!(connection.exchange(Request::chat()).await.status, 200);
        upstream.next(ANY, "/chat/completions", Reply::none(ending));
        let answer = connection.exchange(Request::chat()).await;
        assert_eq!((answer.status, answer.key()), (200, Some("alpha")), "{ending:?}");
        let seen = upstream.at("/chat/completions");
        assert_eq!(seen.len(), 3 * (n + 1));
        let [.., first, second, third] = &seen[..] else { panic!() };
        assert_eq!(first.connection, second.connection, "the closing one was a reused one");
        assert_ne!(second.connection, third.connection);
        assert_eq!(third.body(), first.body());
    }
    // It is uncounted: one attempt in the trace, no error of the key.
    let traces = daemon.traces(4).await;
    assert_eq!(traces[1]["attempts"].as_array().unwrap().len(), 1, "{}", traces[1]);
    assert_eq!(daemon.key("alpha").await["errors"]["5xx"], 0);
}

#[tokio::test]
async fn a_fresh_connection_that_closes_is_a_fault() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    for ending in [Ending::CloseBeforeHead, Ending::ResetBeforeHead] {
        // Whatever connection it takes, and the replacement as well.
        upstream.always(ANY, "/me", move |_| Reply::none(ending));
        let answer = daemon.send(Request::get("/me")).await;
        assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
        assert!(upstream.at("/me").len() <= 4, "{}", upstream.at("/me").len());
    }
    assert_eq!(daemon.key("beta").await["requests"], 0, "an upstream's fault is no reason to switch");
}

#[tokio::test]
async fn what_is_not_http_is_a_fault() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    let unasked = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    upstream.next(ANY, "/search", Reply::status(200).raw_before_head(unasked));
    assert_eq!(daemon.send(Request::get("/search")).await.status, 502);
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "a".repeat(300_000));
    upstream.next(ANY, "/long", Reply::status(200).raw_before_head(long));
    let answer = daemon.send(Request::get("/long")).await;
    assert!(answer.status == 502 && answer.text().contains("head of its answer is too large"), "{answer:?}");
    // Who is not told of the coding would take what it made for the body.
    let coded = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    upstream.always(ANY, "/coded", move |_| Reply::none(Ending::CloseBeforeHead).raw_before_head(coded));
    let answer = daemon.send(Request::get("/coded")).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
    upstream.next(ANY, "/me", Reply::status(200).raw_before_head("SSH-2.0-nonsense\r\n\r\n"));
    let answer = daemon.send(Request::get("/me")).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_says_so_in_both_wires() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    drop(upstream);
    let daemon = setup.start().await;
    let openai = daemon.send(Request::chat()).await;
    let anthropic = daemon.send(Request::message_stream()).await;
    for answer in [&openai, &anthropic] {
        assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
        assert!(
            answer.json()["error"]["message"].as_str().unwrap().contains("localhost"),
            "{}",
            answer.text()
        );
    }
    assert_eq!(anthropic.json()["type"], "error");
    let trace = &daemon.traces(2).await[0];
    assert_eq!(trace["attempts"][0]["status"], json!(null), "{trace}");
}

/// What kmid lacks itself is nobody's failure: five of an upstream's would open its breaker.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_lack_of_open_files_is_no_failure_of_the_upstream() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let upstream = Upstream::start().await;
    // What is passed on gets a connection of its own.
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_PROXY_REPLAY_MB", "1").start().await;
    daemon.quotas_read().await;
    let mut connections = Vec::new();
    for _ in 0..7 {
        let mut connection = daemon.connect().await;
        assert_eq!(connection.exchange(Request::get("/models")).await.status, 200);
        connections.push(connection);
    }
    let pid = Pid::from_raw(daemon.pid().try_into().unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Less than it has open: it keeps those, and gets no more.
    let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), maximum }).unwrap();
    let upload = || Request::new("POST", "/chat/completions").body(vec![b'x'; 2 << 20]);
    let mut last = connections.pop().unwrap();
    for (n, connection) in connections.iter_mut().enumerate() {
        let answer = connection.exchange(upload()).await;
        assert_eq!((answer.status, answer.by_kmid()), (503, true), "{n}: {answer:?}");
        assert_eq!(answer.fields.get("retry-after"), Some("5"));
        let said = answer.text();
        assert!(said.contains("no open file") && said.contains("ulimit"), "{said}");
    }
    prlimit(pid, Resource::Nofile, before).unwrap();
    assert_eq!(last.exchange(upload()).await.status, 200);
    assert_eq!(daemon.key("alpha").await["errors"]["5xx"], 0);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_gets_no_key() {
    let upstream = Upstream::start().await;
    let stranger = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).file("ca.pem", stranger.ca_pem()).start().await;
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true));
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn silence_ends_by_the_idle_timeout() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = setup.env("KMI_PROXY_IDLE_TIMEOUT_SECONDS", "1").start().await;
    let never = Gate::closed();
    upstream.next(ANY, "/chat/completions", Reply::status(200).head_after(&never));
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.by_kmid()), (504, true), "{answer:?}");
    let seen = upstream.nth("/chat/completions", 1).await;
    assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").wait(&never));
    let answer = daemon.send(Request::chat_stream()).await;
    assert_eq!((answer.status, answer.end), (200, kmi_tests::harness::End::Broken));
}

#[tokio::test]
async fn redirects_are_passed_on_and_not_followed() {
    let upstream = Upstream::start().await;
    let daemon = two_keys(&upstream).await;
    for status in [301, 302, 307, 308] {
        let location = format!("https://localhost:{}/elsewhere", upstream.address().port());
        upstream.next(ANY, "/models", Reply::status(status).field("location", &location));
        let answer = daemon.send(Request::get("/models")).await;
        assert_eq!((answer.status, answer.fields.get("location")), (status, Some(&*location)));
    }
    assert!(upstream.requests().iter().all(|seen| seen.head.target != "/elsewhere"));
}

#[tokio::test]
async fn http2_when_it_is_chosen() {
    let upstream = Upstream::start_with(&[b"h2", b"http/1.1"]).await;
    for (version, http2) in [("2", true), ("auto", true), ("1.1", false)] {
        let setup = Setup::live(&upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", version);
        let daemon = setup.start().await;
        let before = upstream.at("/chat/completions").len();
        let mut connection = daemon.connect().await;
        let answer = connection.exchange(Request::chat_stream().field("Connection", "keep-alive")).await;
        assert_eq!(answer.text(), api::chat_events().concat(), "{version}");
        assert_eq!(connection.exchange(Request::chat()).await.json(), api::chat(), "{version}");
        for seen in &upstream.at("/chat/completions")[before..] {
            assert_eq!(seen.http2, http2, "{version}");
            assert_eq!(seen.key(), Some(key_of("alpha")));
            assert!(!seen.head.fields.has("connection"));
        }
    }
}

#[tokio::test]
async fn an_upstream_without_http2_is_met_by_auto_and_named_by_2() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", "auto").start().await;
    assert_eq!(daemon.send(Request::chat()).await.status, 200);
    assert!(!upstream.nth("/chat/completions", 1).await.http2);
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", "2").start().await;
    let answer = daemon.send(Request::chat()).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
    assert_eq!(upstream.at("/chat/completions").len(), 1);
}

#[tokio::test]
async fn http2_streams_break_and_abort_like_others() {
    let upstream = Upstream::start_with(&[b"h2"]).await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_UPSTREAM_HTTP", "2").start().await;
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").ending(Ending::Reset));
    let answer = daemon.send(Request::chat_stream()).await;
    assert_eq!((answer.status, answer.end), (200, kmi_tests::harness::End::Broken));
    upstream.next(ANY, "/chat/completions", Reply::sse().send("data: 1\n\n").ending(Ending::Stall));
    let mut connection = daemon.connect().await;
    connection.send(&Request::chat_stream()).await;
    connection.head().await;
    let seen = upstream.nth("/chat/completions", 2).await;
    drop(connection);
    assert_eq!(upstream.ended(&seen).await, Ended::ClientLeft);
}

#[tokio::test]
async fn a_proxy_in_front_of_the_upstream_is_used() {
    let upstream = Upstream::start().await;
    let mut tunnel = ConnectProxy::start(upstream.address(), "200 OK").await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = setup.env("HTTPS_PROXY", &format!("http://me:secret@{}", tunnel.address)).start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let asked = tunnel.asked().await;
    let first = format!("CONNECT localhost:{} HTTP/1.1\r\n", upstream.address().port());
    assert!(asked.starts_with(&first), "{asked}");
    // `me:secret` in base64.
    assert!(asked.to_ascii_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{asked}");
    assert!(!asked.contains("sk-kimi"), "the key goes through the tunnel, not to the proxy: {asked}");
    for seen in upstream.requests() {
        assert!(!seen.head.fields.has("proxy-authorization"));
    }
}

#[tokio::test]
async fn hosts_of_no_proxy_are_reached_directly() {
    let upstream = Upstream::start().await;
    let mut tunnel = ConnectProxy::start(upstream.address(), "200 OK").await;
    let setup = Setup::live(&upstream).keys(&["alpha"]).env("NO_PROXY", "other.example,localhost");
    let daemon = setup.env("HTTPS_PROXY", &format!("http://{}", tunnel.address)).start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    daemon.quotas_read().await;
    assert!(tunnel.asks.try_recv().is_err(), "the proxy was asked");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_a_fault_of_the_way() {
    let upstream = Upstream::start().await;
    let tunnel = ConnectProxy::start(upstream.address(), "407 Proxy Authentication Required").await;
    let setup = Setup::live(&upstream).keys(&["alpha"]);
    let daemon = setup.env("HTTPS_PROXY", &format!("http://me:hidden@{}", tunnel.address)).start().await;
    let answer = daemon.send(Request::get("/models")).await;
    assert_eq!((answer.status, answer.by_kmid()), (502, true), "{answer:?}");
    assert!(!answer.text().contains("hidden"), "{}", answer.text());
    assert!(upstream.requests().is_empty());
    assert_eq!(daemon.key("alpha").await["state"], "ready");
}

/// A CONNECT proxy that knows one destination.
struct ConnectProxy {
    address: SocketAddr,
    asks: mpsc::Receiver<String>,
    tunnels: JoinHandle<()>,
}

impl ConnectProxy {
    async fn start(target: SocketAddr, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, asks) = mpsc::channel(64);
        let tunnels = tokio::spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let asked = asked.clone();
                tunnels.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).await.unwrap() == 0 {
                            return;
                        }
                    }
                    let _ = asked.try_send(head);
                    stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
                    if answer.starts_with("200") {
                        let mut onwards = TcpStream::connect(target).await.unwrap();
                        let _ = copy_bidirectional(&mut stream, &mut onwards).await;
                    }
                });
            }
        });
        Self { address, asks, tunnels }
    }

    /// The next head that it got.
    async fn asked(&mut self) -> String {
        within("a CONNECT", self.asks.recv()).await.unwrap()
    }
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.tunnels.abort();
    }
}
