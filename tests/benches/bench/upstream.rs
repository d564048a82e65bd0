//! The API, in a process of its own so that its CPU time is nobody else's: this program with another first argument.
//! It does as little as it can; what the tests need to script and record is not here.

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kmi_tests::http1::{Framing, Wire};
use kmi_tests::upstream::api::{self, Usages};
use kmi_tests::upstream::tls::Authority;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The first argument that makes this program the upstream.
pub(crate) const SUBCOMMAND: &str = "serve-upstream";

/// Events of one stream, before its terminal event.
pub(crate) const EVENTS: usize = 200;

/// What stands before the time in every event.
pub(crate) const STAMP: &str = "\"sent\":";

/// A running upstream.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    _lines: Lines<BufReader<ChildStdout>>,
    /// Where it listens.
    pub port: u16,
    /// What it is to be trusted by.
    pub ca_pem: String,
}

impl Process {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.arg(SUBCOMMAND).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let mut ca_pem = String::new();
        while !ca_pem.contains("-----END") {
            ca_pem.push_str(&lines.next().unwrap().unwrap());
            ca_pem.push('\n');
        }
        Self { child, _lines: lines, port: port.parse().unwrap(), ca_pem }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until standard input ends, as it does when the benchmark is gone.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(authority.server_config(&[b"http/1.1"]));
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    println!("{}\n{}", listener.local_addr().unwrap().port(), authority.pem());
    runtime.spawn(accept(listener, acceptor));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            if let Ok(stream) = acceptor.accept(stream).await {
                // A connection that breaks is the end of a round.
                let _ = connection(stream).await;
            }
        });
    }
}

async fn connection(stream: TlsStream<TcpStream>) -> std::io::Result<()> {
    let chat = respond("application/json", &api::chat().to_string());
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.request_head().await? {
        let mut framing = head.framing();
        while framing != Framing::Done && wire.piece(&mut framing).await?.is_some() {}
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        if let Some(gap) = query.strip_prefix("gap=") {
            events(wire.io(), Duration::from_millis(gap.parse().unwrap_or(0))).await?;
        } else if path.ends_with("/usages") {
            let key = head.fields.get("authorization").unwrap_or_default();
            // No measurement is to stand in the queue for its account's slots.
            let usages = Usages { parallel: Some(10_000), ..Usages::of(key) };
            let answer = respond("application/json", &usages.json().to_string());
            wire.io().write_all(&answer).await?;
        } else {
            wire.io().write_all(&chat).await?;
        }
        wire.io().flush().await?;
    }
    Ok(())
}

fn respond(kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nx-trace-id: t\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One event a write and a TLS record, each with the time of its sending.
async fn events(stream: &mut TlsStream<TcpStream>, gap: Duration) -> std::io::Result<()> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await?;
    stream.flush().await?;
    let mut timer = tokio::time::interval(gap.max(Duration::from_micros(1)));
    timer.tick().await;
    for _ in 0..EVENTS {
        if !gap.is_zero() {
            timer.tick().await;
        }
        let sent = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let event = format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"model\":\"kimi-for-coding\",{STAMP}{sent},\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"word\"}},\"finish_reason\":null}}]}}\n\n"
        );
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await?;
        stream.flush().await?;
    }
    stream.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n").await
}
