//! From the daemon's own types to those of the wire. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::daemon::{
    CacheStatus, DaemonStatus, Issue, KeyCounts, PolicyStatus, ProxyStatus, Reloaded, RequestCounts,
    RotationStatus, SessionStatus, Status,
};
use kmi_proto::methods::keys::{ConfiguredClient, Errors, Key, KeyList, Tokens, Window};
use kmi_proto::methods::quota::{Failed, Refreshed};
use kmid_config::settings::Settings;
use kmid_core::kimi::usage;
use kmid_core::pool::view::{KeyState, KeyView, PoolView};
use kmid_core::time::Time;

use crate::client_config::Configured;
use crate::command;
use crate::state::{Refused, RequestTotals};

/// What the status tells of the process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) version: &'static str,
    pub(super) pid: u32,
    pub(super) started_at: Time,
    pub(super) now: Time,
    pub(super) rss_bytes: u64,
    pub(super) proxy_addr: SocketAddr,
}

pub(super) fn status(
    settings: &Settings,
    view: &PoolView,
    requests: RequestTotals,
    process: &Process,
    issues: Vec<command::Issue>,
) -> Status {
    let seconds = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_secs());
    let daemon_log = settings.state_dir.join("logs").join("proxy.out");
    let all_tokens = view.keys.iter().fold(usage::Tokens::default(), |sum, key| sum.plus(key.tokens));
    let scheme = if settings.proxy_tls.is_some() { "https" } else { "http" };
    Status {
        mode: if settings.dry_run { "dry-run" } else { "live" }.to_owned(),
        proxy: ProxyStatus {
            running: true,
            host: process.proxy_addr.ip().to_string(),
            port: process.proxy_addr.port(),
            url: format!("{scheme}://{}{}", reachable(process.proxy_addr), settings.proxy_base_path),
            pids: vec![process.pid],
            daemon_log: daemon_log.display().to_string(),
        },
        upstream: settings.upstream_base_url.to_string(),
        keys: key_counts(view),
        active_key: view.active_key().map(|key| key.label.to_string()),
        rotation: rotation(view),
        policy: PolicyStatus {
            strict_usage_check: settings.require_usage_before_request,
            fail_open_on_empty_cache: settings.fail_open_on_empty_cache,
        },
        cache: CacheStatus {
            usage_refresh_seconds: seconds(settings.usage_cache),
            blocklist_recheck_seconds: seconds(settings.blocklist_recheck),
            blocklist_max: settings.blocklist_recheck_max,
        },
        payment_block_seconds: seconds(settings.payment_block),
        last_health_refresh: view.last_refresh.map(|time| time.to_string()),
        daemon: DaemonStatus {
            version: process.version.to_owned(),
            pid: process.pid,
            started_at: process.started_at.to_string(),
            uptime_seconds: process.now.since(process.started_at).as_secs(),
            rss_bytes: process.rss_bytes,
            env_file: settings.env_file.as_ref().map(|path| path.display().to_string()),
            auths_dir: settings.auths_dir.as_ref().map(|path| path.display().to_string()),
            state_dir: settings.state_dir.display().to_string(),
        },
        requests: RequestCounts {
            total: requests.total,
            in_flight: requests.in_flight,
            failed: requests.failed,
        },
        sessions: SessionStatus { affinity: settings.session_affinity, known: view.sessions },
        tokens: tokens(all_tokens),
        cache_share: all_tokens.cache_share(),
        issues: issues.into_iter().map(issue).collect(),
    }
}

/// Where a client on this machine reaches a listener, also one that listens on all addresses.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn key_counts(view: &PoolView) -> KeyCounts {
    let count = |state| view.keys.iter().filter(|key| key.state == state).count();
    KeyCounts {
        total: view.keys.len(),
        disabled: count(KeyState::Disabled),
        blocked: count(KeyState::Blocked),
        exhausted: count(KeyState::Cooling),
    }
}

fn rotation(view: &PoolView) -> RotationStatus {
    let mode = match (view.allowed, view.auto) {
        (false, _) => "manual",
        (true, false) => "failover",
        (true, true) => "auto",
    };
    RotationStatus {
        active_index: view.active.unwrap_or(0),
        rotation_index: view.rotation_index,
        auto_rotate: view.auto,
        allowed: view.allowed,
        mode: mode.to_owned(),
    }
}

pub(super) fn key_list(view: &PoolView, issues: Vec<command::Issue>, clients: Vec<Configured>) -> KeyList {
    let keys = view.keys.iter().enumerate().map(|(place, one)| key(one, view.active == Some(place)));
    let about_keys = issues.into_iter().filter(|issue| issue.kind == "key_file").map(issue);
    let clients = clients.into_iter().map(|client| ConfiguredClient {
        path: client.path.display().to_string(),
        provider: client.provider,
        fingerprint: client.fingerprint.map(|fingerprint| fingerprint.to_string()),
        points_at_kmid: client.points_at_kmid,
        problem: client.problem,
    });
    KeyList { keys: keys.collect(), issues: about_keys.collect(), clients: clients.collect() }
}

fn key(key: &KeyView, active: bool) -> Key {
    let quota = key.reading.as_ref().map(|(quota, _)| quota);
    Key {
        label: key.label.to_string(),
        state: key.state.name().to_owned(),
        reason: key.reason.map(str::to_owned),
        until: key.until.map(|time| time.to_string()),
        active,
        masked: key.masked.clone(),
        fingerprint: key.fingerprint.to_string(),
        account: quota.and_then(|quota| quota.account.clone()),
        email: key.email.clone().or_else(|| quota?.email.clone()),
        source: key.source.clone(),
        base_url: key.base_url.clone(),
        priority: key.priority,
        last_used: key.last_used.map(|time| time.to_string()),
        requests: key.requests,
        in_flight: key.in_flight,
        cap: key.cap,
        errors: Errors {
            e401: key.errors.e401,
            e403: key.errors.e403,
            e429: key.errors.e429,
            e5xx: key.errors.e5xx,
        },
        tokens: tokens(key.tokens),
        cache_share: key.tokens.cache_share(),
        sessions: key.sessions,
        windows: windows(key),
        refresh_error: key.refresh_error.clone(),
    }
}

fn tokens(tokens: usage::Tokens) -> Tokens {
    Tokens { input: tokens.input, cached: tokens.cached, output: tokens.output }
}

fn windows(key: &KeyView) -> Vec<Window> {
    let Some((quota, read_at)) = &key.reading else { return Vec::new() };
    let window = |window: &kmid_core::kimi::quota::Window| Window {
        name: window.name.clone(),
        limit: window.limit,
        used: window.used,
        percent_left: window.percent_left,
        resets_at: window.resets_at.map(|time| time.to_string()),
        read_at: read_at.to_string(),
        source: "poll".to_owned(),
    };
    quota.windows.iter().map(window).collect()
}

pub(super) fn issue(issue: command::Issue) -> Issue {
    Issue {
        kind: issue.kind.to_owned(),
        level: if issue.error { "error" } else { "warn" }.to_owned(),
        subject: issue.subject,
        message: issue.message,
    }
}

/// An issue for lines that never reached their file.
pub(super) fn log_loss(file: &str, lost: u64) -> Option<command::Issue> {
    let message =
        format!("{lost} lines could not be written since the start; check the disk and the permissions");
    (lost > 0).then(|| command::Issue { kind: "log_loss", error: false, subject: file.to_owned(), message })
}

pub(super) fn reloaded(reloaded: command::Reloaded) -> Reloaded {
    Reloaded {
        changed: reloaded.changed,
        needs_restart: reloaded.needs_restart,
        issues: reloaded.issues.into_iter().map(issue).collect(),
    }
}

pub(super) fn refreshed(results: Vec<(String, Result<(), String>)>) -> Refreshed {
    let mut refreshed = Refreshed::default();
    for (label, result) in results {
        match result {
            Ok(()) => refreshed.refreshed.push(label),
            Err(error) => refreshed.failed.push(Failed { label, error }),
        }
    }
    refreshed
}

/// A refusal of the state; when no key can serve, with the time when the first one may again.
pub(super) fn refusal(refused: &Refused, view: &PoolView) -> RpcError {
    let kind = match refused {
        Refused::UnknownLabel { .. } => Kind::UnknownLabel,
        Refused::NoKeys => Kind::NoKeys,
        Refused::Disabled { .. } => Kind::Disabled,
        Refused::NotAllowed => Kind::Policy,
        Refused::NoneServes { .. } => Kind::NoneServes,
        Refused::NotSaved(_) => Kind::NotSaved,
    };
    let first = view.keys.iter().filter(|key| !key.state.serves()).filter_map(|key| key.until).min();
    let retry_at = first.filter(|_| kind == Kind::NoneServes).map(|time| time.to_string());
    RpcError::new(kind, refused.to_string()).retry_at(retry_at)
}

/// Resident memory from the text of `/proc/self/status`, where it stands in kB (proc_pid_status(5), 2026-11).
pub(super) fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.map_or(0, |kilobytes| kilobytes.saturating_mul(1024))
}

#[cfg(test)]
#[path = "convert_tests.rs"]
pub(super) mod tests;
