//! Clients that speak HTTP/2 to the proxy, and what HTTP/2 can be abused for.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kmi_tests::harness::machine::own_address;
use kmi_tests::harness::wait::{eventually, stays_quiet, within};
use kmi_tests::harness::{Daemon, Setup};
use kmi_tests::upstream::tls::{Authority, client_config_for};
use kmi_tests::upstream::{ANY, Feed, Gate, Reply, Upstream, api};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TOKEN: &str = "a-token-of-some-length";

async fn start(upstream: &Upstream, authority: &Authority, extra: &[(&str, &str)]) -> Daemon {
    let (certificate, key) = authority.issue();
    let setup = Setup::live(upstream).keys(&["alpha"]).file("cert.pem", certificate).file("key.pem", key);
    let path = |name: &str| setup.home().path().join(name).display().to_string();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let setup = setup.env("KMI_PROXY_TLS_CERT", &certificate).env("KMI_PROXY_TLS_KEY", &key);
    let setup = extra.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    setup.env("KMI_PROXY_TOKENS", &format!("laptop:{TOKEN}")).start().await
}

async fn tls(address: SocketAddr, authority: &Authority) -> TlsStream<TcpStream> {
    let client = client_config_for(&authority.pem(), rustls::DEFAULT_VERSIONS, &[b"h2"]);
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = within("TLS", TlsConnector::from(client).connect(name, stream)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    stream
}

/// A connection of a client, and the task that drives it.
async fn http2(
    address: SocketAddr,
    authority: &Authority,
) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let stream = tls(address, authority).await;
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (send, connection) = within("HTTP/2", handshake).await.unwrap();
    (send, tokio::spawn(connection))
}

fn chat(token: &str, body: &str) -> http::Request<Full<Bytes>> {
    http::Request::post("https://localhost/kmi-rotor/v1/chat/completions")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

async fn answer(
    send: &mut SendRequest<Full<Bytes>>,
    request: http::Request<Full<Bytes>>,
) -> (http::response::Parts, Bytes) {
    within("room for a stream", send.ready()).await.unwrap();
    let response = within("an answer", send.send_request(request)).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts, within("its body", body.collect()).await.unwrap().to_bytes())
}

#[tokio::test]
async fn requests_streams_and_tokens() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let daemon = start(&upstream, &authority, &[]).await;
    let (mut send, _connection) = http2(daemon.proxy(), &authority).await;
    let (parts, _) = answer(&mut send, chat("wrong", "{}")).await;
    assert_eq!(parts.status, 401);
    let body = r#"{"model":"kimi-for-coding","messages":[],"stream":true}"#;
    let (parts, text) = answer(&mut send, chat(TOKEN, body)).await;
    assert_eq!((parts.status.as_u16(), &text[..]), (200, api::chat_events().concat().as_bytes()));
    assert_eq!(parts.headers["x-kmi-key"], "alpha");
    let traces = daemon.traces(2).await;
    assert_eq!(traces[1]["client_name"], "laptop", "{}", traces[1]);
    // Fields of HTTP/2 do not go upstream as something else.
    let seen = &upstream.at("/chat/completions")[0];
    assert_eq!(seen.body().as_deref(), Some(body.as_bytes()));
    assert!(!format!("{:?}", seen.head.fields).contains(TOKEN));
}

#[tokio::test]
async fn a_connection_has_so_many_streams_and_a_drain_ends_it_in_order() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let mut daemon = start(&upstream, &authority, &[("KMI_PROXY_MAX_STREAMS", "2")]).await;
    let gate = Gate::closed();
    upstream.always(ANY, "/chat/completions", {
        let gate = gate.clone();
        move |_| Reply::json(200, &api::chat()).head_after(&gate)
    });
    let (mut send, connection) = http2(daemon.proxy(), &authority).await;
    // After an answer the client knows how many streams it may have.
    assert_eq!(answer(&mut send, chat("wrong", "{}")).await.0.status, 401);
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut send = send.clone();
        answers.push(tokio::spawn(async move { answer(&mut send, chat(TOKEN, "{}")).await.0.status }));
    }
    upstream.nth("/chat/completions", 2).await;
    daemon.quotas_read().await;
    assert_eq!(upstream.at("/chat/completions").len(), 2, "the third waits for one of the two");
    gate.open();
    for answer in answers {
        assert_eq!(answer.await.unwrap(), 200);
    }
    daemon.signal(rustix::process::Signal::TERM);
    let ended = within("the end of the connection", connection).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    assert!(daemon.ended().await.success());
}

#[tokio::test]
async fn a_handover_sends_clients_away_and_lets_their_streams_end() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let mut daemon = start(&upstream, &authority, &[]).await;
    daemon.quotas_read().await;
    let gate = Gate::closed();
    upstream.next(ANY, "/models", Reply::json(200, &api::chat()).head_after(&gate));
    let mut stream = tls(daemon.proxy(), &authority).await;
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x5, 1, &models())].concat();
    stream.write_all(&request).await.unwrap();
    upstream.nth("/models", 1).await;
    let (mut send, connection) = http2(daemon.proxy(), &authority).await;
    assert_eq!(answer(&mut send, chat(TOKEN, "{}")).await.0.status, 200);
    daemon.restarted().await;
    // NO_ERROR, on a connection that is busy; one that is not ends.
    assert_eq!(goaway(&mut stream).await, Some(0));
    let ended = within("the end of the other connection", connection).await.unwrap();
    assert!(ended.is_ok(), "{ended:?}");
    gate.open();
    until_end_of(&mut stream, 1).await;
    drop(stream);
    daemon.those_before_ended().await;
    assert_eq!(daemon.traces(2).await[1]["outcome"], "completed");
}

/// A client that has not seen the farewell yet may begin another request, however long its answer takes.
#[tokio::test]
async fn a_request_that_crosses_the_farewell_of_an_idle_connection_is_answered() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let daemon = start(&upstream, &authority, &[("KMI_PROXY_CLIENT_IDLE_SECONDS", "1")]).await;
    daemon.quotas_read().await;
    let mut stream = tls(daemon.proxy(), &authority).await;
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x5, 1, &models())].concat();
    stream.write_all(&request).await.unwrap();
    until_end_of(&mut stream, 1).await;
    assert_eq!(goaway(&mut stream).await, Some(0));
    let gate = Gate::closed();
    upstream.next(ANY, "/models", Reply::json(200, &api::chat()).head_after(&gate));
    stream.write_all(&frame(HEADERS, 0x5, 3, &models())).await.unwrap();
    upstream.nth("/models", 2).await;
    let ended = async { while next_frame(&mut stream).await.is_some() {} };
    stays_quiet("the end of a connection with a request on it", Duration::from_secs(6), ended).await;
    gate.open();
    until_end_of(&mut stream, 3).await;
    assert_eq!(daemon.traces(2).await[1]["outcome"], "completed");
    // With nothing on it, it ends, though its client does not close it.
    while next_frame(&mut stream).await.is_some() {}
}

/// Its system acknowledges every byte; all that says that it reads is the window.
#[tokio::test]
async fn an_answer_that_a_client_from_afar_does_not_take_is_over_after_a_while() {
    let Some(own) = own_address() else { return };
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let open = [("KMI_PROXY_LISTEN", "0.0.0.0:0"), ("KMI_PROXY_ALLOW_REMOTE", "1")];
    let extra = [&open[..], &[("KMI_PROXY_CLIENT_IDLE_SECONDS", "1")]].concat();
    let daemon = start(&upstream, &authority, &extra).await;
    let mut stream = tls((own, daemon.proxy().port()).into(), &authority).await;
    // One that goes on for longer than the pause, by an upstream that is slow.
    let (feed, pieces) = Feed::new();
    upstream.next(ANY, "/models", Reply::status(200).chunked().feed(pieces));
    let request = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x5, 1, &models())].concat();
    stream.write_all(&request).await.unwrap();
    feed.send("slow").await;
    while next_frame(&mut stream).await.unwrap().0 != DATA {}
    let quiet = async { while next_frame(&mut stream).await.unwrap().0 == SETTINGS {} };
    stays_quiet("an end of it", Duration::from_secs(3), quiet).await;
    drop(feed);
    until_end_of(&mut stream, 1).await;
    // One of which more is there than the window (65,535 bytes) lets through.
    upstream.next(ANY, "/models", Reply::status(200).send(vec![b'x'; 1 << 20]));
    stream.write_all(&frame(HEADERS, 0x5, 3, &models())).await.unwrap();
    let reset = loop {
        let (kind, _, id, payload) = next_frame(&mut stream).await.expect("the connection ended");
        if (kind, id) == (RST_STREAM, 3) {
            break payload;
        }
    };
    assert_eq!(reset, 8_u32.to_be_bytes(), "CANCEL");
    let traces = daemon.traces(2).await;
    assert_eq!((&traces[0]["outcome"], &traces[1]["outcome"]), (&"completed".into(), &"client_left".into()));
    // The others of the connection go on.
    let window = frame(WINDOW_UPDATE, 0, 0, &65_535_u32.to_be_bytes());
    stream.write_all(&[window, frame(HEADERS, 0x5, 5, &models())].concat()).await.unwrap();
    until_end_of(&mut stream, 5).await;
}

/// Reads to the END_STREAM of a stream.
async fn until_end_of(stream: &mut (impl AsyncReadExt + Unpin), number: u32) {
    while {
        let (kind, flags, id, _) = next_frame(stream).await.expect("the connection ended");
        (kind, flags & 1, id) != (DATA, 1, number)
    } {}
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// `GET /kmi-rotor/v1/models` with the right token, without Huffman codes (RFC 7541, section 6).
fn models() -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let mut block = vec![0x82, 0x87, 0x04];
    block.extend(text("/kmi-rotor/v1/models"));
    block.push(0x01);
    block.extend(text("localhost"));
    block.push(0x00);
    block.extend(text("x-kmi-proxy-token"));
    block.extend(text(TOKEN));
    block
}

/// Kind, flags, stream and payload; `None` at the end.
async fn next_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    within("a frame or the end", stream.read_exact(&mut head)).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    within("a frame's rest", stream.read_exact(&mut payload)).await.ok()?;
    let id = u32::from_be_bytes(head[5..9].try_into().unwrap());
    Some((head[3], head[4], id, payload))
}

/// The error code of the GOAWAY that ends the connection, if one comes before its end.
async fn goaway(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<u32> {
    loop {
        let (kind, _, _, payload) = next_frame(stream).await?;
        if kind == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let daemon = start(&upstream, &authority, &[]).await;
    daemon.quotas_read().await;
    let stream = tls(daemon.proxy(), &authority).await;
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    for number in 0..2000_u32 {
        let id = 2 * number + 1;
        // END_STREAM and END_HEADERS, then CANCEL.
        flood.extend(frame(HEADERS, 0x5, id, &models()));
        flood.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    // The other side may close before it has read all of it.
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&flood).await;
        write
    });
    // ENHANCE_YOUR_CALM
    assert_eq!(goaway(&mut read).await, Some(0xb));
    drop((within("the flood", writing).await, read));
    assert!(upstream.at("/models").len() < 200, "{} went upstream", upstream.at("/models").len());
    let (mut send, _connection) = http2(daemon.proxy(), &authority).await;
    assert_eq!(answer(&mut send, chat(TOKEN, "{}")).await.0.status, 200);
    // Nothing of it stays: no lease, no request in flight.
    eventually("all requests to end", || async {
        let status = daemon.rpc("daemon.status", serde_json::json!({})).await.unwrap();
        (status["requests"]["in_flight"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn heads_without_an_end_are_bounded_in_size_and_time() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let daemon = start(&upstream, &authority, &[("KMI_PROXY_HEADER_SECONDS", "2")]).await;
    // A head in ever more pieces.
    let stream = tls(daemon.proxy(), &authority).await;
    let mut flood = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x1, 1, &models())].concat();
    let field = [&[0x00, 7][..], b"x-field", &[100], &[b'x'; 100]].concat();
    for _ in 0..5000 {
        flood.extend(frame(CONTINUATION, 0, 1, &field));
    }
    let (mut read, mut write) = tokio::io::split(stream);
    let writing = tokio::spawn(async move {
        let _ = write.write_all(&flood).await;
        write
    });
    let _ = goaway(&mut read).await;
    drop((within("the flood", writing).await, read));
    // One that never goes on, and one that never says a word: both end by time.
    for begin in
        [[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0x1, 1, &models())].concat(), Vec::new()]
    {
        let mut silent = tls(daemon.proxy(), &authority).await;
        silent.write_all(&begin).await.unwrap();
        let mut rest = Vec::new();
        let _ = within("the end of a silent connection", silent.read_to_end(&mut rest)).await;
    }
    assert!(upstream.at("/models").is_empty());
}
