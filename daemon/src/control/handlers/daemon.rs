//! `daemon.*`

use kmi_proto::error::RpcError;
use kmi_proto::hello::{PROTOCOL, Skew, skew};
use kmi_proto::methods::daemon::{
    Hello, HelloParams, Reloaded, Restarted, Status, StopParams, UpstreamChecks,
};

use super::super::Context;
use super::super::convert::{self, Process};
use super::super::dispatch::Reply;
use super::super::socket::Peer;
use super::ask;
use super::audit::{Change, audit};
use crate::clock;
use crate::command::{Command, Issue};
use crate::metrics::process::ProcessFigures;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Optional features that clients may rely on when they are named here.
const CAPABILITIES: [&str; 2] = ["batch", "stream"];

pub(in super::super) fn hello(context: &Context, params: &HelloParams) -> Hello {
    let skew = skew((&params.version, params.protocol), (VERSION, PROTOCOL));
    if skew != Skew::None {
        tracing::info!(client = %params.client, version = %params.version, ?skew, "a client of another version");
    }
    Hello {
        version: VERSION.to_owned(),
        protocol: PROTOCOL,
        capabilities: CAPABILITIES.map(str::to_owned).into(),
        pid: std::process::id(),
        started_at: context.started_at.to_string(),
    }
}

pub(in super::super) async fn status(context: &Context) -> Status {
    let process = Process {
        version: VERSION,
        pid: std::process::id(),
        started_at: context.started_at,
        now: clock::now(),
        rss_bytes: ProcessFigures::read().await.resident_bytes.unwrap_or_default(),
        proxy_addr: context.proxy_addr,
        proxy_url: context.proxy_url(),
        needs_restart: context.needs_restart.load().iter().map(|&name| name.to_owned()).collect(),
        environment: context.environment.clone(),
    };
    let settings = context.settings.load();
    let mut issues = context.state.issues();
    add_losses(context, &mut issues);
    let waiting = context.state.waiting();
    convert::status(&settings, &context.state.view(), context.state.requests(), waiting, &process, issues)
}

/// Lines that could not be written, unless the state has reported them already.
fn add_losses(context: &Context, issues: &mut Vec<Issue>) {
    let logs =
        [("trace.jsonl", &context.trace), ("kmi.log", &context.app_log), ("proxy.out", &context.daemon_log)];
    if issues.iter().any(|issue| issue.kind == "log_loss") {
        return;
    }
    issues.extend(logs.into_iter().filter_map(|(name, log)| convert::log_loss(name, log.lost())));
}

pub(in super::super) async fn reload(context: &Context, peer: Peer) -> Result<Reloaded, RpcError> {
    let reloaded = ask(context, |reply| Command::Reload { reply }).await?;
    if !reloaded.refused {
        let changed = reloaded.changed.join(",");
        audit(context, peer, &Change { action: "reloaded", to: Some(&changed), ..Change::default() });
    }
    Ok(convert::reloaded(reloaded))
}

pub(in super::super) async fn check_upstreams(context: &Context) -> Result<UpstreamChecks, RpcError> {
    Ok(convert::upstream_checks(ask(context, |reply| Command::CheckUpstreams { reply }).await?))
}

pub(in super::super) async fn restart(context: &Context, peer: Peer) -> Result<Restarted, RpcError> {
    match ask(context, |reply| Command::Restart { reply }).await? {
        Ok((pid, version)) => {
            // The line goes to the new kmid, which writes from here on.
            audit(context, peer, &Change { action: "restarted", to: Some(&version), ..Change::default() });
            Ok(Restarted { pid, version })
        }
        Err(error) => Err(convert::restart_failed(&error)),
    }
}

pub(in super::super) fn stop(params: &StopParams) -> Reply {
    Reply::Stop { force: params.force }
}

/// The second half of `daemon.stop`, after its answer.
pub(in super::super) async fn carry_out_stop(context: &Context, force: bool, peer: Peer) {
    audit(context, peer, &Change::of(if force { "stop_forced" } else { "stopped" }));
    if context.commands.send(Command::Stop { force }).await.is_err() {
        tracing::debug!("asked to end while ending");
    }
}
