//! The floor: hyper, tokio and rustls passing bytes on with the key swapped, and nothing else. What kmid needs beyond
//! it is kmid's own; what it needs itself no change to kmid can save.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kmi_tests::upstream::{BASE_PATH, tls};
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::target::{PROXY_PATH, Target};
use super::upstream;

/// The first argument that makes this program the bare proxy.
pub(crate) const SUBCOMMAND: &str = "serve-bare";

/// A running bare proxy; it ends with its standard input.
#[derive(Debug)]
pub(crate) struct Bare {
    child: Child,
    _stdin: ChildStdin,
}

impl Bare {
    /// Starts it.
    pub(crate) fn start(upstream: &upstream::Process) -> (Target, Self) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([SUBCOMMAND, &upstream.port.to_string(), &upstream.ca_pem]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, line.trim().parse().unwrap()).into();
        let pids = vec![child.id()];
        let stdin = child.stdin.take().unwrap();
        (Target { name: "bare", address, path: PROXY_PATH, tls: None, pids }, Self { child, _stdin: stdin })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Pool {
    port: u16,
    tls: TlsConnector,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

/// Serves until standard input ends.
pub(crate) fn serve(port: &str, ca_pem: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let pool = Arc::new(Pool {
        port: port.parse().unwrap(),
        tls: TlsConnector::from(tls::client_config(ca_pem)),
        idle: Mutex::default(),
    });
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        while let Ok((stream, _)) = listener.accept().await {
            let pool = Arc::clone(&pool);
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let service = service_fn(|request| pass(Arc::clone(&pool), request));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

async fn pass(pool: Arc<Pool>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let below = parts.uri.path_and_query().unwrap().as_str().strip_prefix(PROXY_PATH).unwrap();
    parts.uri = Uri::builder().path_and_query(format!("{BASE_PATH}{below}")).build().unwrap();
    parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
    parts.headers.remove(CONNECTION);
    parts.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer sk-kimi-alpha-0123456789"));
    let idle = pool.idle.lock().unwrap().pop();
    let mut sender = match idle {
        Some(sender) => sender,
        None => connect(&pool).await,
    };
    sender.ready().await.unwrap();
    let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    pool.idle.lock().unwrap().push(sender);
    Ok(Response::from_parts(parts, Full::new(body)))
}

async fn connect(pool: &Pool) -> SendRequest<Full<Bytes>> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, pool.port)).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let tls = pool.tls.connect(ServerName::try_from("localhost").unwrap(), tcp).await.unwrap();
    let (sender, driver) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(driver);
    sender
}
