//! Daemons with fixed data, for a clock that stands at noon in Moscow on 23 November 2026.

use serde_json::{Value, json};

use crate::daemon::{Answer, Daemon, end, hello, item, key, status};
use crate::data::proxy;
use crate::kmi::{Home, private};

/// The present.
pub(crate) const NOW: &str = "2026-11-23T09:00:00Z";

/// A key to add, and what begins its SHA-256.
pub(crate) const KEY: &str = "sk-kimi-0123456789abcdefghijklmnop";
const ITS_FINGERPRINT: &str = "7ed0d50f1dd1";

/// More than any system's largest process id: nobody is met there.
const PID: u32 = 99_999_999;

/// Of a proxy that nobody asks.
const URL: &str = "http://127.0.0.1:54123/kmi-rotor/v1";

/// No daemon.
pub(crate) fn nobody(_: &Home) {}

/// Three keys in three scripts and states, traffic, an alert.
pub(crate) fn running(home: &Home) {
    daemon(home).listen(&home.socket());
}

/// The same, but it refuses what this table's commands ask for.
pub(crate) fn refusing(home: &Home) {
    daemon(home)
        .on("requests.get", Answer::Refusal(-32014, "unknown_request"))
        .on("usage.get", Answer::Refusal(-32602, "invalid_params"))
        .on("rotation.rotate", Answer::Refusal(-32011, "unknown_label"))
        .on("rotation.auto", Answer::Refusal(-32010, "policy"))
        .on("rotation.plan", Answer::Refusal(-32099, "kind_of_tomorrow"))
        .on("clients.connect", Answer::Refusal(-32010, "policy"))
        .listen(&home.socket());
}

/// One of another version, and one that speaks another protocol.
pub(crate) fn older(home: &Home) {
    let hello = hello("0.0.1", kmi_proto::hello::PROTOCOL);
    daemon(home).on("daemon.hello", Answer::Result(hello)).listen(&home.socket());
}

pub(crate) fn of_tomorrow(home: &Home) {
    let hello = hello("99.0.0", kmi_proto::hello::PROTOCOL + 1);
    daemon(home).on("daemon.hello", Answer::Result(hello)).listen(&home.socket());
}

/// The same, and the proxy answers, with one key and then the other.
pub(crate) fn serving(home: &Home) {
    let status = full_status(&proxy(&["alpha", "月之暗面"]), home);
    daemon(home).on("daemon.status", Answer::Result(status)).listen(&home.socket());
}

/// The same, but one key gets two of three.
pub(crate) fn uneven(home: &Home) {
    let status = full_status(&proxy(&["alpha", "alpha", "月之暗面"]), home);
    daemon(home).on("daemon.status", Answer::Result(status)).listen(&home.socket());
}

/// The same, and the stream of requests stays open.
pub(crate) fn streaming(home: &Home) {
    let events = requests().into_iter().map(item).collect();
    daemon(home).on("requests.tail", Answer::Stream(events)).listen(&home.socket());
}

/// The same, and a key that is seen as soon as its file is there.
pub(crate) fn adding(home: &Home) {
    let mut new = key("work", "ready");
    new["fingerprint"] = json!(ITS_FINGERPRINT);
    new["windows"] = json!([window("5h", 97.0, "2026-11-23T11:05:00.000Z")]);
    let with = list(vec![alpha(), new]);
    daemon(home)
        .on("keys.list", Answer::InTurn(vec![list(vec![alpha()]), with]))
        .on("quota.refresh", Answer::Result(json!({"refreshed": ["work"], "failed": []})))
        .listen(&home.socket());
}

/// No daemon, and its port is one that nobody listens on, whatever else runs on this machine.
pub(crate) fn stopped(home: &Home) {
    nobody(home);
    home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.1:1\n");
}

/// The same, and what is read is a key file.
pub(crate) fn adding_a_file(home: &Home) {
    home.write("input", &format!("# the key of the desk\nKMI_API_KEY={KEY}\nOTHER=1\n"));
    adding(home);
}

/// The same, and what is read is a settings file.
pub(crate) fn with_settings(home: &Home) {
    home.write("input", &format!("OPENAI_API_KEY={KEY}\n"));
    running(home);
}

/// The same, and the API knows no such key, whatever words kmid has for that.
pub(crate) fn adding_a_bad_one(home: &Home) {
    let mut new = key("work", "ready");
    new["fingerprint"] = json!(ITS_FINGERPRINT);
    let with = list(vec![alpha(), new]);
    let mut status = full_status(URL, home);
    status["mode"] = json!("live");
    let failed = json!([{"label": "work", "error": "in other words", "status": 401, "error_said":
        {"code": "quota_answered", "message": "in other words", "args": {"status": "401", "row": "invalid_key"}}}]);
    daemon(home)
        .on("daemon.status", Answer::Result(status))
        .on("keys.list", Answer::InTurn(vec![list(vec![alpha()]), with.clone(), with, list(vec![alpha()])]))
        .on("quota.refresh", Answer::Result(json!({"refreshed": [], "failed": failed})))
        .listen(&home.socket());
}

/// The same, and alpha is gone when the list is asked for again.
pub(crate) fn removing(home: &Home) {
    daemon(home)
        .on("keys.list", Answer::InTurn(vec![list(keys()), list(keys().split_off(1))]))
        .listen(&home.socket());
}

/// The same, and alpha is switched off when the list is asked for again.
pub(crate) fn disabling(home: &Home) {
    let mut off = alpha();
    off["state"] = json!("disabled");
    daemon(home)
        .on("keys.list", Answer::InTurn(vec![list(vec![alpha()]), list(vec![off])]))
        .listen(&home.socket());
}

/// The same, with the log for programs.
pub(crate) fn logging(home: &Home) {
    let line = r#"{"ts":"2026-11-23 11:59:58.000 +0300","level":"WARN","message":"proxy_key_cooling","key":"月之暗面","until":"2026-11-23T10:30:00Z"}"#;
    let lines = vec![item(json!(line)), end("complete")];
    daemon(home).on("logs.tail", Answer::Stream(lines)).listen(&home.socket());
}

/// The same, after its settings file was changed.
pub(crate) fn reloading(home: &Home) {
    let reloaded =
        json!({"changed": ["KMI_LOG_LEVEL", "keys"], "needs_restart": ["KMI_UPSTREAM_HTTP"], "issues": []});
    daemon(home).on("daemon.reload", Answer::Result(reloaded)).listen(&home.socket());
}

/// The same, and a `kmid` on PATH that only says that it started.
pub(crate) fn restarting(home: &Home) {
    home.script("kmid", "#!/bin/sh\nexit 0\n");
    daemon(home).on("daemon.stop", Answer::Goodbye).listen(&home.socket());
}

/// The same, and a Kimi client on PATH.
pub(crate) fn with_client(home: &Home) {
    home.script("kimi", "#!/bin/sh\n# import kimi_cli\necho \"$KIMI_BASE_URL $KIMI_API_KEY $*\"\n");
    serving(home);
}

/// What kmid says of a file that it leaves alone.
const OAUTH: &str = "/home/you/.kimi/config.toml: the provider in use signs in with OAuth and was left alone; to have it \
                     written, set it up with an API key";

fn daemon(home: &Home) -> Daemon {
    let auths = home.state().join("_auths");
    std::fs::create_dir_all(&auths).unwrap();
    private(&auths);
    home.write(".kmi/_auths/alpha.env", "KMI_API_KEY=sk-kimi-alpha-0123456789\n");
    let events = requests().into_iter().map(item).chain([end("complete")]).collect();
    let lines = vec![
        item(json!("2026-11-23 11:59:58.000 +0300 WARN proxy_key_cooling key=月之暗面 reason=quota")),
        item(json!("2026-11-23 11:59:59.000 +0300 INFO proxy_request key=alpha status=200")),
        end("complete"),
    ];
    Daemon::new()
        .on("daemon.status", Answer::Result(full_status(URL, home)))
        .on("daemon.stop", Answer::Goodbye)
        .on("daemon.check_upstreams", Answer::Result(json!({"skipped": "dry_run", "upstreams": []})))
        .on("keys.list", Answer::Result(list(keys())))
        .on(
            "quota.refresh",
            Answer::Result(json!({"refreshed": ["alpha", "月之暗面"], "failed": [
            {"label": "рабочий", "error": "/usages answered 401 (invalid_key)", "status": 401, "error_said": {
                "code": "quota_answered", "message": "/usages answered 401 (invalid_key)",
                "args": {"status": "401", "row": "invalid_key"}}}]})),
        )
        .on(
            "rotation.rotate",
            Answer::Result(json!({"active": "alpha", "previous": "月之暗面", "rotated": true,
            "reason": "best", "config_written": ["/home/you/.kimi-code/config.toml"],
            "warnings": [OAUTH], "warnings_said": [{"code": "of_file", "message": OAUTH, "args": {
                "path": "/home/you/.kimi/config.toml", "said": {"code": "of_part", "message": "-", "args": {
                    "part": {"code": "part_provider", "message": "-"},
                    "why": {"code": "left_oauth", "message": "-"}}}}}]})),
        )
        .on("rotation.auto", Answer::Result(json!({"enabled": true})))
        .on("rotation.plan", Answer::Result(decision()))
        .on("requests.get", Answer::Result(requests().swap_remove(0)))
        .on("requests.tail", Answer::Stream(events))
        .on("logs.tail", Answer::Stream(lines))
        .on("usage.get", Answer::Result(usage()))
        .on("clients.connect", Answer::Result(change("connected")))
        .on("clients.disconnect", Answer::Result(json!({"clients": [change("disconnected")]})))
}

fn full_status(url: &str, home: &Home) -> Value {
    let mut status = status(url, PID);
    status["mode"] = json!("dry-run");
    status["keys"] = json!({"total": 3, "disabled": 0, "blocked": 1, "exhausted": 1});
    status["proxy"]["daemon_log"] = json!(home.state().join("logs/proxy.out"));
    status["last_health_refresh"] = json!("2026-11-23T08:56:00.000Z");
    status["daemon"]["uptime_seconds"] = json!(11_100);
    status["daemon"]["rss_bytes"] = json!(9_200_000);
    status["daemon"]["auths_dir"] = json!(home.state().join("_auths"));
    status["daemon"]["state_dir"] = json!(home.state());
    status["requests"] = json!({"total": 1234, "in_flight": 2, "failed": 3});
    status["queue"] = json!({"length": 1, "most": 256, "max_wait_seconds": 30});
    status["sessions"]["known"] = json!(12);
    status["tokens"] = json!({"input": 120_000, "cached": 99_600, "output": 8_000});
    status["cache_share"] = json!(0.83);
    status["rotation"]["estimated_empty_at"] = json!("2026-11-23T14:30:00.000Z");
    status["issues"] = json!([issue()]);
    status
}

fn issue() -> Value {
    json!({"kind": "key_file", "level": "warn", "subject": "сломанный.env",
        "message": "it has no KMI_API_KEY", "code": "key_missing"})
}

fn list(keys: Vec<Value>) -> Value {
    let client = |name: &str, path: &str, fingerprint: &str, through: bool, connected: bool| {
        json!({"client": name, "path": path, "provider": "p", "fingerprint": fingerprint, "points_at_kmid": through,
            "connected": connected, "model": null, "max_context_size": null, "problem": null})
    };
    let its = |label: &str| key(label, "")["fingerprint"].as_str().unwrap().to_owned();
    json!({"keys": keys, "issues": [issue()], "upstreams": [{"host": "api.kimi.ai", "breaker": "open",
            "until": "2026-11-23T09:00:04.000Z", "trouble": "failure", "status": 503}],
        "clients": [
            client("kimi-code", "/home/you/.kimi-code/config.toml", &its("alpha"), false, false),
            client("kimi-cli", "/home/you/.kimi/config.toml", "", false, true)]})
}

fn keys() -> Vec<Value> {
    let mut cooling = key("月之暗面", "cooling");
    cooling["reason"] = json!("quota");
    cooling["until"] = json!("2026-11-23T10:30:00.000Z");
    cooling["errors"] = json!({"401": 0, "403": 2, "429": 1, "5xx": 0});
    cooling["requests"] = json!(31);
    cooling["windows"] = json!([window("5h", 0.0, "2026-11-23T10:30:00.000Z")]);
    cooling["windows"][0]["source"] = json!("error");
    cooling["source"] = json!("月之暗面.env");
    let mut blocked = key("рабочий", "blocked");
    blocked["reason"] = json!("invalid_key");
    blocked["refresh_error"] = json!("/usages answered 401: Invalid Authentication");
    blocked["source"] = json!("рабочий.env");
    vec![alpha(), cooling, blocked]
}

fn alpha() -> Value {
    let mut alpha = key("alpha", "ready");
    alpha["source"] = json!("alpha.env");
    alpha["email"] = json!("anna@example.org");
    alpha["last_used"] = json!("2026-11-23T08:59:55.000Z");
    alpha["requests"] = json!(1203);
    alpha["in_flight"] = json!(2);
    alpha["cap"] = json!(20);
    alpha["sessions"] = json!(12);
    alpha["tokens"] = json!({"input": 120_000, "cached": 99_600, "output": 8_000});
    alpha["cache_share"] = json!(0.83);
    alpha["windows"] = json!([
        window("5h", 62.4, "2026-11-23T11:05:00.000Z"),
        window("7d", 18.0, "2026-11-25T09:00:00.000Z")
    ]);
    alpha["windows"][0]["source"] = json!("ledger");
    alpha["windows"][0]["estimated_empty_at"] = json!("2026-11-23T10:45:00.000Z");
    alpha
}

fn window(name: &str, percent: f64, resets_at: &str) -> Value {
    json!({"name": name, "limit": 100.0, "used": 100.0 - percent, "percent_left": percent, "resets_at": resets_at,
        "read_at": "2026-11-23T08:57:00.000Z", "source": "poll"})
}

/// Taken, cooling, blocked.
fn decision() -> Value {
    json!({"mode": "auto", "policy": "most-left", "placement": "new", "candidates": [
        {"key_label": "alpha", "chosen": true, "state": "ready", "reason": "most_left", "score": 62.4, "priority": 0,
            "in_flight": 2, "cap": 20, "windows": [
                {"name": "5h", "percent_left": 62.4, "age_seconds": 180, "source": "ledger"},
                {"name": "7d", "percent_left": 18.0, "age_seconds": 180, "source": "poll"}]},
        {"key_label": "月之暗面", "chosen": false, "state": "cooling", "obstacle": "state", "reason": "quota",
            "until": "2026-11-23T10:30:00.000Z", "priority": 0, "in_flight": 0, "windows": [
                {"name": "5h", "percent_left": 0.0, "age_seconds": 90, "source": "error"}]},
        {"key_label": "рабочий", "chosen": false, "state": "blocked", "obstacle": "state", "reason": "invalid_key",
            "priority": 0, "in_flight": 0, "windows": []}]})
}

/// Two attempts, a short one, one that the client left.
fn requests() -> Vec<Value> {
    let request = |id: &str, ts: &str, label: &str, status: u16, outcome: &str| {
        json!({"ts": format!("2026-11-23 {ts} +0300"), "request_id": id, "method": "POST",
            "endpoint": "/chat/completions", "status": status, "latency_ms": 12_340, "ttfb_ms": 420,
            "key_label": label, "key_hash": "0123456789ab", "rotation_index": 1, "session": null, "queue_ms": null,
            "attempts": [{"key_label": label, "status": (status > 0).then_some(status), "outcome": outcome,
                "ms": 12_340}], "prompt_hint": "", "prompt_head": "", "tokens": null, "bytes_up": 51_200,
            "bytes_down": 2048, "error_code": null, "outcome": outcome, "schema_version": 2})
    };
    let mut first = request("36096089eefd36b0", "11:59:40.000", "alpha", 200, "completed");
    first["session"] = json!("0011223344556677");
    first["queue_ms"] = json!(1500);
    first["tokens"] = json!({"input": 51_000, "cached": 48_000, "output": 900});
    first["attempts"] = json!([
        {"key_label": "月之暗面", "status": 403, "outcome": "quota_cycle", "ms": 90},
        {"key_label": "alpha", "status": 200, "outcome": "completed", "ms": 12_000, "decision": decision()}]);
    let mut models = request("36096089eefd36b1", "11:59:50.000", "月之暗面", 200, "completed");
    models["method"] = json!("GET");
    models["endpoint"] = json!("/models");
    models["latency_ms"] = json!(85);
    vec![first, models, request("36096089eefd36b2", "11:59:55.000", "alpha", 0, "client_left")]
}

fn usage() -> Value {
    let sums = |name: &str, [requests, errors, input, cached, output]: [u64; 5]| {
        let share = (input > 0).then(|| cached as f64 / input as f64);
        json!({"name": name, "requests": requests, "errors": errors, "input": input, "cached": cached,
            "output": output, "cache_share": share})
    };
    json!({"by": "key", "since": "2026-11-16T09:00:00.000Z", "zone": "Europe/Moscow", "rows": [
            sums("alpha", [1203, 3, 41_000_000, 38_500_000, 612_000]), sums("月之暗面", [31, 0, 9800, 0, 99_960]),
            sums("рабочий", [1, 1, 0, 0, 0]), sums("", [2, 2, 0, 0, 0])],
        "total": sums("", [1237, 6, 41_009_800, 38_500_000, 711_960])})
}

fn change(outcome: &str) -> Value {
    let [from, to] = ["https://api.kimi.com/coding/v1", URL];
    let place = |name: &str| format!("providers.\"managed:kimi-code\".{name}");
    let (urls, keys) = (("base_url", from, to, 7), ("api_key", "...6789", "kmi", 8));
    let changes: Vec<Value> = [urls, keys]
        .map(|(name, from, to, line)| json!({"place": place(name), "line": line, "from": from, "to": to}))
        .into();
    json!({"client": "kimi-code", "path": "/home/you/.kimi-code/config.toml", "outcome": outcome, "changes": changes,
        "original": (outcome == "connected").then_some("/home/you/.kimi-code/config.toml.before-kmi"),
        "warnings": ["services.moonshot_fetch: it has another host and stays as it is"]})
}
