//! The way to the upstreams: kmi has no TLS, so the daemon tries it.

use kmi_proto::client::ClientError;
use kmi_proto::error::Kind;
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Status, UpstreamCheck, UpstreamChecks};

use super::Check;
use crate::app::App;
use crate::connect::{self, Daemon};
use crate::output::View;
use crate::tr;

/// Seconds of difference that are no reason to worry: a `Date` has whole seconds, and an answer takes its time.
const CLOCK_TOLERANCE: i64 = 30;

/// What puts the clock right.
const CLOCK_FIX: &str = if cfg!(target_os = "macos") {
    "sudo sntp -sS time.apple.com"
} else if cfg!(windows) {
    "w32tm /resync"
} else {
    "sudo timedatectl set-ntp true"
};

pub(super) fn check(app: &App, client: &mut Daemon) -> Vec<Check> {
    connect::patience(client, connect::SLOW);
    let answer = client.ask::<typed::DaemonCheckUpstreams>(&Empty {});
    connect::patience(client, connect::QUICK);
    match answer {
        Ok(found) => of_upstreams(&app.view(), &found),
        Err(ClientError::Rpc(error)) if error.is(Kind::MethodNotFound) => {
            let detail = tr!(app.messages, "doctor-upstream-older");
            vec![
                Check::warn("upstream", detail, tr!(app.messages, "next-restart"))
                    .and_run("kmi proxy-restart"),
            ]
        }
        Err(error) => {
            let failure = connect::failure(app, error);
            vec![Check::fail("upstream", failure.what, failure.next.unwrap_or_default())]
        }
    }
}

pub(super) fn of_upstreams(view: &View<'_>, found: &UpstreamChecks) -> Vec<Check> {
    if found.skipped.is_some() {
        return vec![Check::ok("upstream", tr!(view.messages, "doctor-dry-run-skipped"))];
    }
    found.upstreams.iter().flat_map(|upstream| of_upstream(view, upstream)).collect()
}

fn of_upstream(view: &View<'_>, upstream: &UpstreamCheck) -> Vec<Check> {
    let messages = view.messages;
    let host = upstream.host.as_str();
    let asks = format!("curl -sSI https://{host}/");
    let why = messages.one_said(upstream.error_said.as_ref(), upstream.error.as_deref());
    let why = why.as_deref().unwrap_or_default();
    if !upstream.reachable {
        let detail = tr!(messages, "doctor-upstream-unreachable", host = host, why = why);
        let fix = tr!(messages, "doctor-upstream-unreachable-fix", host = host);
        return vec![Check::fail("upstream", detail, fix).and_run(asks)];
    }
    if !upstream.tls {
        let detail = tr!(messages, "doctor-upstream-tls", host = host, why = why);
        let fix = tr!(messages, "doctor-upstream-tls-fix", host = host);
        return vec![Check::fail("upstream", detail, fix).and_run(format!("curl -sSIv https://{host}/"))];
    }
    let mut checks = vec![if upstream.error.is_some() {
        let detail = tr!(messages, "doctor-upstream-silent", host = host, why = why);
        let fix = tr!(messages, "doctor-upstream-unreachable-fix", host = host);
        Check::warn("upstream", detail, fix).and_run(asks)
    } else {
        Check::ok("upstream", tr!(messages, "doctor-upstream-ok", host = host))
    }];
    checks.extend(upstream.clock_skew_seconds.map(|skew| {
        let span = view.span(skew.unsigned_abs());
        if skew.abs() <= CLOCK_TOLERANCE {
            Check::ok("clock", tr!(messages, "doctor-clock-ok", host = host, span = span))
        } else if skew > 0 {
            let detail = tr!(messages, "doctor-clock-ahead", host = host, span = span);
            Check::warn("clock", detail, CLOCK_FIX).with_command()
        } else {
            let detail = tr!(messages, "doctor-clock-behind", host = host, span = span);
            Check::warn("clock", detail, CLOCK_FIX).with_command()
        }
    }));
    checks
}

/// Upstreams that their breakers keep requests from.
pub(super) fn of_breakers(view: &View<'_>, status: &Status) -> Vec<Check> {
    let messages = view.messages;
    let open = status.upstreams.iter().filter(|upstream| upstream.breaker != "closed");
    let mut checks: Vec<Check> = open
        .map(|upstream| {
            let status = upstream.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            let host = upstream.host.as_str();
            let detail = if upstream.trouble.as_deref() == Some("gate") {
                tr!(messages, "health-upstream-gate", host = host)
            } else {
                tr!(messages, "doctor-breaker-open", host = host, status = status)
            };
            Check::warn("breaker", detail, tr!(messages, "doctor-breaker-open-fix"))
                .and_run("kmi trace --no-follow")
        })
        .collect();
    if checks.is_empty() && !status.upstreams.is_empty() {
        checks.push(Check::ok("breaker", tr!(messages, "doctor-breakers-closed")));
    }
    checks
}
