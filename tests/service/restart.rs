//! `kmi service restart`: another process becomes the service, and systemd goes along.

use std::path::PathBuf;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::user_manager::UserManager;
use kmi_tests::harness::wait::{eventually, within};
use kmi_tests::harness::{Connection, End, Request, programs};
use kmi_tests::upstream::{ANY, Gate, Reply, Upstream};
use serde_json::json;

/// What systemd says of the service, once the reload has ended that a changed file of settings begins.
async fn said(manager: &UserManager) -> [String; 4] {
    eventually("kmid not to reload any more", || async {
        let mut said = Vec::new();
        for name in ["ActiveState", "SubState", "Result", "NRestarts"] {
            said.push(manager.property("kmid.service", name).await);
        }
        <[String; 4]>::try_from(said).ok().filter(|said| said[0] != "reloading")
    })
    .await
}

const GOOD: [&str; 4] = ["active", "running", "success", "0"];

/// Waits until the service consists of this process alone.
async fn is_alone(manager: &UserManager, pid: u32) {
    eventually(format!("process {pid} to be alone"), || async {
        (manager.processes("kmid.service").await == [pid]).then_some(())
    })
    .await;
}

/// Restarts it and returns the new process.
async fn restarted(manager: &UserManager) -> u32 {
    let before = manager.pid().await;
    let ran = manager.kmi_does(&["--json", "service", "restart"]).await.json();
    let pid = manager.pid().await;
    assert_ne!(pid, before);
    assert_eq!(ran["pid"], pid, "{ran}");
    assert_eq!(said(manager).await, GOOD);
    pid
}

fn drop_in(manager: &UserManager, text: &str) {
    manager.home.write(".config/systemd/user/kmid.service.d/test.conf", format!("[Service]\n{text}"));
}

#[tokio::test]
async fn the_new_process_is_the_service() {
    let Some(manager) = UserManager::start().await else { return };
    drop_in(&manager, "WatchdogSec=2\nTimeoutAbortSec=1\nRestartSec=0\n");
    manager.kmi_does(&["service", "install"]).await;
    let line = format!("1 key ready; proxy on {}; dry-run", manager.proxy());
    for _ in 0..2 {
        let pid = restarted(&manager).await;
        is_alone(&manager, pid).await;
        assert_eq!(manager.property("kmid.service", "StatusText").await, line);
        assert_eq!(manager.status().await["daemon"]["pid"], pid);
    }
    // Nobody else is left who could feed the watchdog.
    let pid = manager.pid().await;
    let fed = || async { manager.property("kmid.service", "WatchdogTimestampMonotonic").await };
    for _ in 0..5 {
        let before = fed().await;
        eventually("the watchdog to be fed", || async { (fed().await != before).then_some(()) }).await;
    }
    manager.systemctl(&["reload", "kmid.service"]).await;
    assert_eq!((manager.pid().await, said(&manager).await), (pid, GOOD.map(str::to_owned)));

    // Hung, it is killed as the first one would have been.
    manager.signal(pid, "STOP").await;
    eventually("a new process", || async { (![0, pid].contains(&manager.pid().await)).then_some(()) }).await;
    assert_eq!(manager.property("kmid.service", "NRestarts").await, "1");
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);

    let pid = manager.kmi_does(&["--json", "service", "restart"]).await.json()["pid"].as_u64().unwrap();
    manager.systemctl(&["stop", "kmid.socket", "kmid-control.socket", "kmid.service"]).await;
    assert_eq!(manager.processes("kmid.service").await, [0; 0], "{pid} was to end");
    assert_eq!(said(&manager).await[..3], ["inactive", "dead", "success"]);
    for socket in ["kmid.socket", "kmid-control.socket"] {
        assert_eq!(manager.property(socket, "ActiveState").await, "inactive", "{socket}");
    }
    assert!(!manager.home.socket().exists());
    assert!(tokio::net::TcpStream::connect(manager.proxy()).await.is_err());
}

#[tokio::test]
async fn a_new_process_that_crashes_is_started_again() {
    let Some(manager) = UserManager::start().await else { return };
    drop_in(&manager, "RestartSec=0\n");
    manager.kmi_does(&["service", "install"]).await;
    let pid = restarted(&manager).await;
    is_alone(&manager, pid).await;
    manager.signal(pid, "KILL").await;
    eventually("a new process", || async { (![0, pid].contains(&manager.pid().await)).then_some(()) }).await;
    assert_eq!(manager.property("kmid.service", "NRestarts").await, "1");
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
}

/// Both programs in a folder of their own, where one can be replaced. Returns kmi.
fn copied(manager: &UserManager) -> PathBuf {
    let bin = manager.home.path().join("bin");
    for program in [&binaries().kmi, &binaries().kmid] {
        programs::copy(program, &bin.join(program.file_name().unwrap()));
    }
    bin.join("kmi")
}

#[tokio::test]
async fn a_start_that_fails_leaves_the_service_as_it_was() {
    let Some(manager) = UserManager::start().await else { return };
    let kmi = copied(&manager);
    let kmid = kmi.with_file_name("kmid");
    let installed = manager.run(&kmi, &["service", "install"]).await;
    assert_eq!(installed.code, 0, "{installed:?}");
    let pid = manager.pid().await;
    programs::write(&kmid, b"#!/bin/sh\nexit 3\n");
    let failed = manager.run(&kmi, &["service", "restart"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.err.contains("exit status: 3") && failed.err.contains("goes on serving"), "{failed:?}");
    assert_eq!((manager.pid().await, said(&manager).await), (pid, GOOD.map(str::to_owned)));
    is_alone(&manager, pid).await;
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);

    programs::write(&kmid, std::fs::read(&binaries().kmid).unwrap());
    let done = manager.run(&kmi, &["service", "restart"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    let next = manager.pid().await;
    assert_ne!(next, pid);
    is_alone(&manager, next).await;
}

#[tokio::test]
async fn a_socket_that_systemd_holds_does_not_move() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    for by_a_successor in [false, true] {
        if by_a_successor {
            let pid = restarted(&manager).await;
            is_alone(&manager, pid).await;
        }
        let pid = manager.pid().await;
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        manager.home.write(".kmi/.env", format!("KMI_PROXY_LISTEN={other}\n"));
        let refused = manager.kmi(&["proxy-restart"]).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.err.contains("kmi service install"), "{refused:?}");
        assert_eq!((manager.pid().await, said(&manager).await), (pid, GOOD.map(str::to_owned)));
        assert_eq!(manager.request(Request::get("/models")).await.status, 200);
        manager.home.write(".kmi/.env", format!("KMI_PROXY_LISTEN={}\n", manager.proxy()));
    }
}

#[tokio::test]
async fn a_stop_lets_the_old_process_finish() {
    let upstream = Upstream::start().await;
    let Some(manager) = UserManager::start().await else { return };
    let settings = format!(
        "KMI_PROXY_LISTEN={}\nKMI_DRY_RUN=0\nKMI_UPSTREAM_BASE_URL={}\n",
        manager.proxy(),
        upstream.base_url()
    );
    manager.home.write(".kmi/.env", settings);
    let ca = manager.home.write("ca.pem", upstream.ca_pem());
    drop_in(&manager, &format!("Environment=SSL_CERT_FILE={}\n", ca.display()));
    manager.kmi_does(&["service", "install"]).await;
    let old = manager.pid().await;
    let gate = Gate::closed();
    let reply = Reply::sse().send("data: 1\n\n").wait(&gate).send("data: [DONE]\n\n");
    upstream.next(ANY, "/chat/completions", reply);
    let mut stream = Connection::open(manager.proxy()).await;
    stream.send(&Request::chat_stream()).await;
    let head = stream.head().await;

    let new = restarted(&manager).await;
    assert_eq!(manager.processes("kmid.service").await, [old, new]);
    let stopping = async {
        manager.systemctl(&["stop", "kmid.socket", "kmid-control.socket", "kmid.service"]).await;
    };
    let finishing = async {
        eventually("the stop to be under way", || async {
            manager.property("kmid.service", "StatusText").await.starts_with("stopping").then_some(())
        })
        .await;
        gate.open();
        stream.rest(head).await
    };
    let ((), answer) = within("the stop", async { tokio::join!(stopping, finishing) }).await;
    assert_eq!((answer.status, answer.end), (200, End::Proper), "{answer:?}\n{}", manager.log());
    assert_eq!(manager.processes("kmid.service").await, [0; 0]);
    assert_eq!(said(&manager).await[..3], ["inactive", "dead", "success"]);
    let trace = std::fs::read_to_string(manager.home.state_dir().join("trace/trace.jsonl")).unwrap();
    let trace: serde_json::Value = serde_json::from_str(trace.lines().next().unwrap()).unwrap();
    assert_eq!(trace["outcome"], json!("completed"), "{trace}");
}
