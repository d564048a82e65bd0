//! What the daemon knows, and whether its proxy answers.

use std::path::Path;
use std::time::Duration;

use kmi_proto::client::ClientError;
use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::{Issue, Status};
use kmi_proto::methods::keys::{ConfiguredClient, Key, KeyList, ListParams};
use kmid_config::env;
use kmid_core::said::Arg;

use super::{Check, quoted, to_be_set, upstreams};
use crate::app::App;
use crate::connect::{self, Daemon, VERSION};
use crate::http::{Answer, Caller};
use crate::output::View;
use crate::output::time::parse;
use crate::{settings, tr};

/// How long the proxy may take for `/models`, which may go to the upstream.
const PROXY_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) fn check(app: &App, client: &mut Daemon) -> Vec<Check> {
    let status = match client.ask::<typed::DaemonStatus>(&Empty {}) {
        Ok(status) => status,
        Err(error) => return vec![unanswered(app, error)],
    };
    let view = app.view();
    let mut checks = of_status(&view, &status);
    checks.push(proxy(app, &status));
    checks.extend(upstreams::check(app, client));
    checks.extend(upstreams::of_breakers(&view, &status));
    match client.ask::<typed::KeysList>(&ListParams::default()) {
        Ok(list) => {
            checks.extend(of_keys(&view, &list, &status));
            checks.extend(of_clients(&view, &list, settings::rotation_writes(&status)));
        }
        Err(error) => checks.push(unanswered(app, error)),
    }
    checks
}

fn unanswered(app: &App, error: ClientError) -> Check {
    let failure = connect::failure(app, error);
    Check::fail("daemon", failure.what, failure.next.unwrap_or_default())
}

/// The process, its version, its sources and its own complaints.
pub(super) fn of_status(view: &View<'_>, status: &Status) -> Vec<Check> {
    let messages = view.messages;
    let daemon = &status.daemon;
    let mut checks = vec![Check::ok(
        "daemon",
        tr!(
            messages,
            "doctor-running",
            version = daemon.version.as_str(),
            pid = daemon.pid.to_string(),
            span = view.span(daemon.uptime_seconds)
        ),
    )];
    checks.push(if daemon.version == VERSION {
        Check::ok("version", tr!(messages, "doctor-same-version", version = VERSION))
    } else {
        let theirs = daemon.version.as_str();
        let detail = tr!(messages, "doctor-version-skew", ours = VERSION, theirs = theirs);
        Check::warn("version", detail, tr!(messages, "next-restart")).and_run("kmi proxy-restart")
    });
    let none = tr!(messages, "doctor-none");
    checks.push(Check::ok(
        "sources",
        tr!(
            messages,
            "doctor-sources",
            env = daemon.env_file.as_deref().unwrap_or(&none),
            auths = daemon.auths_dir.as_deref().unwrap_or(&none),
            state = daemon.state_dir.as_str(),
        ),
    ));
    checks.push(if status.mode == "live" {
        Check::ok("mode", view.word("mode", &status.mode))
    } else {
        let check = Check::warn("mode", tr!(messages, "doctor-dry-run"), tr!(messages, "doctor-dry-run-fix"));
        to_be_set(messages, check, daemon, (&env::DRY_RUN, "0", "kmi proxy-restart"))
    });
    // Key files are told with the keys.
    checks.extend(
        status.issues.iter().filter(|issue| issue.kind != "key_file").map(|issue| complaint(view, issue)),
    );
    checks
}

/// Whether the key directory is missing, which is no fault of a file's.
pub(crate) fn has_no_directory(issue: &Issue) -> bool {
    match issue.said.code.as_ref() {
        "no_key_directory" => true,
        "key_directory_unreadable" => {
            matches!(issue.said.args.get("why"), Some(Arg::Said(why)) if why.code == "io_not_found")
        }
        _ => false,
    }
}

fn complaint(view: &View<'_>, issue: &Issue) -> Check {
    let name = match issue.kind.as_str() {
        "settings" => "settings",
        "log_loss" => "logs",
        "key_file" => "key_files",
        "certificate" => "certificate",
        _ => "state",
    };
    let detail = format!("{}: {}", issue.subject, view.messages.said(&issue.said));
    let without_directory = has_no_directory(issue);
    let about = if without_directory { "key-directory".to_owned() } else { name.replace('_', "-") };
    let fix = view.messages.find(&format!("doctor-{about}-fix")).unwrap_or_default();
    let check =
        if issue.level == "error" { Check::fail(name, detail, fix) } else { Check::warn(name, detail, fix) };
    match (name, issue.said.args.get("run")) {
        ("settings", _) => check.and_run("kmid --check-config"),
        ("state", _) => check.and_run("kmi proxy-logs --app --no-follow"),
        ("key_files", _) if without_directory => check.and_run("kmi keys add"),
        // The rights of a key file.
        ("key_files", Some(Arg::Text(run))) => {
            let path = quoted(Path::new(&issue.subject));
            check.and_run(format!("{run} {path}"))
        }
        _ => check,
    }
}

/// Keys, their files, their states and the age of their readings.
pub(super) fn of_keys(view: &View<'_>, list: &KeyList, status: &Status) -> Vec<Check> {
    let messages = view.messages;
    let mut checks: Vec<Check> = list.issues.iter().map(|issue| complaint(view, issue)).collect();
    if list.keys.is_empty() {
        let fix = tr!(messages, "doctor-no-keys-fix");
        checks.push(Check::fail("keys", tr!(messages, "doctor-no-keys"), fix).and_run("kmi keys add"));
        return checks;
    }
    let serving = list.keys.iter().filter(|key| matches!(key.state.as_str(), "ready" | "warn")).count();
    checks.push(if serving == 0 {
        Check::fail("keys", tr!(messages, "doctor-none-serves"), tr!(messages, "doctor-none-serves-fix"))
            .and_run("kmi health")
    } else {
        Check::ok("keys", tr!(messages, "health-serving", count = serving, total = list.keys.len()))
    });
    for key in list.keys.iter().filter(|key| key.state == "blocked") {
        let reason = key.reason.as_deref().map_or_else(String::new, |reason| view.word("reason", reason));
        let detail = tr!(messages, "doctor-blocked", key = key.label.as_str(), reason = reason);
        let fix = tr!(messages, "doctor-blocked-fix");
        checks.push(Check::warn("keys", detail, fix).and_run("kmi doctor --recheck-keys"));
    }
    checks.extend(readings(view, list, status));
    checks
}

fn readings(view: &View<'_>, list: &KeyList, status: &Status) -> Vec<Check> {
    let messages = view.messages;
    let every = status.cache.usage_refresh_seconds;
    if every == 0 {
        let check = Check::warn("quota", tr!(messages, "cache-off"), tr!(messages, "doctor-quota-off-fix"));
        let usual = env::USAGE_CACHE_SECONDS.default;
        let setting = (&env::USAGE_CACHE_SECONDS, usual, "kmi proxy-reload");
        return vec![to_be_set(messages, check, &status.daemon, setting)];
    }
    // Two rounds may be missed before a reading counts as old.
    let old = i64::try_from(every.saturating_mul(2).saturating_add(60)).unwrap_or(i64::MAX);
    let mut checks = Vec::new();
    for key in list.keys.iter().filter(|key| key.state != "disabled") {
        let label = key.label.as_str();
        let error = messages.one_said(key.refresh_error_said.as_ref(), key.refresh_error.as_deref());
        let detail = match (newest(key), &error) {
            (None, Some(why)) => tr!(messages, "doctor-quota-failed", key = label, why = why.as_str()),
            (None, None) => tr!(messages, "doctor-quota-none", key = label),
            (Some(time), _) if view.now.as_second() - time.as_second() > old => {
                tr!(messages, "doctor-quota-old", key = label, when = view.relative(time))
            }
            _ => continue,
        };
        let fix = tr!(messages, "doctor-quota-fix");
        checks.push(Check::warn("quota", detail, fix).and_run("kmi health --refresh"));
    }
    if checks.is_empty() {
        checks.push(Check::ok("quota", tr!(messages, "doctor-quota-fresh")));
    }
    checks
}

fn newest(key: &Key) -> Option<jiff::Timestamp> {
    key.windows.iter().filter_map(|window| parse(&window.read_at)).max()
}

/// Asks for the model list as a client would; any answer that is kmid's shows that the way is open.
fn proxy(app: &App, status: &Status) -> Check {
    let messages = &app.messages;
    let url = status.proxy.url.as_str();
    if url.starts_with("https:") {
        // The certificate is the person's own; kmi carries no TLS to check it with.
        return Check::ok("proxy", tr!(messages, "doctor-proxy-tls", url = url));
    }
    let token = settings::access(status.daemon.env_file.as_deref()).token;
    // It stands where only kmid sees it: that it is asked for shows that the proxy answers.
    let unseen = settings::unseen_token(&status.daemon).is_some();
    let caller = Caller::new(PROXY_TIMEOUT, token);
    match caller.get(&format!("{url}/models")) {
        Ok(answer) if !answer.is_from_kmid() => Check::fail(
            "proxy",
            tr!(messages, "doctor-proxy-other", url = url),
            tr!(messages, "doctor-proxy-other-fix"),
        ),
        Ok(answer) if answer.status.is_success() || (unseen && asks_for_token(&answer)) => {
            Check::ok("proxy", tr!(messages, "doctor-proxy-ok", url = url))
        }
        // Such requests are in no trace.
        Ok(answer) if asks_for_token(&answer) => Check::warn(
            "proxy",
            tr!(messages, "doctor-proxy-status", url = url, status = answer.status.as_u16().to_string()),
            if answer.is_refusal(401) {
                tr!(messages, "doctor-proxy-token-fix")
            } else {
                tr!(messages, "doctor-proxy-wait-fix")
            },
        ),
        Ok(answer) => Check::warn(
            "proxy",
            tr!(messages, "doctor-proxy-status", url = url, status = answer.status.as_u16().to_string()),
            tr!(messages, "doctor-proxy-status-fix"),
        )
        .and_run("kmi trace --no-follow"),
        Err(error) => Check::fail(
            "proxy",
            tr!(messages, "doctor-proxy-down", url = url, why = error.to_string()),
            tr!(messages, "doctor-proxy-down-fix"),
        )
        .and_run("kmi proxy-restart"),
    }
}

/// Whether a token is missing or wrong; after several wrong ones kmid answers 429, as it does while all keys are busy.
fn asks_for_token(answer: &Answer) -> bool {
    answer.is_refusal(401) || answer.is_refusal(429)
}

/// Where the Kimi clients on this machine point; `rotation_writes` is whether a rotation brings them a key.
pub(super) fn of_clients(view: &View<'_>, list: &KeyList, rotation_writes: bool) -> Vec<Check> {
    if list.clients.is_empty() {
        return vec![Check::ok("clients", tr!(view.messages, "doctor-no-clients"))];
    }
    list.clients.iter().map(|client| of_client(view, client, list, rotation_writes)).collect()
}

fn of_client(view: &View<'_>, client: &ConfiguredClient, list: &KeyList, rotation_writes: bool) -> Check {
    let messages = view.messages;
    let path = client.path.as_str();
    let own = list.keys.iter().find(|key| client.fingerprint.as_ref() == Some(&key.fingerprint));
    let name = client.client.as_str();
    let connect = format!("kmi connect {name}");
    if client.points_at_kmid && client.token_accepted == Some(false) {
        let detail = tr!(messages, "doctor-client-token", path = path);
        let fix = tr!(messages, "doctor-client-token-fix", client = name);
        Check::warn("clients", detail, fix).and_run(connect)
    } else if client.points_at_kmid {
        Check::ok("clients", tr!(messages, "doctor-client-proxy", path = path))
    } else if client.connected && client.problem.is_none() {
        // Whatever it holds now, even one of kmid's keys: the person wanted it to go through the proxy.
        let detail = tr!(messages, "doctor-client-drift", path = path);
        Check::warn("clients", detail, tr!(messages, "doctor-client-drift-fix", client = name))
            .and_run(connect)
    } else if let Some(key) = own {
        Check::ok("clients", tr!(messages, "doctor-client-key", path = path, key = key.label.as_str()))
    } else if let Some(why) = messages.one_said(client.problem_said.as_ref(), client.problem.as_deref()) {
        let detail = tr!(messages, "doctor-client-problem", path = path, why = why);
        Check::warn("clients", detail, tr!(messages, "doctor-client-problem-fix")).and_run("kmi kimi")
    } else {
        let detail = tr!(messages, "doctor-client-other", path = path);
        match rotation_writes {
            true => {
                Check::warn("clients", detail, tr!(messages, "doctor-client-other-fix")).and_run("kmi rotate")
            }
            false => Check::warn("clients", detail, tr!(messages, "doctor-client-other-kept-fix"))
                .and_run("kmi kimi"),
        }
    }
}
