//! The state directory: a socket path too long for the system, no right to write, no room, gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::files::tree;
use kmi_tests::harness::home::Home;
use kmi_tests::harness::require::or_skip;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup, cli};
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test]
async fn a_socket_path_that_is_too_long_is_said_before_anything_is_served() {
    let setup = Setup::dry_run().keys(&["alpha"]);
    let long = setup.home().state_dir().join("s".repeat(120)).join("kmid.sock");
    let (ran, home) = setup.env("KMI_SOCKET", &long.display().to_string()).fails().await;
    assert_eq!(ran.code, 64, "settings that cannot be used: {ran:?}");
    for part in ["KMI_SOCKET", "the system allows", "set KMI_SOCKET or KMI_STATE_DIR to a shorter path"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert!(!long.parent().unwrap().exists());
    // kmi says it in the same words, and does not wait for a socket that cannot be.
    let ran = cli::kmi(&home, &["status"]).await;
    assert!(ran.code != 0 && ran.err.contains("KMI_SOCKET"), "{ran:?}");
}

/// A list of settings or a manual page that is cut short must not pass for a whole one.
#[cfg(target_os = "linux")]
#[test]
fn an_output_without_room_is_an_error() {
    let home = Home::new();
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for args in
        [&["--check-config"][..], &["--help"], &["--version"], &["man", "man"], &["demo", "--requests", "1"]]
    {
        let ran = home.command(&binaries().kmid).args(args).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.code() == Some(1) && said.to_lowercase().contains("standard output: no "),
            "{args:?}: {said}"
        );
    }
}

/// Root may write anywhere, unless it gives that power away.
fn without_the_powers_of_root(setup: Setup) -> Option<Setup> {
    if !rustix::process::geteuid().is_root() {
        return Some(setup);
    }
    const BY: &[&str] = &["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let works = Command::new(BY[0]).args([BY[1], "true"]).status().is_ok_and(|status| status.success());
    or_skip(works, "root cannot give up its powers: no setpriv, or no right to use it")
        .then(|| setup.under(BY))
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_state_directory_without_the_right_to_write_is_said_at_the_start() {
    let Some(setup) = without_the_powers_of_root(Setup::dry_run().keys(&["alpha"])) else { return };
    let state_dir = setup.home().state_dir();
    set_mode(&state_dir, 0o500);
    let (ran, _home) = setup.fails().await;
    set_mode(&state_dir, 0o700);
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["cannot be used", "Permission denied", "check the rights of it"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[tokio::test]
async fn a_state_directory_that_loses_the_right_to_write_is_said_and_the_proxy_goes_on() {
    let Some(setup) = without_the_powers_of_root(Setup::dry_run().keys(&["alpha", "beta"])) else { return };
    let daemon = setup.start().await;
    set_mode(&daemon.home.state_dir(), 0o500);
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let error = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap_err();
    for part in ["in force but could not be saved", "Permission denied", "check the rights of its directory"]
    {
        assert!(error.message.contains(part), "{part}: {error:?}");
    }
    issue(&daemon, "state").await;
    assert_eq!(daemon.send(Request::get("/models")).await.key(), Some("beta"));
    set_mode(&daemon.home.state_dir(), 0o700);
    eventually("the state to be saved", || async {
        let saved = fs::read_to_string(daemon.state_path("state.json")).unwrap_or_default();
        let active = daemon.rpc("daemon.status", json!({})).await.unwrap()["issues"].to_string();
        (!saved.is_empty() && !active.contains("could not be written")).then_some(())
    })
    .await;
}

async fn issue(daemon: &Daemon, kind: &str) -> Value {
    eventually(format!("an issue of kind {kind}"), || async {
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        status["issues"].as_array().unwrap().iter().find(|issue| issue["kind"] == kind).cloned()
    })
    .await
}

/// A small disk of its own, taken away again when the value goes.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new(kilobytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kilobytes}k,mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "kmi-test"]).arg(dir.path()).output();
        let there = mounted.is_ok_and(|ran| ran.status.success());
        or_skip(there, "no right to mount a small disk").then(|| Self(dir))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        while std::io::Write::write(&mut filler, &[b'x'; 4096]).is_ok_and(|written| written > 0) {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// The state on the small disk, all else in the HOME.
fn on(disk: &SmallDisk) -> Setup {
    let setup = Setup::dry_run().keys(&["alpha", "beta"]);
    let (socket, auths) = (setup.home().socket(), setup.home().auths_dir());
    setup
        .env("KMI_STATE_DIR", &disk.path().display().to_string())
        .env("KMI_SOCKET", &socket.display().to_string())
        .env("KMI_AUTHS_DIR", &auths.display().to_string())
}

#[tokio::test]
async fn a_full_disk_is_said_and_the_proxy_goes_on() {
    let Some(disk) = SmallDisk::new(256) else { return };
    let daemon = on(&disk).start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    eventually("the first state", || async { disk.path().join("state.json").exists().then_some(()) }).await;
    let filler = disk.fill();
    let error = daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap_err();
    for part in ["in force but could not be saved", "No space left on device", "free space"] {
        assert!(error.message.contains(part), "{part}: {error:?}");
    }
    issue(&daemon, "state").await;
    // Pages that were taken have a little room left; the lines that no longer fit are counted.
    eventually("lost lines to be counted", || async {
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        status["issues"].to_string().contains("log_loss").then_some(())
    })
    .await;
    // Every file is as it was or whole, and nothing half-written lies about.
    let state: Value = serde_json::from_slice(&fs::read(disk.path().join("state.json")).unwrap()).unwrap();
    assert_eq!(state["schema_version"], 2);
    assert!(tree(disk.path()).iter().all(|path| !path.to_string_lossy().ends_with(".tmp")));

    fs::remove_file(filler).unwrap();
    eventually("the state to be on the disk", || async {
        let state: Value = serde_json::from_slice(&fs::read(disk.path().join("state.json")).ok()?).ok()?;
        state.to_string().contains(&json!(fingerprint("beta")).to_string()).then_some(())?;
        let status = daemon.rpc("daemon.status", json!({})).await.unwrap();
        (!status["issues"].to_string().contains("state.json could not be written")).then_some(())
    })
    .await;
    eventually("the loss to be told in the log", || async {
        daemon.send(Request::get("/models")).await;
        fs::read_to_string(disk.path().join("logs/kmi.log")).ok()?.contains("log_lines_lost").then_some(())
    })
    .await;
    daemon.stopped().await;
}

fn fingerprint(label: &str) -> String {
    kmid_core::key::Fingerprint::of(&kmid_core::key::Secret::new(&key_of(label))).to_string()
}

#[tokio::test]
async fn a_start_on_a_full_or_read_only_disk_says_so() {
    let Some(disk) = SmallDisk::new(64) else { return };
    disk.fill();
    let (ran, _home) = on(&disk).fails().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("has room") && ran.err.contains("No space left"), "{}", ran.err);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.path()).status().unwrap();
    assert!(status.success());
    let (ran, _home) = on(&disk).fails().await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("is writable") && ran.err.contains("Read-only file system"), "{}", ran.err);
}

/// The keys lie elsewhere, so that there is something to serve with.
fn with_keys_elsewhere() -> Setup {
    let setup = Setup::dry_run();
    let keys = setup.home().write("keys/alpha.env", format!("KMI_API_KEY={}\n", key_of("alpha")));
    setup.env("KMI_AUTHS_DIR", &keys.parent().unwrap().display().to_string())
}

#[tokio::test]
async fn a_state_directory_that_is_removed_is_made_anew_while_requests_go_on() {
    let mut daemon = with_keys_elsewhere().start().await;
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    let requests = daemon.key("alpha").await["requests"].as_u64().unwrap();
    fs::remove_dir_all(daemon.home.state_dir()).unwrap();
    assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    // The socket is there again, the pool has forgotten nothing, and the directory is this daemon's.
    let key = eventually("the control socket", || async {
        let mut control = kmi_tests::harness::control::Control::connect(&daemon.home.socket()).await.ok()?;
        control.call("keys.list", json!({})).await.ok()
    })
    .await["keys"][0]
        .clone();
    assert!(key["requests"].as_u64().unwrap() > requests, "{key}");
    eventually("the state and the logs", || async {
        let is_there = |name| daemon.state_path(name).is_file();
        let said = fs::read_to_string(daemon.state_path("logs/kmi.log")).unwrap_or_default();
        let all = ["state.json", "kmid.lock", "trace/trace.jsonl"].into_iter().all(is_there);
        (all && said.contains("state_dir_restored") && said.contains("control_socket_restored")).then_some(())
    })
    .await;
    let second = cli::kmid(&daemon.home, &[]).await;
    assert!(second.code == 75 && second.err.contains(&daemon.pid().to_string()), "{second:?}");
    // The socket that was made anew is the one that is handed over, from hand to hand, and goes with the last one.
    for _ in 0..2 {
        let ran = daemon.kmi(&["proxy-restart"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        daemon.followed().await;
        daemon.those_before_ended().await;
        assert_eq!(daemon.kmi(&["status"]).await.code, 0);
        assert_eq!(daemon.send(Request::get("/models")).await.status, 200);
    }
    assert_eq!(daemon.kmi(&["proxy-stop"]).await.code, 0);
    assert!(!daemon.home.socket().exists());
}

#[tokio::test]
async fn a_daemon_whose_directory_another_one_has_taken_ends() {
    let mut first = with_keys_elsewhere().start().await;
    first.signal(Signal::STOP);
    fs::remove_dir_all(first.home.state_dir()).unwrap();
    let second = Setup::in_home(std::mem::take(&mut first.home)).start().await;
    first.signal(Signal::CONT);
    assert!(first.ended().await.success());
    // It took nothing of the other one with it.
    assert_eq!(second.rpc("daemon.status", json!({})).await.unwrap()["daemon"]["pid"], second.pid());
    assert_eq!(second.send(Request::get("/models")).await.status, 200);
}
