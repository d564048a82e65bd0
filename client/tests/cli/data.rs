//! What commands show and ask for.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::daemon::{Answer, Daemon, key, status};
use crate::kmi::{Home, Run, output};

#[test]
fn status_for_people_and_programs() {
    let home = Home::new();
    let daemon = Daemon::new();
    daemon.listen(&home.socket());
    let run = home.kmi("status").code(0);
    assert!(run.out.contains("2 keys") && run.out.contains("alpha"), "{}", run.out);
    assert!(!run.out.contains('\x1b') && !run.out.contains('─'), "piped: {}", run.out);
    assert_eq!(
        home.kmi("status --json").code(0).json(),
        status("http://127.0.0.1:1/kmi-rotor/v1", std::process::id())
    );
}

#[test]
fn health_marks_the_configured_key_and_fails_when_none_serves() {
    let home = Home::new();
    let clients = json!([{"path": "/c", "provider": "p", "fingerprint": key("alpha", "ready")["fingerprint"],
        "points_at_kmid": false, "problem": null}]);
    let keys =
        json!({"keys": [key("alpha", "ready"), key("beta", "ready")], "issues": [], "clients": clients});
    let daemon = Daemon::new().on("keys.list", Answer::Result(keys));
    daemon.listen(&home.socket());

    let json = home.kmi("health --json --refresh").code(0).json();
    let marks: Vec<&Value> = json["keys"].as_array().unwrap().iter().map(|key| &key["configured"]).collect();
    assert_eq!(marks, [&json!(true), &json!(false)]);
    assert_eq!(daemon.heard("keys.list"), [json!({"refresh": true})]);
    let run = home.kmi("--current").code(0);
    assert!(run.out.contains("alpha") && !run.out.contains("beta"), "{}", run.out);

    let home = Home::new();
    Daemon::new()
        .on("keys.list", Answer::Result(json!({"keys": [key("alpha", "cooling")], "issues": []})))
        .listen(&home.socket());
    home.kmi("health").code(1);
    assert!(home.kmi("--current").code(1).err.contains("no Kimi client's config"));

    let home = Home::new();
    let clients = json!([{"path": "/c", "provider": "p", "fingerprint": null, "points_at_kmid": true,
        "problem": null}]);
    let keys =
        json!({"keys": [key("alpha", "ready"), key("beta", "ready")], "issues": [], "clients": clients});
    Daemon::new().on("keys.list", Answer::Result(keys)).listen(&home.socket());
    let run = home.kmi("health --current").code(0);
    assert!(run.out.contains("goes through kmid") && run.out.contains("alpha"), "{}", run.out);
    assert!(!run.out.contains("beta"), "{}", run.out);
}

#[test]
fn rotate_says_what_happened() {
    let home = Home::new();
    let daemon = Daemon::new().on(
        "rotation.rotate",
        Answer::Result(json!({"active": "beta", "previous": "alpha", "rotated": true, "reason": "best",
            "config_written": ["/c"], "warnings": []})),
    );
    daemon.listen(&home.socket());
    let run = home.kmi("rotate --to beta").code(0);
    assert!(
        run.out.starts_with("switched from alpha to beta  it has the most left\n  written: /c\n"),
        "{}",
        run.out
    );
    // That daemon rotates by itself, and does not keep to the choice.
    assert!(run.out.contains("`kmi rotate off`"), "{}", run.out);
    assert_eq!(home.kmi("--rotate --json").code(0).json()["active"], "beta");
    assert_eq!(daemon.heard("rotation.rotate"), [json!({"to": "beta"}), json!({})]);
}

/// An HTTP server that names a key of the list in each answer, one after the other; below `/nope` it has nothing.
pub(crate) fn proxy(labels: &'static [&'static str]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut number = 0;
        for stream in listener.incoming() {
            let mut write = stream.unwrap();
            let mut read = BufReader::new(write.try_clone().unwrap());
            let mut line = String::new();
            let mut status = "200 OK";
            // Requests without bodies: each ends with an empty line.
            while read.read_line(&mut line).is_ok_and(|count| count > 0) {
                if line.starts_with("GET ") {
                    status = if line.contains("/nope") { "404 Not Found" } else { "200 OK" };
                }
                if line == "\r\n" {
                    let label = labels[number % labels.len()];
                    number += 1;
                    let body = r#"{"data":[{"id":"kimi-for-coding","context_length":262144}]}"#;
                    let head = format!(
                        "x-kmi-request-id: r\r\nx-kmi-key: {label}\r\ncontent-length: {}",
                        body.len()
                    );
                    write.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}").as_bytes()).unwrap();
                }
                line.clear();
            }
        }
    });
    format!("http://{address}/kmi-rotor/v1")
}

fn with_proxy(home: &Home, labels: &'static [&'static str]) -> (Daemon, String) {
    let url = proxy(labels);
    let daemon = Daemon::new()
        .on("daemon.status", Answer::Result(status(&url, std::process::id())))
        .on("rotation.auto", Answer::Result(json!({"enabled": true})));
    daemon.listen(&home.socket());
    (daemon, url)
}

#[test]
fn e2e_measures_the_spread() {
    let home = Home::new();
    with_proxy(&home, &["alpha", "beta"]);
    let report = home.kmi("e2e -n 20 --pause 0 --json").code(0).json();
    assert_eq!(report["keys"], json!({"alpha": 10, "beta": 10}));
    assert_eq!((&report["confidence"], &report["passed"]), (&json!(100.0), &json!(true)));

    let home = Home::new();
    with_proxy(&home, &["alpha", "alpha", "beta"]);
    let report = home.kmi("e2e -n 30 --pause 0 --json").code(1).json();
    assert_eq!(report["keys"], json!({"alpha": 20, "beta": 10}));
    home.kmi("e2e -n 30 --pause 0 --min-confidence 50").code(0);
    let report = home.kmi("e2e -n 30 --window 2 --pause 0 --json --min-confidence 0").code(0).json();
    assert_eq!(report["window"], 2);
}

#[test]
fn e2e_never_passes_when_requests_failed() {
    let home = Home::new();
    with_proxy(&home, &["alpha", "beta"]);
    let report = home.kmi("e2e -n 20 --pause 0 --endpoint /nope --json").code(1).json();
    assert_eq!((&report["answered"], &report["passed"]), (&json!(0), &json!(false)));
    assert_eq!(report["failed"], json!({"http_404": 20}));
    let run = home.kmi("e2e -n 20 --pause 0 --endpoint /nope --min-confidence 0").code(1);
    assert!(run.out.contains("20 answered with status 404") && run.out.contains("FAIL"), "{}", run.out);
}

#[test]
fn automatic_rotation_of_a_proxy_with_tls_is_said_to_be_unchecked() {
    let home = Home::new();
    Daemon::new()
        .on("daemon.status", Answer::Result(status("https://127.0.0.1:1/kmi-rotor/v1", std::process::id())))
        .on("rotation.auto", Answer::Result(json!({"enabled": true})))
        .listen(&home.socket());
    let run = home.kmi("rotate auto").code(0);
    assert!(run.out.contains("is on") && run.out.contains("speaks TLS"), "{}", run.out);
    assert_eq!(home.kmi("rotate auto --json").code(0).json(), json!({"enabled": true, "e2e_skipped": "tls"}));
}

#[test]
fn e2e_without_a_proxy_fails_with_the_reason() {
    let home = Home::new();
    Daemon::new().listen(&home.socket());
    let run = home.kmi("e2e -n 2 --pause 0 --timeout 5").code(1);
    assert!(run.out.contains("2 without an answer from a key: the connection failed"), "{}", run.out);
}

#[test]
fn automatic_rotation_is_checked_afterwards() {
    let home = Home::new();
    with_proxy(&home, &["alpha", "beta"]);
    let mut command = home.command(["rotate", "auto", "--json"]);
    let run = Run::of(output(command.env("KMI_AUTO_ROTATE_E2E", "0"))).code(0);
    assert_eq!(run.json(), json!({"enabled": true}));
    let run = home.kmi("--auto_rotate --json").code(0);
    assert_eq!(run.json()["e2e"]["keys"], json!({"alpha": 25, "beta": 25}));
}

#[test]
fn doctor_names_a_port_that_another_program_holds() {
    let home = Home::new();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = other.local_addr().unwrap();
    home.write(".kmi/.env", &format!("KMI_PROXY_LISTEN={listen}\n"));
    let run = home.kmi("doctor").code(1);
    assert!(run.out.contains(&format!("listens at {listen}: kmid cannot start there")), "{}", run.out);
    assert!(run.out.contains("1 failed, "), "{}", run.out);
    drop(other);
    home.kmi("doctor").code(0);
}

/// The checks of a name, as `(level, detail, fix)`.
fn checks(run: &Run, name: &str) -> Vec<(String, String, String)> {
    let document = run.json();
    let checks = document["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    let text = |check: &serde_json::Value, field: &str| check[field].as_str().unwrap_or_default().to_owned();
    checks.map(|check| (text(check, "level"), text(check, "detail"), text(check, "fix"))).collect()
}

#[test]
fn doctor_sees_what_keeps_the_next_daemon_from_starting() {
    let home = Home::new();
    home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.1:1\n");
    home.write(".kmi/state.json", r#"{"schema_version":3,"keys":"a shape of its own"}"#);
    let run = home.kmi("doctor --json").code(1);
    let found = checks(&run, "state");
    assert!(found.len() == 1 && found[0].0 == "fail" && found[0].1.contains("version 3"), "{found:?}");

    home.write(".kmi/state.json", r#"{"schema_version":2}"#);
    home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.1:1\nKMI_DRY_RUN=xx\n");
    let run = home.kmi("doctor --json").code(1);
    assert!(checks(&run, "state").is_empty(), "{}", run.out);
    let settings = checks(&run, "settings");
    let [(level, detail, fix)] = &settings[..] else { panic!("{settings:?}") };
    assert!(
        level == "fail" && detail.contains("KMI_DRY_RUN") && fix.contains("--check-config"),
        "{settings:?}"
    );
    let daemon = checks(&run, "daemon");
    assert!(daemon[0].2.contains("correct the settings first"), "{daemon:?}");

    // Nobody can make a folder there, not even root.
    if cfg!(target_os = "linux") {
        let mut command = home.command(["doctor", "--json"]);
        let run =
            Run::of(output(command.env("KMI_STATE_DIR", "/proc/kmi").env("KMI_PROXY_LISTEN", "127.0.0.1:1")));
        let found = checks(&run.code(1), "state_dir");
        assert!(found.len() == 1 && found[0].0 == "fail" && found[0].1.contains("/proc "), "{found:?}");
    }
}

#[test]
fn doctor_says_what_to_do_about_a_socket_that_cannot_be_used() {
    let home = Home::new();
    let socket = home.socket();
    std::os::unix::fs::symlink(&socket, &socket).unwrap();
    let run = home.kmi("doctor --json").code(1);
    let found = checks(&run, "daemon");
    assert!(found[0].0 == "fail" && found[0].1.contains("cannot be used"), "{found:?}");
    assert!(found[0].2.contains("the rights of it") && !found[0].2.contains("kmi doctor"), "{found:?}");
}

#[test]
fn doctor_with_and_without_a_daemon() {
    let home = Home::new();
    home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.1:1\n");
    let run = home.kmi("doctor").code(0);
    assert!(run.out.contains("WARN  daemon  not running"), "{}", run.out);
    assert!(run.out.contains("kmid is not running; "), "{}", run.out);
    home.kmi("doctor --recheck-keys").code(1);
    let (daemon, _) = with_proxy(&home, &["alpha"]);
    let json = home.kmi("doctor --json").code(0).json();
    let proxy = json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "proxy").unwrap();
    assert_eq!(proxy["level"], "ok");
    assert!(daemon.heard("keys.unblock").is_empty());

    let home = Home::new();
    let daemon = Daemon::new()
        .on("keys.unblock", Answer::Result(json!({"cleared": ["alpha"]})))
        .on("keys.recheck", Answer::Result(json!({"cleared": [], "still_blocked": ["beta"]})));
    daemon.listen(&home.socket());
    // Nothing listens at the proxy's address.
    let run = home.kmi("doctor --clear-blocklist --recheck-keys").code(1);
    assert!(run.out.contains("OK    blocks cleared  alpha"), "{}", run.out);
    assert!(run.out.contains("still blocked: beta"), "{}", run.out);
    assert!(run.out.contains("FAIL  proxy"), "{}", run.out);
}

#[test]
fn kimi_runs_through_the_proxy() {
    let home = Home::new();
    let (_, url) = with_proxy(&home, &["alpha"]);
    home.script(
        "kimi",
        "#!/bin/sh\n# import kimi_cli\necho \"$KIMI_BASE_URL $KIMI_API_KEY $KIMI_MODEL_NAME $*\"\nexit 7\n",
    );
    let run = home.kmi("kimi -p hello --json").code(7);
    assert_eq!(run.out, format!("{url} kmi kimi-for-coding -p hello --json\n"));
    // With a config file, the person's own model stands.
    std::fs::create_dir_all(home.path().join(".kimi")).unwrap();
    std::fs::write(home.path().join(".kimi/config.toml"), "default_model = \"mine\"\n").unwrap();
    let run = home.kmi("kimi -p hello --json").code(7);
    assert_eq!(run.out, format!("{url} kmi  -p hello --json\n"));
    let script = "#!/bin/sh\n# @moonshot-ai/kimi-code\n\
        echo \"$KIMI_MODEL_NAME $KIMI_MODEL_API_KEY $KIMI_MODEL_BASE_URL $KIMI_MODEL_PROVIDER_TYPE \
        $KIMI_MODEL_MAX_CONTEXT_SIZE $KIMI_BASE_URL\"\nkill -9 $$\n";
    home.script("kimi", script);
    let mut command = home.command(["kimi"]);
    let output = output(command.env("KMI_PROXY_TOKEN", "the-token"));
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&output.status),
        Some(9),
        "it became the client"
    );
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("kimi-for-coding the-token {url} kimi 262144 \n")
    );
    std::fs::remove_dir_all(home.path().join("bin")).unwrap();
    assert!(home.kmi("kimi").code(1).err.contains("no Kimi client was found"));
}

#[test]
fn the_token_comes_from_the_settings_file_of_the_daemon() {
    let home = Home::new();
    let (folder, url) = (home.path().join("project"), proxy(&["alpha"]));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env"), "KMI_PROXY_TOKEN=from-the-file\n").unwrap();
    let mut with_file = status(&url, std::process::id());
    with_file["daemon"]["env_file"] = json!(folder.join(".env"));
    Daemon::new().on("daemon.status", Answer::Result(with_file)).listen(&home.socket());
    home.script("kimi", "#!/usr/bin/env python\nimport kimi_cli\n");
    home.script("python", "#!/bin/sh\necho \"$KIMI_API_KEY\"\n");
    assert_eq!(home.kmi("kimi").code(0).out, "from-the-file\n");
    let run = Run::of(output(home.command(["kimi"]).env("KMI_PROXY_TOKEN", "stronger"))).code(0);
    assert_eq!(run.out, "stronger\n");
    let run = home.kmi("proxy").code(0);
    assert!(run.out.contains("$KMI_PROXY_TOKEN") && !run.out.contains("from-the-file"), "{}", run.out);
}
