//! Settings that change under a service: it is said what no longer fits, and nothing ends for it.

use kmi_tests::harness::Request;
use kmi_tests::harness::user_manager::UserManager;
use kmi_tests::harness::wait::eventually;
use serde_json::{Value, json};

fn write(manager: &UserManager, more: &str) {
    let settings = format!("KMI_PROXY_LISTEN={}\nKMI_PAYMENT_BLOCK_SECONDS=1\n{more}", manager.proxy());
    manager.home.write(".kmi/.env", settings);
}

/// What `kmi doctor` says of the service.
async fn doctor(manager: &UserManager) -> Vec<Value> {
    let checks = manager.kmi(&["--json", "doctor"]).await.json();
    checks["checks"].as_array().unwrap().iter().filter(|check| check["name"] == "service").cloned().collect()
}

#[tokio::test]
async fn an_address_that_moved_needs_an_install_and_no_restart() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let pid = manager.pid().await;
    let moved = "127.0.0.2:23459";
    manager.home.write(".kmi/.env", format!("KMI_PROXY_LISTEN={moved}\nKMI_PAYMENT_BLOCK_SECONDS=1\n"));
    for command in [&["service", "restart"][..], &["proxy-restart"]] {
        let refused = manager.kmi(command).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        for word in [&manager.proxy().to_string(), moved, "`kmi service install`"] {
            assert!(refused.err.contains(word), "{word}: {refused:?}");
        }
        assert_eq!(manager.pid().await, pid, "{command:?}");
    }
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
    // kmid waits for a moment of quiet before it reads a file that was changed.
    eventually("kmid to see the change", || async {
        manager.kmi(&["status"]).await.out.contains("puts it in force").then_some(())
    })
    .await;
    for (command, word) in [("status", "puts it in force"), ("proxy-reload", "KMI_PROXY_LISTEN")] {
        let said = manager.kmi_does(&[command]).await.out;
        assert!(said.contains("`kmi service install`") && said.contains(word), "{said}");
        assert!(!said.contains("proxy-restart"), "{said}");
    }
    let checks = doctor(&manager).await;
    assert_eq!(checks.len(), 1, "{checks:?}");
    assert_eq!((&checks[0]["level"], &checks[0]["fix"]), (&json!("warn"), &json!("kmi service install")));
    assert!(checks[0]["detail"].as_str().unwrap().contains(moved), "{checks:?}");

    manager.kmi_does(&["service", "stop"]).await;
    let refused = manager.kmi(&["service", "start"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("`kmi service install`"), "{refused:?}");
    let installed = manager.kmi_does(&["--json", "service", "install"]).await.json();
    assert_eq!(installed["url"], format!("http://{moved}/kmi-rotor/v1"));
    let before = manager.pid().await;
    manager.kmi_does(&["service", "restart"]).await;
    assert_ne!(manager.pid().await, before);
    assert_eq!(doctor(&manager).await[0]["level"], "ok");
}

#[tokio::test]
async fn an_address_that_the_unit_was_given_by_hand_fits() {
    let Some(mut manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let moved = "127.0.0.2:23460";
    manager.home.write(
        ".config/systemd/user/kmid.service.d/own.conf",
        format!("[Service]\nEnvironment=KMI_PROXY_LISTEN={moved} SSL_CERT_FILE=/ca.pem\n"),
    );
    let socket = format!("[Socket]\nListenStream=\nListenStream={moved}\n");
    manager.home.write(".config/systemd/user/kmid.socket.d/own.conf", socket);
    manager.kmi_does(&["service", "stop"]).await;
    manager.systemctl(&["daemon-reload"]).await;
    manager.kmi_does(&["service", "start"]).await;
    manager.kmi_does(&["service", "restart"]).await;
    assert_eq!(manager.status().await["proxy"]["url"], format!("http://{moved}/kmi-rotor/v1"));
    assert_eq!(doctor(&manager).await[0]["level"], "ok");
    // An install goes along with it, and does not ask for what is there already.
    manager.home.set("SSL_CERT_FILE", "/ca.pem");
    manager.home.set("SSL_CERT_DIR", "/certs");
    let would = manager.kmi_does(&["--json", "service", "install", "--dry-run"]).await.json();
    assert_eq!(would["left_behind"], json!(["SSL_CERT_DIR"]));
    let socket = would["files"][1]["content"].as_str().unwrap();
    assert!(socket.contains(&format!("ListenStream={moved}\n")), "{socket}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named_by_every_command() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    write(&manager, "KMI_PROXY_DRAIN_SECONDS=soon\n");
    let refused = manager.kmi(&["service", "restart"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("\"soon\" is not allowed") && !refused.err.contains('\u{fffd}'),
        "{refused:?}"
    );
    manager.systemctl(&["stop", "kmid.service"]).await;
    let start = ["--user", "start", "kmid.service"];
    let started = manager.run(std::path::Path::new("/bin/systemctl"), &start).await;
    assert_eq!(started.code, 1, "{started:?}");
    assert_eq!(manager.property("kmid.socket", "ActiveState").await, "active", "systemd still listens");

    let service = manager.kmi(&["--json", "service", "status"]).await;
    let said = &service.json()["service"];
    assert_eq!((service.code, &said["activity"], &said["exit_status"]), (3, &json!("failed"), &json!(64)));
    let words = manager.kmi(&["service", "status"]).await;
    assert!(words.out.contains("its settings cannot be used: `kmi doctor`"), "{words:?}");
    // Looking starts nothing: the socket would give up after a few such starts.
    for (command, code) in [(&["status"][..], 3), (&["--no-start", "health"], 3)] {
        let refused = manager.kmi(command).await;
        assert_eq!(refused.code, code, "{refused:?}");
        assert!(refused.err.contains("settings cannot be used") && refused.err.contains("kmi doctor"));
    }
    let status = manager.kmi(&["--json", "status"]).await.json();
    let proxy = &status["proxy"];
    assert_eq!((&proxy["starts_on_request"], &proxy["settings_unusable"]), (&json!(false), &json!(true)));
    let checks = doctor(&manager).await;
    assert_eq!((checks.len(), &checks[0]["level"]), (1, &json!("fail")), "{checks:?}");
    let doctor_says = manager.kmi(&["doctor"]).await.out;
    assert!(doctor_says.contains("KMI_PROXY_DRAIN_SECONDS: \"soon\"") && !doctor_says.contains("no keys"));
    assert_eq!(manager.property("kmid.socket", "ActiveState").await, "active", "nothing was started");

    for command in [&["proxy"][..], &["service", "start"], &["service", "restart"], &["health"]] {
        let refused = manager.kmi(command).await;
        assert_eq!(refused.code, 2, "{command:?}: {refused:?}");
        assert!(refused.err.contains("settings cannot be used"), "{command:?}: {refused:?}");
        assert!(refused.err.contains("`kmi doctor` shows which"), "{command:?}: {refused:?}");
    }
    write(&manager, "");
    manager.kmi_does(&["service", "start"]).await;
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
    assert_eq!(doctor(&manager).await[0]["level"], "ok");
}

#[tokio::test]
async fn the_memory_that_the_service_may_take_follows_the_setting() {
    let Some(manager) = UserManager::start().await else { return };
    write(&manager, "KMI_PROXY_REPLAY_TOTAL_MB=1000\n");
    manager.kmi_does(&["service", "install"]).await;
    let mib = |count: u64| (count << 20).to_string();
    assert_eq!(manager.property("kmid.service", "MemoryHigh").await, mib(2256));
    assert_eq!(manager.property("kmid.service", "MemoryMax").await, mib(2512));
    assert_eq!(manager.property("kmid.service", "TasksMax").await, "256");
    assert_eq!(doctor(&manager).await[0]["level"], "ok");
    write(&manager, "KMI_PROXY_REPLAY_TOTAL_MB=2000\n");
    let checks = doctor(&manager).await;
    assert_eq!((&checks[0]["level"], &checks[0]["fix"]), (&json!("warn"), &json!("kmi service install")));
    assert!(checks[0]["detail"].as_str().unwrap().contains("KMI_PROXY_REPLAY_TOTAL_MB"), "{checks:?}");
    manager.kmi_does(&["service", "install"]).await;
    assert_eq!(manager.property("kmid.service", "MemoryMax").await, mib(4512));
    assert_eq!(doctor(&manager).await[0]["level"], "ok");
}

#[tokio::test]
async fn a_service_that_ends_before_it_answers_says_how() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    manager.systemctl(&["stop", "kmid.service"]).await;
    let broken = "[Service]\nExecStart=\nExecStart=/bin/false\n";
    manager.home.write(".config/systemd/user/kmid.service.d/own.conf", broken);
    manager.systemctl(&["daemon-reload"]).await;
    let failed = manager.kmi(&["plan"]).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.err.contains("exit-code, status 1") && failed.err.contains("kmi service logs"),
        "{failed:?}"
    );
    let checks = doctor(&manager).await;
    assert!(["warn", "fail"].contains(&checks[0]["level"].as_str().unwrap()), "{checks:?}");
}
