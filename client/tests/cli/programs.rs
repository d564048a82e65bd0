//! Starting, stopping and becoming other programs.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::daemon::{Answer, Daemon, status};
use crate::kmi::{Home, Run, output, start};

/// The id of a process that has ended.
fn ended() -> u32 {
    let text = output(Command::new("sh").args(["-c", "echo $$"])).stdout;
    String::from_utf8(text).unwrap().trim().parse().unwrap()
}

fn stopping(pid: u32) -> Daemon {
    Daemon::new()
        .on("daemon.status", Answer::Result(status("http://127.0.0.1:1/kmi-rotor/v1", pid)))
        .on("daemon.stop", Answer::Goodbye)
}

#[test]
fn proxy_stop_waits_for_the_end() {
    let home = Home::new();
    let pid = ended();
    let daemon = stopping(pid);
    daemon.listen(&home.socket());
    assert_eq!(home.kmi("proxy-stop").code(0).out, format!("kmid (pid {pid}) has stopped\n"));
    assert_eq!(home.kmi("proxy-stop -f -y --json").code(0).json(), json!({"stopped": true, "pid": pid}));
    assert_eq!(daemon.heard("daemon.stop"), [json!({"force": false}), json!({"force": true})]);
    Home::new().kmi("proxy-stop -y").code(3);
}

/// Its parent, this test, has not yet noticed that it ended.
#[cfg(target_os = "linux")]
#[test]
fn a_process_that_nobody_reaps_has_ended() {
    let home = Home::new();
    let mut child = start(Command::new("cat").stdin(Stdio::piped()));
    stopping(child.id()).listen(&home.socket());
    drop(child.stdin.take());
    home.kmi("proxy-stop -y").code(0);
    child.wait().unwrap();
}

#[test]
fn proxy_restart_keeps_the_paths() {
    let home = Home::new();
    let mut old = status("http://127.0.0.1:1/kmi-rotor/v1", ended());
    old["daemon"]["env_file"] = json!("/e/.env");
    old["daemon"]["auths_dir"] = json!("/e/_auths");
    old["daemon"]["state_dir"] = json!(home.state());
    Daemon::new()
        .on("daemon.status", Answer::Result(old))
        .on("daemon.stop", Answer::Goodbye)
        .listen(&home.socket());
    let script = "#!/bin/sh\necho \"$*\" >\"$HOME/called\"\n";
    home.script("kmid", script);
    let kmi = home.copy();
    let run = Run::of(output(&mut home.command_of(&kmi, ["proxy-restart"]))).code(0);
    assert!(run.out.starts_with("kmid runs again"), "{}", run.out);
    let called = std::fs::read_to_string(home.path().join("called")).unwrap();
    let (state, socket) = (home.state(), home.socket());
    let paths =
        format!("--state-dir {} --socket {} --auths-dir /e/_auths", state.display(), socket.display());
    assert_eq!(called, format!("--detach --no-folder {paths} --found-env-file /e/.env\n"));
}

#[test]
fn settings_that_no_new_kmid_can_use_are_a_matter_of_usage() {
    let home = Home::new();
    let wrong = "KMI_QUEUE_MAX: many is not allowed (from /home/you/.kmi/.env)";
    let message = format!("the settings cannot be used, so no new kmid was started: {wrong}");
    let said = json!({"code": "restart_bad_settings", "message": message, "args": {"list": wrong}});
    Daemon::new().on("daemon.restart", Answer::Said(-32031, "restart_failed", said)).listen(&home.socket());
    let run = home.kmi("proxy-restart").code(2);
    assert!(run.err.starts_with(&format!("error: {message}\n")), "{}", run.err);
    let said = json!({"code": "restart_failed", "args": {"why": "no room"},
        "message": "the new kmid did not start (no room); this one goes on serving"});
    let home = Home::new();
    Daemon::new().on("daemon.restart", Answer::Said(-32031, "restart_failed", said)).listen(&home.socket());
    let run = home.kmi("proxy-restart").code(1);
    assert_eq!(run.err.matches("serv").count(), 1, "{}", run.err);
}

#[test]
fn proxy_in_the_foreground_becomes_the_daemon() {
    let home = Home::new();
    home.script("kmid", "#!/bin/sh\necho \"args: $*\"\nexit 65\n");
    let kmi = home.copy();
    let run = Run::of(output(&mut home.command_of(&kmi, ["proxy", "--foreground"]))).code(65);
    assert_eq!(run.out, "args: \n");
}

/// What a test may impose on the program must not be in what people run.
#[test]
fn only_a_debug_build_can_be_rehearsed() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_kmi")).unwrap();
    for name in ["_KMI_CLOCK", "_KMI_PANIC"] {
        let is_there = program.windows(name.len()).any(|bytes| bytes == name.as_bytes());
        assert_eq!(is_there, cfg!(debug_assertions), "{name}");
    }
}
