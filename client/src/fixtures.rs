//! Fixed data for the tests of what people see.

use jiff::tz::TimeZone;
use kmi_proto::methods::daemon::{Issue, Status};
use kmi_proto::methods::decisions::Decision;
use kmi_proto::methods::keys::KeyList;
use serde_json::json;

use crate::output::View;
use crate::output::locale::{Locale, Messages};
use crate::output::style::Look;

/// The looks that every output is tested in.
pub(crate) const PIPED: Look = Look { color: false, boxes: false, width: None };
pub(crate) const TERMINAL: Look = Look { color: true, boxes: true, width: Some(100) };
pub(crate) const PLAIN: Look = Look { color: false, boxes: false, width: Some(100) };
pub(crate) const NARROW: Look = Look { color: false, boxes: true, width: Some(40) };

/// Renders at noon of a fixed day, three hours east of Greenwich.
pub(crate) fn show(locale: Locale, look: Look, render: impl FnOnce(&View<'_>) -> String) -> String {
    let messages = Messages::new(locale);
    let view = View {
        messages: &messages,
        look,
        now: "2026-11-23T09:00:00Z".parse().expect("a time"),
        zone: TimeZone::fixed(jiff::tz::offset(3)),
    };
    // Escapes are made visible, so that the snapshots show them.
    render(&view).replace('\x1b', "␛")
}

/// The same in every look, each under its name.
pub(crate) fn looks(render: impl Fn(&View<'_>) -> String) -> String {
    [
        ("piped", Locale::En, PIPED),
        ("terminal", Locale::En, TERMINAL),
        ("plain, ru", Locale::Ru, PLAIN),
        ("narrow", Locale::En, NARROW),
        ("narrow, ru", Locale::Ru, NARROW),
    ]
    .map(|(name, locale, look)| format!("== {name}\n{}", show(locale, look, &render)))
    .join("\n")
}

/// Three keys, one cooling, an alert.
pub(crate) fn status() -> Status {
    serde_json::from_value(json!({
        "mode": "dry-run",
        "proxy": {"running": true, "host": "127.0.0.1", "port": 54123,
            "url": "http://127.0.0.1:54123/kmi-rotor/v1", "pids": [4242], "daemon_log": "/home/a/.kmi/logs/proxy.out"},
        "upstream": "https://api.kimi.com/coding/v1",
        "keys": {"total": 3, "disabled": 0, "blocked": 1, "exhausted": 1},
        "active_key": "alpha",
        "rotation": {"active_index": 0, "rotation_index": 7, "auto_rotate": false, "allowed": true, "mode": "failover",
            "policy": "round-robin", "estimated_empty_at": null},
        "policy": {"strict_usage_check": false, "fail_open_on_empty_cache": true},
        "cache": {"usage_refresh_seconds": 600, "blocklist_recheck_seconds": 3600, "blocklist_max": 3},
        "payment_block_seconds": 3600,
        "last_health_refresh": "2026-11-23T08:56:00.000Z",
        "daemon": {"version": "0.1.0", "pid": 4242, "started_at": "2026-11-23T05:55:00.000Z", "uptime_seconds": 11100,
            "rss_bytes": 9_200_000, "env_file": null, "auths_dir": "/home/a/.kmi/_auths", "state_dir": "/home/a/.kmi"},
        "requests": {"total": 1234, "in_flight": 2, "failed": 3},
        "sessions": {"affinity": true, "known": 12},
        "tokens": {"input": 120_000, "cached": 99_600, "output": 8_000}, "cache_share": 0.83,
        "queue": {"length": 0, "most": 256, "max_wait_seconds": 30},
        "accounts": [{"keys": ["alpha"], "in_flight": 1, "cap": 20, "ramp": null}],
        "issues": [issue()],
    }))
    .expect("a status")
}

/// A choice among four: taken, second, cooling, blocked without a reading.
pub(crate) fn decision() -> Decision {
    let windows = |five: f64, week: f64| {
        json!([{"name": "5h", "percent_left": five, "age_seconds": 180, "source": "poll"},
            {"name": "7d", "percent_left": week, "age_seconds": 180, "source": "poll"}])
    };
    serde_json::from_value(json!({"mode": "auto", "policy": "most-left", "placement": "new", "candidates": [
        {"key_label": "alpha", "chosen": true, "state": "ready", "reason": "most_left", "score": 72.4, "priority": 0,
            "in_flight": 2, "cap": 20, "windows": windows(72.4, 91.0)},
        {"key_label": "月之暗面", "chosen": false, "state": "warn", "reason": "most_left", "score": 12.0,
            "priority": 0, "in_flight": 0, "windows": windows(12.0, 64.0)},
        {"key_label": "gamma", "chosen": false, "state": "cooling", "obstacle": "state", "reason": "quota",
            "until": "2026-11-23T11:05:00.000Z", "priority": 0, "in_flight": 0, "windows": windows(0.0, 31.0)},
        {"key_label": "delta", "chosen": false, "state": "ready", "obstacle": "tried", "priority": 0,
            "in_flight": 0, "windows": []}]}))
    .expect("a decision")
}

fn issue() -> Issue {
    Issue {
        kind: "key_file".into(),
        level: "warn".into(),
        subject: "broken.env".into(),
        said: kmid_core::say!(key_missing),
    }
}

/// A ready key, one in another script that cools, and a blocked one without readings.
pub(crate) fn keys() -> KeyList {
    let window = |name: &str, percent: f64, resets_at: &str| {
        json!({"name": name, "limit": 100.0, "used": 100.0 - percent, "percent_left": percent, "resets_at": resets_at,
            "read_at": "2026-11-23T08:57:00.000Z", "source": "poll"})
    };
    let key = |label: &str, fingerprint: &str, state: &str| {
        json!({"label": label, "state": state, "reason": null, "until": null, "active": false, "masked": "...wxyz",
            "fingerprint": fingerprint, "account": null, "email": null, "source": format!("{label}.env"),
            "base_url": "https://api.kimi.com/coding/v1", "priority": 0, "last_used": null, "requests": 0,
            "in_flight": 0, "cap": null, "errors": {"401": 0, "403": 0, "429": 0, "5xx": 0}, "windows": [],
            "refresh_error": null})
    };
    let mut alpha = key("alpha", "0123456789ab", "ready");
    alpha["active"] = json!(true);
    alpha["email"] = json!("anna@example.org");
    alpha["last_used"] = json!("2026-11-23T08:59:55.000Z");
    alpha["requests"] = json!(120);
    alpha["in_flight"] = json!(1);
    alpha["cap"] = json!(20);
    alpha["tokens"] = json!({"input": 1000, "cached": 615, "output": 60});
    alpha["cache_share"] = json!(0.615);
    alpha["sessions"] = json!(1);
    alpha["windows"] = json!([
        window("5h", 62.4, "2026-11-23T11:05:00.000Z"),
        window("7d", 18.0, "2026-11-25T09:00:00.000Z")
    ]);
    let mut beta = key("月之暗面", "aaaaaaaaaaaa", "cooling");
    beta["reason"] = json!("quota");
    beta["until"] = json!("2026-11-23T10:30:00.000Z");
    beta["errors"]["403"] = json!(2);
    beta["errors"]["429"] = json!(1);
    beta["requests"] = json!(1);
    beta["windows"] = json!([window("5h", 0.0, "2026-11-23T10:30:00.000Z")]);
    let mut gamma = key("gamma", "bbbbbbbbbbbb", "blocked");
    gamma["reason"] = json!("invalid_key");
    gamma["refresh_error"] = json!("401: the API refuses the key");
    let client = |path: &str, fingerprint: &str, points_at_kmid: bool, problem: Option<&str>| {
        json!({"path": path, "provider": "kimi-for-coding", "fingerprint": fingerprint,
            "points_at_kmid": points_at_kmid, "problem": problem})
    };
    // It was connected, and holds alpha again.
    let mut drifted = client("/home/d/.kimi-code/config.toml", "0123456789ab", false, None);
    drifted["client"] = json!("kimi-code");
    drifted["connected"] = json!(true);
    // gamma stands in a config that goes through kmid: it is not marked.
    let clients = [
        client("/home/a/.kimi/config.toml", "0123456789ab", false, None),
        client("/home/a/.kimi-code/config.toml", "bbbbbbbbbbbb", true, None),
        client("/home/b/config.toml", "dddddddddddd", false, None),
        client("/home/c/config.toml", "", false, Some("it does not parse as TOML")),
        drifted,
    ];
    serde_json::from_value(json!({"keys": [alpha, beta, gamma], "issues": [issue()], "clients": clients}))
        .expect("keys")
}
