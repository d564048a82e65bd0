//! From the daemon's own types to those of the wire. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::daemon::{
    AccountSlots, CacheStatus, DaemonStatus, Issue, KeyCounts, PolicyStatus, ProxyStatus, QueueStatus,
    Reloaded, RequestCounts, RotationStatus, SessionStatus, Status, Upstream, UpstreamCheck, UpstreamChecks,
};
use kmi_proto::methods::keys::{ConfiguredClient, Errors, Key, KeyList, Tokens, Window};
use kmi_proto::methods::quota::{Failed, Refreshed};
use kmid_config::settings::Settings;
use kmid_core::door::names::Names;
use kmid_core::kimi::quota::Quota;
use kmid_core::kimi::usage;
use kmid_core::pool::outage::UpstreamView;
use kmid_core::pool::view::{FigureView, KeyState, KeyView, PoolView};
use kmid_core::say;
use kmid_core::time::Time;

use crate::client_config::Configured;
use crate::command;
use crate::handover::RestartError;
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
    pub(super) proxy_url: String,
    pub(super) needs_restart: Vec<String>,
    pub(super) environment: BTreeMap<String, Option<String>>,
}

pub(super) fn status(
    settings: &Settings,
    view: &PoolView,
    requests: RequestTotals,
    waiting: usize,
    process: &Process,
    issues: Vec<command::Issue>,
) -> Status {
    let seconds = |duration: Option<Duration>| duration.map_or(0, |duration| duration.as_secs());
    let daemon_log = settings.state_dir.join("logs").join("proxy.out");
    let all_tokens = view.keys.iter().fold(usage::Tokens::default(), |sum, key| sum.plus(key.tokens));
    Status {
        mode: if settings.dry_run { "dry-run" } else { "live" }.to_owned(),
        proxy: ProxyStatus {
            running: true,
            host: process.proxy_addr.ip().to_string(),
            port: process.proxy_addr.port(),
            url: process.proxy_url.clone(),
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
            needs_restart: process.needs_restart.clone(),
            environment: process.environment.clone(),
        },
        requests: RequestCounts {
            total: requests.total,
            in_flight: requests.in_flight,
            failed: requests.failed,
        },
        queue: QueueStatus {
            length: waiting,
            most: settings.queue_max,
            max_wait_seconds: settings.queue_max_wait.as_secs(),
        },
        accounts: accounts(view),
        sessions: SessionStatus { affinity: settings.session_affinity, known: view.sessions },
        tokens: tokens(all_tokens),
        cache_share: all_tokens.cache_share(),
        upstreams: upstreams(view),
        issues: issues.into_iter().map(issue).collect(),
    }
}

/// Why there was no restart.
pub(super) fn restart_failed(error: &RestartError) -> RpcError {
    let kind = match error {
        RestartError::Unsupported | RestartError::Elsewhere(_) => Kind::Unsupported,
        RestartError::Managed | RestartError::Held(_) => Kind::Managed,
        RestartError::UnderWay | RestartError::TooManyBehind(_) => Kind::Busy,
        RestartError::BadSettings(_) | RestartError::Failed(_) | RestartError::NotSaved(_) => {
            Kind::RestartFailed
        }
    };
    RpcError::said(kind, error.said())
}

/// Where clients on this machine find the proxy, also one that listens on all addresses; with TLS, and then `names` of
/// its certificate, under a name that they believe.
pub(super) fn proxy_url(base_path: &str, bound: SocketAddr, names: Option<Names>) -> String {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if names.is_some() { "https" } else { "http" };
    let host = names.unwrap_or_default().host(ip);
    format!("{scheme}://{host}:{}{base_path}", bound.port())
}

fn upstreams(view: &PoolView) -> Vec<Upstream> {
    let one = |upstream: &UpstreamView| Upstream {
        host: upstream.host.clone(),
        breaker: upstream.breaker.name().to_owned(),
        until: upstream.until.map(|time| time.to_string()),
        trouble: upstream.trouble.map(|trouble| trouble.name().to_owned()),
        status: upstream.last.and_then(|last| last.status),
    };
    view.upstreams.iter().map(one).collect()
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

/// The keys by account; one whose account is not known stands for itself.
fn accounts(view: &PoolView) -> Vec<AccountSlots> {
    let owner = |key: &KeyView| key.reading.as_ref().and_then(|(quota, _)| quota.account.clone());
    let mut accounts: Vec<(Option<String>, AccountSlots)> = Vec::new();
    for key in &view.keys {
        let owner = owner(key);
        let known = accounts.iter_mut().find(|(other, _)| owner.is_some() && *other == owner);
        if let Some((_, account)) = known {
            account.keys.push(key.label.to_string());
            continue;
        }
        let (in_flight, cap, ramp) = (key.account_in_flight, key.cap, key.ramp);
        accounts.push((owner, AccountSlots { keys: vec![key.label.to_string()], in_flight, cap, ramp }));
    }
    accounts.into_iter().map(|(_, account)| account).collect()
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
        policy: view.policy.name().to_owned(),
        estimated_empty_at: view.empty_at.map(|time| time.to_string()),
    }
}

pub(super) fn key_list(
    view: &PoolView,
    now: Time,
    issues: Vec<command::Issue>,
    clients: Vec<Configured>,
) -> KeyList {
    let keys = view.keys.iter().enumerate().map(|(place, one)| key(one, view.active == Some(place), now));
    let about_keys = issues.into_iter().filter(|issue| issue.kind == "key_file").map(issue);
    let clients = clients.into_iter().map(|client| ConfiguredClient {
        client: client.client.name().to_owned(),
        path: client.path.display().to_string(),
        provider: client.provider,
        fingerprint: client.fingerprint.map(|fingerprint| fingerprint.to_string()),
        points_at_kmid: client.points_at_kmid,
        token_accepted: client.token_accepted,
        connected: client.connected,
        model: client.model,
        max_context_size: client.max_context_size,
        provider_type: client.provider_type,
        problem: client.problem.as_ref().map(ToString::to_string),
        problem_said: client.problem,
    });
    KeyList {
        keys: keys.collect(),
        issues: about_keys.collect(),
        clients: clients.collect(),
        upstreams: upstreams(view),
    }
}

fn key(key: &KeyView, active: bool, now: Time) -> Key {
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
        cap: Some(key.cap),
        errors: Errors {
            e401: key.errors.e401,
            e403: key.errors.e403,
            e429: key.errors.e429,
            e5xx: key.errors.e5xx,
        },
        tokens: tokens(key.tokens),
        cache_share: key.tokens.cache_share(),
        sessions: key.sessions,
        windows: key.figures.iter().map(|figure| window(figure, quota, now)).collect(),
        refresh_error: key.refresh_error.as_ref().map(ToString::to_string),
        refresh_error_said: key.refresh_error.clone(),
    }
}

fn tokens(tokens: usage::Tokens) -> Tokens {
    Tokens { input: tokens.input, cached: tokens.cached, output: tokens.output }
}

/// The API's own numbers are those of the last reading.
fn window(view: &FigureView, quota: Option<&Quota>, now: Time) -> Window {
    let figure = &view.figure;
    let read = quota.and_then(|quota| quota.windows.iter().find(|window| window.name == figure.name));
    Window {
        name: figure.name.clone(),
        limit: read.and_then(|window| window.limit),
        used: read.and_then(|window| window.used),
        percent_left: figure.left_percent,
        resets_at: figure.resets_at.map(|time| time.to_string()),
        read_at: figure.as_of.to_string(),
        source: figure.source.name().to_owned(),
        age_seconds: now.since(figure.as_of).as_secs(),
        stale: view.stale,
        burn_percent_per_hour: figure.burn,
        estimated_empty_at: figure.empty_at.map(|time| time.to_string()),
    }
}

pub(super) fn issue(issue: command::Issue) -> Issue {
    Issue {
        kind: issue.kind.to_owned(),
        level: if issue.error { "error" } else { "warn" }.to_owned(),
        subject: issue.subject,
        said: issue.message,
    }
}

/// An issue for lines that never reached their file.
pub(super) fn log_loss(file: &str, lost: u64) -> Option<command::Issue> {
    let message = say!(lines_lost, count = lost);
    (lost > 0).then(|| command::Issue { kind: "log_loss", error: false, subject: file.to_owned(), message })
}

pub(super) fn reloaded(reloaded: command::Reloaded) -> Reloaded {
    Reloaded {
        changed: reloaded.changed,
        needs_restart: reloaded.needs_restart,
        issues: reloaded.issues.into_iter().map(issue).collect(),
    }
}

pub(super) fn upstream_checks(found: Option<Vec<command::Reach>>) -> UpstreamChecks {
    let check = |reach: command::Reach| UpstreamCheck {
        host: reach.host,
        reachable: reach.reachable,
        tls: reach.tls,
        clock_skew_seconds: reach.clock_skew_seconds,
        error: reach.error.as_ref().map(ToString::to_string),
        error_said: reach.error,
    };
    UpstreamChecks {
        skipped: found.is_none().then(|| "dry_run".to_owned()),
        upstreams: found.unwrap_or_default().into_iter().map(check).collect(),
    }
}

pub(super) fn refreshed(results: Vec<(String, Result<(), command::QuotaRefused>)>) -> Refreshed {
    let mut refreshed = Refreshed::default();
    for (label, result) in results {
        match result {
            Ok(()) => refreshed.refreshed.push(label),
            Err(refused) => refreshed.failed.push(Failed {
                label,
                error: refused.said.to_string(),
                error_said: Some(refused.said),
                status: refused.status,
            }),
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
        Refused::Leaving => Kind::Stopping,
        Refused::NotSaved(_) => Kind::NotSaved,
    };
    let first = view.keys.iter().filter(|key| !key.state.serves()).filter_map(|key| key.until).min();
    let retry_at = first.filter(|_| kind == Kind::NoneServes).map(|time| time.to_string());
    RpcError::said(kind, refused.said()).retry_at(retry_at)
}

#[cfg(test)]
#[path = "convert_tests.rs"]
pub(super) mod tests;
