//! `kmi service`: what it writes, says and leaves.

use std::path::Path;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::user_manager::UserManager;
use kmi_tests::harness::{Request, Setup, cli};
use serde_json::json;

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
    assert!(installed.out.contains("to undo this: `kmi service uninstall`"), "{installed:?}");
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
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    let unit = manager.units().join("kmid.service");
    let text = std::fs::read_to_string(&unit).unwrap().replace("MemoryMax=1024M", "MemoryMax=2G");
    std::fs::write(&unit, &text).unwrap();
    for command in ["install", "uninstall"] {
        let refused = manager.kmi(&["service", command]).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("somebody changed") && refused.err.contains("--yes"), "{refused:?}");
        assert_eq!(std::fs::read_to_string(&unit).unwrap(), text);
    }
    manager.kmi_does(&["service", "install", "--yes"]).await;
    assert!(std::fs::read_to_string(&unit).unwrap().contains("MemoryMax=1024M"));
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
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["proxy"]).await;
    let before = manager.status().await["daemon"]["pid"].clone();
    // That a kmid runs makes no service: the same answer in words and as JSON.
    for args in [&["service", "status"][..], &["--json", "service", "status"]] {
        assert_eq!(manager.kmi(args).await.code, 3, "{args:?}");
    }
    let installed = manager.kmi_does(&["--json", "service", "install"]).await;
    assert!(installed.err.contains("runs already, not as a service"), "{installed:?}");
    assert_ne!(installed.json()["pid"], before);
    assert_eq!(manager.request(Request::get("/models")).await.status, 200);
}

#[tokio::test]
async fn a_start_makes_way_as_an_install_does() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    for command in ["start", "restart"] {
        manager.kmi_does(&["service", "stop"]).await;
        let started = manager.run(&binaries().kmid, &["--detach", "--no-folder"]).await;
        assert_eq!(started.code, 0, "{started:?}");
        let stranger = manager.status().await["daemon"]["pid"].clone();
        let words = manager.kmi(&["service", "status"]).await.out;
        assert!(words.contains(&format!("another kmid answers (pid {stranger})")), "{words}");
        let done = manager.kmi_does(&["--json", "service", command]).await;
        assert!(done.err.contains(&format!("kmid (pid {stranger}) runs already")), "{done:?}");
        assert_eq!(done.json()["pid"], manager.pid().await);
        assert_eq!(manager.request(Request::get("/models")).await.status, 200);
    }
    // A program that is not kmid is named, not stopped.
    manager.kmi_does(&["service", "stop"]).await;
    let _taken = std::net::TcpListener::bind(manager.proxy()).unwrap();
    for command in [&["service", "start"][..], &["service", "restart"], &["proxy"]] {
        let refused = manager.kmi(command).await;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("cannot be listened on"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_nothing_is_left_waiting() {
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
    let refused = cli::kmi(setup.home(), &["--json", "service", "status"]).await;
    assert_eq!((refused.code, &refused.json()["service"]["file"]), (3, &json!(null)), "{refused:?}");
    assert!(!setup.home().path().join(".config").exists());
}

#[tokio::test]
async fn what_a_service_does_not_see_is_named_with_the_place_for_it() {
    let said = |locale: &'static str, variables: &'static [&'static str]| async move {
        let mut setup =
            Setup::dry_run().keys(&["alpha"]).env("PATH", "/nonexistent").env("KMI_LOCALE", locale);
        for name in ["KMI_PROXY_LISTEN", "KMI_DRY_RUN"] {
            setup = setup.without(name);
        }
        for name in variables {
            let value = if *name == "KMI_PROXY_LISTEN" { "127.0.0.1:23457" } else { "1" };
            setup = setup.env(name, value);
        }
        let would = cli::kmi(setup.home(), &["service", "install", "--dry-run"]).await;
        assert_eq!(would.code, 0, "{would:?}");
        would.err
    };
    let one = said("en", &["KMI_PROXY_LISTEN"]).await;
    assert!(one.contains("sets KMI_PROXY_LISTEN, and a service does not see it; put it into"), "{one}");
    assert!(!one.contains("systemctl --user edit"), "{one}");
    let two = said("en", &["KMI_PROXY_LISTEN", "KMI_DRY_RUN"]).await;
    assert!(two.contains("does not see them; put them into"), "{two}");
    // What only the environment can hold is never sent to a settings file.
    let others = said("en", &["SSL_CERT_FILE", "SSL_CERT_DIR"]).await;
    assert!(others.contains("sets SSL_CERT_FILE, SSL_CERT_DIR, and a service does not see them"), "{others}");
    assert!(others.contains("systemctl --user edit kmid") && !others.contains("put them into"), "{others}");
    let russian = said("ru", &["HTTPS_PROXY", "KMI_PROXY_LISTEN"]).await;
    assert!(russian.contains("задана KMI_PROXY_LISTEN, служба её не видит; чтобы она"), "{russian}");
    assert!(
        russian.contains("задана HTTPS_PROXY") && russian.contains("Environment=HTTPS_PROXY="),
        "{russian}"
    );
}

/// Puts units where packages have theirs, for this manager alone.
async fn as_a_package(manager: &UserManager) {
    let home = manager.home.path().display();
    let script = format!(
        "mount -t tmpfs tmpfs /etc/systemd/user && cp {home}/.config/systemd/user/kmid* /etc/systemd/user/"
    );
    let ran = manager.run(Path::new("/bin/sh"), &["-c", &script]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[tokio::test]
async fn the_service_of_a_package_is_switched_off_and_its_files_stay() {
    let Some(manager) = UserManager::start().await else { return };
    manager.kmi_does(&["service", "install"]).await;
    as_a_package(&manager).await;
    // The person's own files go first; those of the package come to light.
    let gone = manager.kmi_does(&["service", "uninstall"]).await;
    assert!(gone.err.contains("/etc/systemd/user/kmid.service is there for all users"), "{gone:?}");
    assert!(!gone.out.contains("no service any more"), "{gone:?}");

    manager.kmi_does(&["service", "start"]).await;
    manager.systemctl(&["enable", "kmid.service"]).await;
    let would = manager.kmi_does(&["--json", "service", "uninstall", "--dry-run"]).await.json();
    assert_eq!(would["shared"], "/etc/systemd/user/kmid.service");
    assert_eq!(would["removed"], json!([]));
    let off = manager.kmi_does(&["service", "uninstall"]).await;
    assert!(off.out.contains("does not start with your session any more"), "{off:?}");
    assert!(off.err.contains("goes with the package"), "{off:?}");
    for unit in UNITS {
        assert_eq!(manager.property(unit, "ActiveState").await, "inactive", "{unit}");
        assert_ne!(manager.property(unit, "UnitFileState").await, "enabled", "{unit}");
    }
    let status = manager.kmi(&["--json", "service", "status"]).await.json();
    assert_eq!(status["service"]["file"], "/etc/systemd/user/kmid.service", "the file stays");
    assert_eq!(status["service"]["enabled"], false);
    assert!(tokio::net::TcpStream::connect(manager.proxy()).await.is_err());
    let doctor = manager.kmi(&["doctor"]).await;
    assert!(doctor.out.contains("does not start kmid with your session"), "{doctor:?}");
}

#[tokio::test]
async fn a_service_of_another_state_directory_is_not_replaced_unasked() {
    let Some(mut manager) = UserManager::start().await else { return };
    let first = manager.kmi_does(&["--json", "service", "install"]).await.json()["pid"].clone();
    let other = manager.home.path().join("other");
    let settings = "KMI_PROXY_LISTEN=127.0.0.2:23458\nKMI_PAYMENT_BLOCK_SECONDS=1\n";
    manager.home.write("other/.env", settings);
    manager.home.set("KMI_STATE_DIR", &other);
    manager.home.set("KMI_AUTHS_DIR", manager.home.auths_dir());
    // A kmid of that directory runs as well, and nobody manages it.
    manager.kmi_does(&["proxy"]).await;
    let stranger = manager.status().await["daemon"]["pid"].clone();
    assert_ne!(stranger, first);

    let refused = manager.kmi(&["service", "install"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let there = manager.home.path().join(".kmi").display().to_string();
    assert!(refused.err.contains(&there) && refused.err.contains("--yes"), "{refused:?}");
    assert_eq!(json!(manager.pid().await), first, "the old service goes on");
    assert_eq!(manager.status().await["daemon"]["pid"], stranger);
    let would = manager.kmi_does(&["--json", "service", "install", "--dry-run"]).await.json();
    assert_eq!(would["replaces"], there);
    // Nor is it removed, and its status does not pass for that of this directory.
    let refused = manager.kmi(&["service", "uninstall"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("does not serve") && refused.err.contains("--yes"), "{refused:?}");
    let status = manager.kmi(&["service", "status"]).await;
    assert!(status.code == 3 && status.err.contains("does not serve"), "{status:?}");
    assert_eq!(json!(manager.pid().await), first);

    let installed = manager.kmi_does(&["--json", "service", "install", "--yes"]).await;
    assert!(installed.err.contains("it is stopped first"), "{installed:?}");
    let installed = installed.json();
    assert_eq!(installed["url"], "http://127.0.0.2:23458/kmi-rotor/v1");
    assert_eq!(installed["pid"], manager.pid().await);
    assert_ne!(installed["pid"], stranger);
    assert!(tokio::net::TcpStream::connect("127.0.0.2:23458").await.is_ok());
    assert!(tokio::net::TcpStream::connect(manager.proxy()).await.is_err(), "nothing of the old one is left");
    let again = manager.kmi_does(&["--json", "service", "install"]).await.json();
    assert_eq!(again["pid"], installed["pid"], "the same service is installed without a question");
}
