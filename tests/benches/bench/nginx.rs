//! nginx with the same work: the key swapped, keep-alive, TLS to the upstream, no buffering of responses, one worker.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use kmi_tests::harness::process;
use kmi_tests::harness::wait::eventually;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::target::{PROXY_PATH, Target};
use super::upstream;

/// A running nginx, a child in the foreground with everything in a temporary folder.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    _dir: TempDir,
}

impl Nginx {
    /// Starts it; `None` where it is not installed.
    pub(crate) async fn start(upstream: &upstream::Process) -> Option<(Target, Self)> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display();
        fs::write(dir.path().join("ca.pem"), &upstream.ca_pem).unwrap();
        // nginx cannot say which port it took: take a free one and leave it.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {root}/{kind};\n"))
            .collect();
        let config = format!(
            "{user}
            daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn;
            events {{ worker_connections 8192; }}
            http {{
                {temp}
                access_log {root}/access.log combined buffer=64k flush=1s;
                client_max_body_size 64m; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on;
                upstream api {{ server 127.0.0.1:{port}; keepalive 256; keepalive_requests 100000000; }}
                server {{
                    listen {address} backlog=1024;
                    location {PROXY_PATH}/ {{
                        proxy_pass https://api/coding/v1/;
                        proxy_http_version 1.1;
                        proxy_buffering off;
                        proxy_read_timeout 600s;
                        proxy_set_header Host localhost;
                        proxy_set_header Connection \"\";
                        proxy_set_header Authorization \"Bearer sk-kimi-alpha-0123456789\";
                        proxy_ssl_name localhost; proxy_ssl_server_name on;
                        proxy_ssl_protocols TLSv1.2 TLSv1.3;
                        proxy_ssl_verify on; proxy_ssl_trusted_certificate {root}/ca.pem;
                    }}
                }}
            }}\n",
            port = upstream.port
        );
        let path = dir.path().join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir.path()).arg("-c").arg(&path).arg("-e").arg(dir.path().join("error.log"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
        let mut nginx = Self { child, _dir: dir };
        let pids = nginx.workers(address).await;
        Some((Target { name: "nginx", address, path: PROXY_PATH, tls: None, pids }, nginx))
    }

    /// Waits for the port and the worker: nginx does not say when it listens.
    async fn workers(&mut self, address: SocketAddr) -> Vec<u32> {
        eventually("nginx to answer", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("nginx ended with {status}");
            }
            let workers = process::children(self.child.id());
            async move { (workers.len() == 1 && TcpStream::connect(address).await.is_ok()).then_some(workers) }
        })
        .await
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master takes its worker along, which SIGKILL would leave behind.
        process::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}
