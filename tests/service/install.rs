//! `kmi service`: what it writes, says and leaves.

use std::path::Path;

use kmi_tests::harness::user_manager::UserManager;
use kmi_tests::harness::{Request, Setup, cli};
use serde_json::json;

use super::alone;

const UNITS: [&str; 3] = ["kmid-control.socket", "kmid.service", "kmid.socket"];

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn installed_it_serves_and_uninstalled_it_leaves_nothing() {
    let _alone = alone().await;
    let Some(manager) = UserManager::start().await else { return };
    let missing = manager.kmi(&["service", "status"]).await;
    assert_eq!(missing.code, 3, "{missing:?}");
    assert!(missing.err.contains("kmi service install"), "{missing:?}");

    let would = manager.kmi_does(&["--json", "service", "install", "--dry-run"]).await.json();
    assert_eq!((&would["dry_run"], &would["manager"]), (&json!(true), &json!("systemd")));
    assert_eq!(files(&manager.units()), [""; 0], "a dry run writes nothing");

    let installed = manager.kmi_does(&["service", "install"]).await;
    let proxy = manager.proxy();
    assert!(installed.out.contains(&format!("it serves http://{proxy}/")), "{installed:?}");
    assert!(installed.out.contains("to undo this: kmi service uninstall"), "{installed:?}");
    for file in would["files"].as_array().unwrap() {
        let written = std::fs::read_to_string(file["path"].as_str().unwrap()).unwrap();
        assert_eq!(file["content"], written, "what was written is what was shown");
    }
    for unit in UNITS {
        let path = manager.units().join(unit);
        let args = ["--user", "verify", path.to_str().unwrap()];
        let verified = manager.run(Path::new("/usr/bin/systemd-analyze"), &args).await;
        assert_eq!((verified.code, verified.out.as_str(), verified.err.as_str()), (0, "", ""), "{unit}");
    }
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);

    let both = manager.kmi_does(&["--json", "service", "status"]).await.json();
    let (service, daemon) = (&both["service"], &both["daemon"]);
    assert_eq!((&service["activity"], &service["enabled"]), (&json!("running"), &json!(true)));
    assert_eq!(service["pid"], daemon["daemon"]["pid"]);
    assert_eq!(service["status"], format!("1 key ready; proxy on {proxy}; dry-run"));
    assert_eq!(daemon["proxy"]["port"], proxy.port());
    let words = manager.kmi_does(&["service", "status"]).await.out;
    assert!(
        words.contains("systemd  running  starts with your session") && words.contains("mode"),
        "{words}"
    );
    let doctor = manager.kmi(&["--json", "doctor"]).await.json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "service").unwrap();
    assert_eq!(check["level"], "ok");
    assert!(check["detail"].as_str().unwrap().contains("kmid.service starts kmid"), "{check}");

    let pid = manager.pid().await;
    manager.kmi_does(&["service", "install"]).await;
    assert_eq!(manager.pid().await, pid, "nothing had changed");

    manager.kmi_does(&["service", "uninstall"]).await;
    assert_eq!(files(&manager.home.path().join(".config")), [""; 0]);
    assert!(!manager.home.socket().exists());
    let known = manager.systemctl(&["list-units", "--all", "--no-legend", "kmid*"]).await;
    assert_eq!(known.out, "", "{known:?}");
    assert!(tokio::net::TcpStream::connect(proxy).await.is_err());
    assert_eq!(manager.kmi(&["service", "status"]).await.code, 3);
    assert!(manager.home.auths_dir().join("alpha.env").exists(), "keys stay");
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_not_replaced_unasked() {
    let _alone = alone().await;
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let unit = manager.units().join("kmid.service");
    let text = std::fs::read_to_string(&unit).unwrap().replace("MemoryMax=1G", "MemoryMax=2G");
    std::fs::write(&unit, &text).unwrap();
    for command in ["install", "uninstall"] {
        let refused = manager.kmi(&["service", command]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("somebody changed") && refused.err.contains("--yes"), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&unit).unwrap(), text);
    }
    manager.kmi_does(&["service", "install", "--yes"]).await;
    assert!(std::fs::read_to_string(&unit).unwrap().contains("MemoryMax=1G"));
    let kept = manager.units().join("kmid.service.before-kmi");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), text);
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);

    // What kmi wrote itself is replaced without a question: here the address has moved.
    let old = manager.proxy();
    manager.home.write(".kmi/.env", "KMI_PROXY_LISTEN=127.0.0.2:23456\n");
    let moved = manager.kmi_does(&["--json", "service", "install"]).await.json();
    assert_eq!(moved["url"], "http://127.0.0.2:23456/kmi-rotor/v1");
    assert!(tokio::net::TcpStream::connect(old).await.is_err());
    assert!(tokio::net::TcpStream::connect("127.0.0.2:23456").await.is_ok());
}

#[tokio::test]
async fn a_kmid_that_nobody_manages_makes_way() {
    let _alone = alone().await;
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["proxy"]).await;
    let before = manager.status().await["daemon"]["pid"].clone();
    let installed = manager.kmi_does(&["--json", "service", "install"]).await;
    assert!(installed.err.contains("runs already, not as a service"), "{installed:?}");
    assert_ne!(installed.json()["pid"], before);
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_nothing_is_left_waiting() {
    let _alone = alone().await;
    let Some(manager) = UserManager::start().await else { return };
    let _taken = std::net::TcpListener::bind(manager.proxy()).unwrap();
    let refused = manager.kmi(&["service", "install"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("cannot be listened on"), "{refused:?}");
    let status = manager.kmi(&["--json", "service", "status"]).await.json();
    assert_eq!(status["daemon"], json!(null));
}

#[tokio::test]
async fn without_a_service_manager_it_says_so() {
    let mut setup = Setup::dry_run().keys(&["alpha"]).env("KMI_PROXY_LISTEN", "127.0.0.1:23457");
    setup = setup.env("PATH", "/nonexistent");
    let refused = cli::kmi(setup.home(), &["service", "install"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("no service manager can be reached"), "{refused:?}");
    let would = cli::kmi(setup.home(), &["service", "install", "--dry-run"]).await;
    assert_eq!(would.code, 0, "{would:?}");
    assert!(would.out.contains("would write") && would.err.contains("KMI_PROXY_LISTEN"), "{would:?}");
    for command in ["start", "stop", "restart", "logs", "uninstall", "status"] {
        let refused = cli::kmi(setup.home(), &["service", command]).await;
        assert_eq!(refused.code, 3, "{command}: {refused:?}");
        assert!(refused.err.contains("not installed as a service"), "{command}: {refused:?}");
    }
    assert!(!setup.home().path().join(".config").exists());
}
