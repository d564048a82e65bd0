//! No daemon, a daemon that is started, a daemon of another version, one that leaves.

use std::os::unix::net::UnixListener;

use serde_json::json;

use crate::daemon::{Answer, Daemon, hello};
use crate::kmi::{Home, Run, output, output_into};
#[cfg(target_os = "linux")]
use crate::require::or_skip;

#[test]
fn without_a_daemon_status_says_so_and_starts_none() {
    let home = Home::new();
    let run = home.kmi("status").code(3);
    assert_eq!(run.out, "");
    assert!(run.err.starts_with("error: kmid is not running"), "{}", run.err);
    assert!(run.err.contains("next: start it with `kmi proxy`"), "{}", run.err);
    let run = home.kmi("--status --json").code(3);
    assert_eq!(run.json()["proxy"]["running"], json!(false));
    assert_eq!(run.json()["daemon"]["state_dir"], json!(home.state()));
    assert_eq!(run.err, "");
}

#[test]
fn without_a_daemon_status_says_whether_one_could_start() {
    let home = Home::new();
    for (dry_run, unusable) in [("1", false), ("xx", true)] {
        let run = Run::of(output(home.command(["status", "--json"]).env("KMI_DRY_RUN", dry_run))).code(3);
        assert_eq!(run.json()["proxy"]["settings_unusable"], unusable, "{}", run.out);
    }
}

#[test]
fn help_is_a_word_too() {
    let home = Home::new();
    for (words, option) in
        [("help", "--help"), ("help status", "status --help"), ("help keys add", "keys add --help")]
    {
        let (by_word, by_option) = (home.kmi(words).code(0), home.kmi(option).code(0));
        assert!(by_word.out.contains("Usage:"), "{}", by_word.out);
        assert_eq!(by_word.out, by_option.out, "{words}");
    }
    home.kmi("help nonsense").code(2);
}

#[test]
fn a_socket_that_a_killed_daemon_left_is_no_daemon() {
    let home = Home::new();
    drop(UnixListener::bind(home.socket()).unwrap());
    home.kmi("status").code(3);
}

/// A socket that another user put there gets no word, and so no token of the proxy's either.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_of_another_user_is_told_nothing() {
    use std::fs::Permissions;
    use std::io::Read as _;
    use std::os::unix::fs::PermissionsExt as _;

    let root = rustix::process::geteuid().is_root();
    if !or_skip(root, "only root can be another user") {
        return;
    }
    let home = Home::new();
    std::fs::set_permissions(home.path(), Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(home.state(), Permissions::from_mode(0o777)).unwrap();
    let socket = home.socket();
    // The system remembers who began to listen. The thread alone is that user, and ends as it.
    let listener = std::thread::spawn(move || {
        let nobody = Some(rustix::process::Uid::from_raw(65534));
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        UnixListener::bind(socket).unwrap()
    })
    .join()
    .unwrap();
    for (line, code) in [("status", 1), ("e2e", 1), ("trace --no-follow", 1), ("doctor", 1)] {
        let run = home.kmi(line).code(code);
        let said = format!("{}{}", run.out, run.err);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("served by another user (uid 65534)"), "{line}: {said}");
        let mut heard = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut heard).unwrap();
        assert!(heard.is_empty(), "{line}: {heard:?}");
    }
}

#[test]
fn errors_come_in_russian_too() {
    let home = Home::new();
    let run = Run::of(output(home.command(["status"]).env("KMI_LOCALE", "ru"))).code(3);
    assert!(run.err.starts_with("ошибка: kmid не запущен"), "{}", run.err);
}

#[test]
fn a_path_too_long_for_a_socket_is_a_usage_error() {
    let home = Home::new();
    let run = home.kmi(&format!("--socket /tmp/{} status", "x".repeat(200))).code(2);
    assert!(run.err.contains("KMI_SOCKET") && run.err.contains("give --socket another"), "{}", run.err);
    let run =
        Run::of(output(home.command(["status"]).env("KMI_SOCKET", format!("/tmp/{}", "x".repeat(200)))));
    assert!(run.code == 2 && run.err.contains("in the environment or the settings file"), "{}", run.err);
}

/// `kmi` and a `kmid` side by side. That `kmid` is a script: it notes how it was called, and puts a socket that is
/// listened on into its place.
fn side_by_side(home: &Home, daemon: &Daemon) -> std::path::PathBuf {
    daemon.listen(&home.state().join("hidden"));
    let script =
        "#!/bin/sh\necho \"$@\" >\"$HOME/called\"\nmv \"$HOME/.kmi/hidden\" \"${3:-$HOME/.kmi/kmid.sock}\"\n";
    home.script("kmid", script);
    home.copy()
}

#[test]
fn a_command_that_needs_the_daemon_starts_it_without_the_folder() {
    let home = Home::new();
    let kmi = side_by_side(&home, &Daemon::new());
    let run = Run::of(output(&mut home.command_of(&kmi, ["health"]))).code(0);
    assert_eq!(run.err.lines().count(), 1, "one line: {}", run.err);
    assert!(run.out.contains("alpha"));
    assert_eq!(std::fs::read_to_string(home.path().join("called")).unwrap(), "--detach --no-folder\n");
}

#[test]
fn proxy_starts_it_with_the_folder_and_with_the_socket_that_was_named() {
    let home = Home::new();
    let kmi = side_by_side(&home, &Daemon::new());
    let socket = home.path().join("other.sock");
    let mut command = home.command_of(&kmi, ["proxy", "--socket"]);
    let run = Run::of(output(command.arg(&socket).env("KMI_NO_AUTOSTART", "1"))).code(0);
    assert!(run.out.contains("KIMI_BASE_URL=http://127.0.0.1:1/kmi-rotor/v1"), "{}", run.out);
    assert_eq!(
        std::fs::read_to_string(home.path().join("called")).unwrap(),
        format!("--detach --socket {}\n", socket.display())
    );
}

#[test]
fn nothing_is_started_where_that_is_not_wanted() {
    let home = Home::new();
    let kmi = side_by_side(&home, &Daemon::new());
    for line in ["health --no-start", "status", "doctor", "proxy-stop -y", "proxy-logs --no-follow"] {
        output(&mut home.command_of(&kmi, line.split(' ')));
        assert!(!home.path().join("called").exists(), "{line}");
    }
    let run = Run::of(output(home.command_of(&kmi, ["health"]).env("KMI_NO_AUTOSTART", "1")));
    assert_eq!(run.code, 3);
    assert!(!home.path().join("called").exists());
}

#[test]
fn a_daemon_that_does_not_come_up_is_told() {
    let home = Home::new();
    let kmi = home.copy();
    for (code, expected) in [(1, 1), (64, 2)] {
        home.script("kmid", &format!("#!/bin/sh\necho 'port taken' >&2\nexit {code}\n"));
        let run = Run::of(output(&mut home.command_of(&kmi, ["health"]))).code(expected);
        assert!(run.err.contains("port taken") && run.err.contains("kmid did not start"), "{}", run.err);
        assert!(run.err.contains("what kmid names above") && !run.err.contains("proxy.out"), "{}", run.err);
    }
    home.script("kmid", "#!/bin/sh\nexit 1\n");
    let run = Run::of(output(&mut home.command_of(&kmi, ["health"]))).code(1);
    assert!(run.err.contains("logs/proxy.out"), "only the file may say why: {}", run.err);
    std::fs::remove_file(kmi.with_file_name("kmid")).unwrap();
    let run = Run::of(output(&mut home.command_of(&kmi, ["health"]))).code(1);
    assert!(run.err.contains("neither beside kmi nor on PATH"), "{}", run.err);
}

#[test]
fn another_version_is_a_warning_and_another_protocol_the_end() {
    let protocol = kmi_proto::hello::PROTOCOL;
    for (version, protocol, code, words) in [
        ("0.0.1", protocol, 0, "warning: kmid 0.0.1 is older than kmi"),
        ("99.0.0", protocol, 0, "is older than kmid 99.0.0: upgrade kmi"),
        ("99.0.0", protocol + 1, 4, "is too old for kmid 99.0.0"),
        ("0.0.1", 0, 4, "kmid 0.0.1 is too old for kmi"),
    ] {
        let home = Home::new();
        Daemon::new().on("daemon.hello", Answer::Result(hello(version, protocol))).listen(&home.socket());
        let run = home.kmi("status").code(code);
        assert!(run.err.contains(words), "{version} {protocol}: {}", run.err);
        assert_eq!(run.out.is_empty(), code != 0);
    }
}

#[test]
fn a_daemon_without_hello_is_taken_as_it_is() {
    let home = Home::new();
    Daemon::new().on("daemon.hello", Answer::Refusal(-32601, "method_not_found")).listen(&home.socket());
    assert_eq!(home.kmi("status").code(0).err, "");
}

#[test]
fn refusals_are_told_in_both_voices() {
    let home = Home::new();
    Daemon::new()
        .on("rotation.auto", Answer::Refusal(-32010, "policy"))
        .on("rotation.rotate", Answer::Refusal(-32099, "kind_of_tomorrow"))
        .listen(&home.socket());
    let run = home.kmi("rotate auto").code(1);
    assert!(run.err.contains("the settings do not allow it (said the daemon)"), "{}", run.err);
    assert!(run.err.contains("KMI_AUTO_ROTATE_ALLOWED=1"), "{}", run.err);
    let run = home.kmi("rotate").code(1);
    assert_eq!(run.err, "error: kmid refused: said the daemon\n");
}

#[test]
fn a_daemon_that_leaves_or_talks_nonsense_is_told() {
    let home = Home::new();
    Daemon::new().on("daemon.status", Answer::Goodbye).listen(&home.socket());
    home.kmi("status").code(4);
    let home = Home::new();
    Daemon::new().on("daemon.hello", Answer::Goodbye).listen(&home.socket());
    home.kmi("status").code(4);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let home = Home::new();
    Daemon::new().listen(&home.socket());
    for line in ["status", "health --json", "--help", "", "doctor"] {
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let output = output_into(&mut home.command(line.split_whitespace()), write);
        let run = Run::of(output).code(0);
        assert_eq!(run.err, "", "{line}");
    }
}

#[test]
fn usage_errors_end_with_2() {
    let home = Home::new();
    for line in ["--status --health", "status --rotate", "frobnicate", "rotate sideways"] {
        let run = home.kmi(line).code(2);
        assert_eq!(run.out, "", "{line}");
        assert!(run.err.starts_with("error: "), "{line}: {}", run.err);
    }
    let run = Run::of(output(home.command(["status"]).env("KMI_LOCALE", "tlh"))).code(2);
    assert!(run.err.contains("KMI_LOCALE"), "{}", run.err);
    assert!(home.kmi("").code(0).out.contains("Usage: kmi"));
}
