//! What is measured: the upstream itself, kmid, and nginx.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kmi_tests::harness::{Daemon, Setup, process};
use kmi_tests::upstream::{BASE_PATH, tls};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde_json::json;

use super::bare::Bare;
use super::nginx::Nginx;
use super::options::Options;
use super::report::Report;
use super::upstream;

/// The base path of both proxies.
pub(crate) const PROXY_PATH: &str = "/kmi-rotor/v1";

/// Where load can be sent.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name in the report.
    pub name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    /// The path before the endpoint.
    pub path: &'static str,
    /// Set for TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// Processes whose CPU time counts.
    pub pids: Vec<u32>,
}

impl Target {
    /// CPU time of its processes so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.pids.iter().map(|pid| process::cpu(*pid)).sum()
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Targets {
    /// Without a proxy between.
    pub direct: Target,
    /// With everything on.
    pub kmid: Option<(Target, Daemon)>,
    /// The same, but its trace cannot be written.
    pub untraced: Option<(Target, Daemon)>,
    /// What the libraries alone need, where it is asked for.
    pub bare: Option<(Target, Bare)>,
    /// The yardstick.
    pub nginx: Option<(Target, Nginx)>,
}

impl Targets {
    /// Starts what is wanted and there.
    pub(crate) async fn start(upstream: &upstream::Process, options: &Options) -> Self {
        let direct = Target {
            name: "direct",
            address: (Ipv4Addr::LOCALHOST, upstream.port).into(),
            path: BASE_PATH,
            tls: Some(tls::client_config(&upstream.ca_pem)),
            pids: Vec::new(),
        };
        let (mut kmid, mut untraced) = (None, None);
        if options.kmid {
            kmid = Some(start_kmid("kmid", setup(upstream)).await);
            // A directory stands where the trace file should be: lines are made and then lost.
            untraced = Some(
                start_kmid("kmid, no trace", setup(upstream).file(".kmi/trace/trace.jsonl/in-the-way", ""))
                    .await,
            );
        }
        let nginx = if options.nginx { Nginx::start(upstream).await } else { None };
        if options.nginx && nginx.is_none() {
            eprintln!("nginx is not installed: no ratios");
        }
        let bare = options.bare.then(|| Bare::start(upstream));
        Self { direct, kmid, untraced, bare, nginx }
    }

    /// Adds what the proxies hold in memory after the load.
    pub(crate) fn memory(&self, report: &mut Report) {
        let proxies = [self.kmid.as_ref().map(|k| &k.0), self.nginx.as_ref().map(|n| &n.0)];
        for target in proxies.into_iter().flatten() {
            let bytes: u64 = target.pids.iter().map(|pid| process::rss(*pid)).sum();
            report.note(format!("RSS of {} after the load: {:.1} MB", target.name, bytes as f64 / 1e6));
        }
    }
}

/// Three keys, rotation, limits and trace on.
pub(crate) fn setup(upstream: &upstream::Process) -> Setup {
    let mut setup =
        Setup::live_at(&format!("https://localhost:{}{BASE_PATH}", upstream.port), &upstream.ca_pem)
            .keys(&["alpha", "beta", "gamma"])
            .may_switch();
    for (name, value) in [
        ("KMI_PROXY_MAX_RPS", "1000000"),
        ("KMI_PROXY_MAX_RPM", "1000000"),
        ("KMI_PROXY_MAX_RPS_PER_KEY", "1000000"),
        ("KMI_PROXY_MAX_RPM_PER_KEY", "1000000"),
    ] {
        setup = setup.env(name, value);
    }
    setup
}

/// Starts a kmid and turns its rotation on.
pub(crate) async fn start_kmid(name: &'static str, setup: Setup) -> (Target, Daemon) {
    let daemon = setup.in_background().start().await;
    daemon.quotas_read().await;
    daemon.rpc("rotation.auto", json!({"enabled": true})).await.unwrap();
    let target =
        Target { name, address: daemon.proxy(), path: PROXY_PATH, tls: None, pids: vec![daemon.pid()] };
    (target, daemon)
}

/// As many open files as the system lets us have, here and in what is started from here.
pub(crate) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // The default is enough for all but the idle connections, which say so themselves.
    let _ = setrlimit(Resource::Nofile, limit);
}
