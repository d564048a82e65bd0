#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kmid_config::settings::FileLimit;
use kmid_core::pool::Rules;
use kmid_core::pool::snapshot::Snapshot;

use super::*;
use crate::instance;
use crate::line_log::RecordLog;

#[test]
fn the_program_is_the_file_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let there = folder.path().join("kmid");
    std::fs::write(&there, "").unwrap();
    assert_eq!(program(&there), there);
    let replaced = folder.path().join("kmid (deleted)");
    assert_eq!(program(&replaced), there);
    // A file may really be called that.
    std::fs::write(&replaced, "").unwrap();
    assert_eq!(program(&replaced), replaced);
    assert_eq!(program(Path::new("/nowhere/kmid")), Path::new("/nowhere/kmid"));
}

#[test]
fn what_is_said_reads_back() {
    let yours = Yours {
        in_flight: vec![("0123456789ab".parse().unwrap(), 3)],
        owns_socket: true,
        behind: 1,
        held: Held::default(),
    };
    let text = serde_json::to_string(&FromOld::Yours(yours)).unwrap();
    let FromOld::Yours(back) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
    assert_eq!((back.in_flight.len(), back.in_flight[0].1, back.owns_socket, back.behind), (1, 3, true, 1));
    let text = serde_json::to_string(&FromOld::Tells { what: Late::Done }).unwrap();
    assert!(matches!(serde_json::from_str(&text).unwrap(), FromOld::Tells { what: Late::Done }), "{text}");
    let text = serde_json::to_string(&FromNew::Prepared { version: "1".into(), pid: Some(7) }).unwrap();
    assert!(matches!(serde_json::from_str(&text).unwrap(), FromNew::Prepared { .. }), "{text}");
}

/// What a successor is started from that is this shell script; it leaves its number in the file `pid`.
fn parts(dir: &Path, script: &str, limits: Limits) -> Parts {
    let program = dir.join("kmid");
    let text = format!("#!/bin/sh\necho $$ >'{}'\n{script}\n", dir.join("pid").display());
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let state_dir = dir.join("state");
    instance::prepare(&state_dir, true).unwrap();
    let limit = FileLimit { max_bytes: 1 << 20, backups: 1 };
    let trace = RecordLog::open(state_dir.join("trace.jsonl"), limit).unwrap();
    let line_log = |name: &str| LineLog::open(state_dir.join(name), limit).unwrap();
    let files = Files { trace: trace.lines(), app: line_log("kmi.log"), daemon: line_log("proxy.out") };
    let state_file = state_dir.join("state.json");
    Parts {
        program,
        args: Vec::new(),
        detached: false,
        listeners: Vec::new(),
        instance: Arc::new(Instance::acquire(&state_dir).unwrap()),
        state: State::start(Rules::default(), Snapshot::default(), &state_file, trace).unwrap(),
        state_dir,
        files,
        owns_socket: true,
        behind: 0,
        held: Held::default(),
        limits,
        give_up: CancellationToken::new(),
    }
}

/// For a shell on a busy machine, and to be waited for.
const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);
const PREPARED: &str = r#"printf '{"new":"prepared","version":"9.9.9"}\n' >&0"#;

#[tokio::test]
async fn one_that_hangs_is_ended_and_the_old_one_goes_on() {
    // It says nothing; it takes nothing; it takes all and does not serve.
    let hangs = "exec sleep 1000".to_owned();
    let deaf = format!("{PREPARED}; exec sleep 1000");
    let silent = format!("{PREPARED}; read lock; read yours; exec sleep 1000");
    let before = Limits { prepare: SHORT, serve: LONG };
    let after = Limits { prepare: LONG, serve: SHORT };
    for (script, limits) in [(hangs, before), (deaf, after), (silent, after)] {
        let dir = tempfile::tempdir().unwrap();
        let parts = parts(dir.path(), &script, limits);
        let (state, files, instance) =
            (Arc::clone(&parts.state), parts.files.clone(), Arc::clone(&parts.instance));
        let error = hand_over(parts).await.unwrap_err();
        assert!(error.to_string().contains("it was not ready after 0.2 s"), "{script}: {error}");
        let RestartError::Failed(why) = error else { panic!("{error}") };
        assert_eq!(why.code, "restart_not_ready", "a reason has a code, for other languages");
        // It is gone, and not only told to go. Before its first word it may have been too early for that file.
        if let Ok(pid) = std::fs::read_to_string(dir.path().join("pid")) {
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "{script}: {pid} is there");
        }
        let lock = std::fs::read_to_string(dir.path().join("state/kmid.lock")).unwrap();
        assert_eq!(lock.trim(), std::process::id().to_string(), "{script}");
        assert!(instance.share().is_ok());
        // It writes, and at once what a person changes.
        let saved = state.unblock(None).await;
        assert!(saved.is_ok(), "{script}: {saved:?}");
        files.app.push("a line".to_owned());
        files.app.flush().await;
        let lines = std::fs::read_to_string(dir.path().join("state/kmi.log")).unwrap();
        assert_eq!(lines, "a line\n", "{script}");
    }
}

#[tokio::test]
async fn one_that_is_slow_to_go_holds_up_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let holder = dir.path().join("holder");
    // The conversation stays open in another process: whether the successor has gone cannot be seen.
    let script = format!(
        "exec 3<&0; sleep 1000 & echo $! >'{}'\nsleep 1000 3<&- &\n\
         printf '{{\"new\":\"started\",\"pid\":%s}}\\n' $! >&0; exec sleep 1000",
        holder.display()
    );
    let parts = parts(dir.path(), &script, Limits { prepare: Duration::from_secs(1), serve: LONG });
    // What else runs on this thread has its turn at each beat, unless something holds it up.
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    let (mut longest, mut last) = (Duration::ZERO, std::time::Instant::now());
    let mut work = std::pin::pin!(hand_over(parts));
    let result = loop {
        let result = tokio::select! {
            result = &mut work => Some(result),
            _ = beat.tick() => None,
        };
        longest = longest.max(last.elapsed());
        last = std::time::Instant::now();
        if let Some(result) = result {
            break result;
        }
    };
    let pid: i32 = std::fs::read_to_string(holder).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let error = result.unwrap_err().to_string();
    assert!(error.contains("it was not ready after 1 s"), "{error}");
    // It is waited for 5 s.
    assert!(longest < Duration::from_secs(3), "all else stood still for {longest:?}");
}
