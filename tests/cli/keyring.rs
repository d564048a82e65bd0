//! `kmi keys add --keyring`: with a stand-in for the keyring's tool, and with a real keyring where one is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::cli;
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::files::containing;
use kmi_tests::harness::home::Home;
use kmi_tests::harness::require::or_skip;
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Request, Setup};
use kmi_tests::upstream::Upstream;
use serde_json::{Value, json};

/// What `secret-tool` does, with a folder as the keyring; while a file `locked` is there it answers as without a session.
const STAND_IN: &str = r#"#!/bin/sh
folder=$(dirname "$0")/keyring
if [ -e "$folder/locked" ]; then
    echo "secret-tool: Cannot autolaunch D-Bus without X11 \$DISPLAY" >&2
    exit 1
fi
verb=$1
for name in "$@"; do :; done
case $verb in
store) cat >"$folder/$name" ;;
lookup) [ -e "$folder/$name" ] && cat "$folder/$name" ;;
clear) rm -f "$folder/$name" ;;
esac
"#;

/// A HOME whose PATH has the stand-in first.
fn with_stand_in(setup: Setup) -> Setup {
    let bin = setup.home().program("bin/secret-tool", STAND_IN);
    let bin = bin.parent().unwrap();
    fs::create_dir(bin.join("keyring")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    setup.env("PATH", &path)
}

async fn add(home: &Home, label: &str) -> cli::Ran {
    let args = ["keys", "add", "--label", label, "--keyring", "--json"];
    cli::run(home, &binaries().kmi, &args, &format!("{}\n", key_of(label))).await
}

#[tokio::test]
async fn the_file_holds_only_the_name_and_requests_go_out_with_the_key() {
    let upstream = Upstream::start().await;
    let daemon = with_stand_in(Setup::live(&upstream)).start().await;
    let ran = add(&daemon.home, "alpha").await;
    assert_eq!((ran.code, &ran.json()["check"]), (0, &json!("good")), "{ran:?}");
    let file = fs::read_to_string(daemon.home.auths_dir().join("alpha.env")).unwrap();
    assert!(file.starts_with("KMI_API_KEY_KEYRING=alpha-") && file.lines().count() == 1, "{file}");
    assert_eq!(daemon.send(Request::get("/models")).await.key(), Some("alpha"));
    // The stand-in's own folder is where it belongs.
    let found = containing(daemon.home.path(), &key_of("alpha"));
    assert!(!found.is_empty());
    assert!(found.iter().all(|path| path.starts_with(daemon.home.path().join("bin/keyring"))), "{found:?}");
    // The same key again is noticed, also without asking the daemon.
    let again = cli::run(
        &daemon.home,
        &binaries().kmi,
        &["keys", "add", "--label", "beta", "--keyring"],
        &format!("{}\n", key_of("alpha")),
    )
    .await;
    assert!(again.code == 1 && again.err.contains("alpha"), "{again:?}");
}

#[tokio::test]
async fn a_keyring_that_cannot_be_reached_is_said_with_what_to_do() {
    let daemon = with_stand_in(Setup::dry_run()).start().await;
    assert_eq!(add(&daemon.home, "alpha").await.code, 0);
    let folder = daemon.home.path().join("bin/keyring");
    fs::write(folder.join("locked"), "").unwrap();
    let ran = add(&daemon.home, "beta").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    for part in ["cannot be reached", "without X11", "without --keyring"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert!(!daemon.home.auths_dir().join("beta.env").exists());
    // What the daemon can no longer read it says, and serves with the rest.
    daemon.home.write_key("gamma", &key_of("gamma"));
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    let issue = list["issues"].as_array().unwrap().iter().find(|issue| issue["kind"] == "key_file").unwrap();
    let message = issue["message"].as_str().unwrap();
    for part in ["in the keyring", "cannot be reached", "kmi proxy-restart"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        daemon.send(Request::get("/models")).await.key(),
        Some("alpha"),
        "a locked keyring takes none out"
    );
    assert!(daemon.find_key("gamma").await.is_some());
    fs::remove_file(folder.join("locked")).unwrap();
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    assert!(daemon.find_key("alpha").await.is_some());
    // A name that the keyring does not know.
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    assert!(list["issues"].to_string().contains("holds no key under this name"), "{list}");
}

#[tokio::test]
async fn a_keyring_that_is_unlocked_after_the_start_is_read_by_itself() {
    let setup = with_stand_in(Setup::dry_run());
    let folder = setup.home().path().join("bin/keyring");
    fs::write(folder.join("alpha-1"), key_of("alpha")).unwrap();
    fs::write(folder.join("locked"), "").unwrap();
    setup.home().write_key("beta", &key_of("beta"));
    fs::write(setup.home().auths_dir().join("alpha.env"), "KMI_API_KEY_KEYRING=alpha-1\n").unwrap();
    let daemon = setup.start().await;
    assert!(daemon.find_key("alpha").await.is_none());
    fs::remove_file(folder.join("locked")).unwrap();
    eventually("the keyring to be read", || daemon.find_key("alpha")).await;
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    assert!(!list["issues"].to_string().contains("keyring"), "{list}");
}

#[tokio::test]
async fn without_the_tool_it_is_said_what_to_install() {
    let setup = Setup::dry_run().env("PATH", "/nowhere");
    let home = setup.home();
    let args = ["keys", "add", "--label", "alpha", "--keyring", "--no-start"];
    let ran = cli::run(home, &binaries().kmi, &args, &format!("{}\n", key_of("alpha"))).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let tool = if cfg!(target_os = "macos") { "security" } else { "secret-tool" };
    assert!(ran.err.contains(&format!("{tool} is not installed")), "{}", ran.err);
    assert!(!home.auths_dir().exists());
}

fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// The session's sockets belong to the HOME, too.
fn with_runtime_dir() -> Home {
    let home = Home::new();
    let dir = home.path().join("run");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    home.env("XDG_RUNTIME_DIR", dir)
}

/// GNOME Keyring in a session of its own, unlocked with a made-up password.
#[tokio::test]
async fn a_real_keyring() {
    let programs = ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"];
    let there = cfg!(target_os = "linux") && programs.into_iter().all(is_installed);
    if !or_skip(there, "dbus-run-session, gnome-keyring-daemon or secret-tool is not installed") {
        return;
    }
    let home = with_runtime_dir();
    let (kmi, kmid) = (binaries().kmi.display().to_string(), binaries().kmid.display().to_string());
    let script = r#"
        printf 'made-up password' | gnome-keyring-daemon --unlock --components=secrets >/dev/null || exit 90
        "$1" keys add --label alpha --keyring --no-start >&2 || exit 91
        "$2" --detach || exit 92
        "$1" keys list --json
        "$1" proxy-stop -y -f >&2"#;
    let args = ["--", "sh", "-c", script, "sh", &kmi, &kmid];
    let ran = cli::run(&home, Path::new("dbus-run-session"), &args, &format!("{}\n", key_of("alpha"))).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let list: Value = ran.json();
    let fingerprint = kmid_core::key::Fingerprint::of(&kmid_core::key::Secret::new(&key_of("alpha")));
    assert!(list.to_string().contains(&fingerprint.to_string()), "{list}");
    assert!(containing(&home.auths_dir(), &key_of("alpha")).is_empty());
    eventually("the end of kmid", || async { (!home.socket().exists()).then_some(()) }).await;
}
