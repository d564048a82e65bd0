//! A daemon that answers from a table.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What a method is answered with.
#[derive(Clone)]
pub(crate) enum Answer {
    /// A result.
    Result(Value),
    /// Results, one a call; the last one stays.
    InTurn(Vec<Value>),
    /// An error of this code and kind.
    Refusal(i64, &'static str),
    /// One with a sentence.
    Said(i64, &'static str, Value),
    /// A stream of these notifications after its subscription.
    Stream(Vec<Value>),
    /// An empty result, and then the connection closes.
    Goodbye,
}

/// Methods and their answers.
#[derive(Clone)]
pub(crate) struct Daemon {
    answers: BTreeMap<&'static str, Answer>,
    heard: Arc<Mutex<Vec<Value>>>,
}

impl Daemon {
    /// One that is well and has two keys.
    pub(crate) fn new() -> Self {
        let daemon = Self { answers: BTreeMap::new(), heard: Arc::default() };
        daemon
            .on("daemon.hello", Answer::Result(hello(env!("CARGO_PKG_VERSION"), kmi_proto::hello::PROTOCOL)))
            .on(
                "daemon.status",
                Answer::Result(status("http://127.0.0.1:1/kmi-rotor/v1", std::process::id())),
            )
            .on(
                "keys.list",
                Answer::Result(json!({"keys": [key("alpha", "ready"), key("beta", "ready")], "issues": []})),
            )
    }

    /// Answers a method.
    pub(crate) fn on(mut self, method: &'static str, answer: Answer) -> Self {
        self.answers.insert(method, answer);
        self
    }

    /// Listens until the test ends.
    pub(crate) fn listen(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).unwrap();
        std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let daemon = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let daemon = daemon.clone();
                std::thread::spawn(move || daemon.serve(stream.unwrap()));
            }
        });
    }

    /// The parameters of every call of a method so far.
    pub(crate) fn heard(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|call| call["method"] == method).map(|call| call["params"].clone()).collect()
    }

    /// Ends when the client leaves.
    fn serve(&self, stream: UnixStream) {
        let mut write = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let call: Value = serde_json::from_str(&line).unwrap();
            self.heard.lock().unwrap().push(call.clone());
            let (lines, goes_on) = self.answer(&call);
            for line in lines {
                if writeln!(write, "{line}").is_err() {
                    return;
                }
            }
            if !goes_on {
                return;
            }
        }
    }

    fn answer(&self, call: &Value) -> (Vec<Value>, bool) {
        let id = &call["id"];
        let result = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
        let refusal = |code: i64, kind: &str| {
            json!({"jsonrpc": "2.0", "id": id,
                "error": {"code": code, "message": "said the daemon", "data": {"kind": kind}}})
        };
        match self.answers.get(call["method"].as_str().unwrap()) {
            Some(Answer::Result(value)) => (vec![result(value.clone())], true),
            Some(Answer::InTurn(values)) => {
                let heard = self.heard(call["method"].as_str().unwrap()).len();
                (vec![result(values[heard.min(values.len()) - 1].clone())], true)
            }
            Some(Answer::Refusal(code, kind)) => (vec![refusal(*code, kind)], true),
            Some(Answer::Said(code, kind, said)) => {
                let data = json!({"kind": kind, "said": said});
                let error = json!({"code": code, "message": said["message"], "data": data});
                (vec![json!({"jsonrpc": "2.0", "id": id, "error": error})], true)
            }
            Some(Answer::Goodbye) => (vec![result(json!({}))], false),
            Some(Answer::Stream(events)) => {
                let mut lines = vec![result(json!({"subscription": 1}))];
                lines.extend(events.iter().cloned());
                (lines, true)
            }
            None => (vec![refusal(-32601, "method_not_found")], true),
        }
    }
}

pub(crate) fn hello(version: &str, protocol: u32) -> Value {
    json!({"version": version, "protocol": protocol, "capabilities": [], "pid": 1,
        "started_at": "2026-11-23T09:00:00.000Z"})
}

pub(crate) fn status(url: &str, pid: u32) -> Value {
    json!({
        "mode": "live",
        "proxy": {"running": true, "host": "127.0.0.1", "port": 1, "url": url, "pids": [pid], "daemon_log": "/l"},
        "upstream": "https://api.kimi.com/coding/v1",
        "keys": {"total": 2, "disabled": 0, "blocked": 0, "exhausted": 0},
        "active_key": "alpha",
        "rotation": {"active_index": 0, "rotation_index": 0, "auto_rotate": true, "allowed": true, "mode": "auto",
            "policy": "round-robin", "estimated_empty_at": null},
        "policy": {"strict_usage_check": false, "fail_open_on_empty_cache": true},
        "cache": {"usage_refresh_seconds": 600, "blocklist_recheck_seconds": 3600, "blocklist_max": 3},
        "payment_block_seconds": 3600,
        "last_health_refresh": null,
        "daemon": {"version": env!("CARGO_PKG_VERSION"), "pid": pid, "started_at": "2026-11-23T09:00:00.000Z",
            "uptime_seconds": 5, "rss_bytes": 0, "needs_restart": [], "env_file": null, "auths_dir": null, "state_dir": "/s",
            "needs_restart": []},
        "requests": {"total": 0, "in_flight": 0, "failed": 0},
        "queue": {"length": 0, "most": 0, "max_wait_seconds": 0}, "accounts": [], "upstreams": [],
        "sessions": {"affinity": true, "known": 0},
        "tokens": {"input": 0, "cached": 0, "output": 0}, "cache_share": null,
        "issues": [],
    })
}

pub(crate) fn key(label: &str, state: &str) -> Value {
    json!({"label": label, "state": state, "reason": null, "until": null, "active": label == "alpha",
        "masked": "...wxyz", "fingerprint": format!("{:x<12}", label), "account": null, "email": null,
        "source": "a.env", "base_url": "https://api.kimi.com/coding/v1", "priority": 0, "last_used": null,
        "requests": 0, "in_flight": 0, "cap": null, "errors": {"401": 0, "403": 0, "429": 0, "5xx": 0},
        "windows": [], "refresh_error": null})
}

pub(crate) fn item(item: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": "stream.item", "params": {"subscription": 1, "seq": 0, "item": item}})
}

pub(crate) fn dropped(count: u64) -> Value {
    json!({"jsonrpc": "2.0", "method": "stream.dropped", "params": {"subscription": 1, "count": count}})
}

pub(crate) fn end(reason: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "stream.end", "params": {"subscription": 1, "reason": reason}})
}
