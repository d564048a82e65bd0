use super::super::plan::example;
use super::*;

fn line<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

#[test]
fn the_units_hold_the_paths_of_the_plan() {
    let plan = Plan {
        kmid: "/opt/k m/100%/kmid".into(),
        args: vec!["--no-folder".into(), "--state-dir".into(), "/srv/a \"b\"".into()],
        state_dir: "/srv/a \"b\"".into(),
        socket: "/srv/100%/kmid.sock".into(),
        proxy: ListenAddr { host: "::1".into(), port: 8080 },
        drain: std::time::Duration::from_secs(90),
        replay_total: 1000 << 20,
        ..example()
    };
    let files = Systemd::new(Path::new("/home/me"), None).files(&plan);
    let [(path, unit), (_, proxy), (_, control)] = &files[..] else { panic!("{files:?}") };
    assert_eq!(path, Path::new("/home/me/.config/systemd/user/kmid.service"));
    assert_eq!(line(unit, "ExecStart"), [r#""/opt/k m/100%%/kmid" --no-folder --state-dir "/srv/a \"b\"""#]);
    assert_eq!(program(unit, Path::new("/home/me")), Some("/opt/k m/100%/kmid".into()));
    assert_eq!(line(unit, "WorkingDirectory"), [r#"-/srv/a "b""#]);
    assert_eq!(line(unit, "TimeoutStopSec"), ["100"]);
    assert_eq!((line(unit, "MemoryHigh"), line(unit, "MemoryMax")), (vec!["2256M"], vec!["2512M"]));
    let home = Path::new("/home/me");
    assert_eq!(exec_words(unit, home)[1..], plan.args);
    assert_eq!(line(proxy, "ListenStream"), ["[::1]:8080"]);
    assert_eq!(line(proxy, "FileDescriptorName"), ["proxy"]);
    assert_eq!(line(control, "ListenStream"), ["/srv/100%%/kmid.sock"]);
    assert_eq!(line(control, "FileDescriptorName"), ["control"]);
}

#[test]
fn the_shipped_units_are_those_of_the_defaults() {
    let home = |text: &str| text.replace("%h", "/home/me");
    for ((_, text), shipped) in Systemd::new(Path::new("/home/me"), None).files(&example()).into_iter().zip([
        TEMPLATE,
        PROXY_TEMPLATE,
        CONTROL_TEMPLATE,
    ]) {
        assert_eq!(text, home(shipped));
    }
}

#[test]
fn a_dollar_in_a_path_is_not_replaced() {
    let plan = Plan { args: vec!["/srv/$HOME".into()], ..example() };
    assert_eq!(line(&service(&plan), "ExecStart"), [":/home/me/.cargo/bin/kmid /srv/$HOME"]);
}

#[test]
fn a_newer_systemd_waits_longer_from_failure_to_failure() {
    let old = service(&example());
    let new = service(&Plan { manager_version: Some(254), ..example() });
    assert_eq!((line(&old, "RestartSec"), line(&old, "RestartSteps")), (vec!["7"], vec![]));
    assert_eq!((line(&new, "RestartSec"), line(&new, "RestartSteps")), (vec!["1"], vec!["6"]));
    assert_eq!(line(&new, "RestartMaxDelaySec"), ["60"]);
}

/// A limit that failures never reach would be no limit.
#[test]
fn one_that_fails_at_once_is_given_up() {
    let unit = service(&example());
    let number = |name| line(&unit, name)[0].parse::<u64>().unwrap();
    assert!(number("StartLimitBurst") * number("RestartSec") < number("StartLimitIntervalSec"));
}

#[test]
fn localhost_is_an_address_in_a_unit() {
    let plan = Plan { proxy: ListenAddr { host: "localhost".into(), port: 1234 }, ..example() };
    assert_eq!(line(&proxy(&plan), "ListenStream"), ["127.0.0.1:1234"]);
}

#[test]
fn specifiers_are_read_once() {
    let home = Path::new("/home/%h");
    for (text, whole) in [
        ("%h/.kmi/kmid.sock", "/home/%h/.kmi/kmid.sock"),
        ("/srv/%%h/kmid.sock", "/srv/%h/kmid.sock"),
        ("/srv/%%%h", "/srv/%/home/%h"),
        ("/srv/100%%", "/srv/100%"),
        ("/srv/%t/%", "/srv/%t/%"),
    ] {
        assert_eq!(specified(text, home), whole, "{text}");
    }
    let plan = Plan { kmid: "/srv/%h/kmid".into(), socket: "/srv/%h/kmid.sock".into(), ..example() };
    assert_eq!(program(&service(&plan), home), Some(plan.kmid.clone()));

    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd::new(home, Some(folder.path().into()));
    for (path, text) in systemd.files(&plan) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    assert_eq!(systemd.socket(&systemd.paths()[0]), Some(plan.socket));
}

#[test]
fn words_are_told_apart_as_systemd_does() {
    for (line, wanted) in [
        ("/a/kmid --no-folder", vec!["/a/kmid", "--no-folder"]),
        (
            r#""/k m/kmid"  '--state-dir' "/a \"b\" \\" """#,
            vec!["/k m/kmid", "--state-dir", r#"/a "b" \"#, ""],
        ),
        ("A=1 \"B=two words\" C=it's'", vec!["A=1", "B=two words", "C=its"]),
        ("", vec![]),
    ] {
        assert_eq!(words(line), wanted, "{line}");
    }
}

#[test]
fn what_systemd_made_of_the_files() {
    let text = "Listen=127.0.0.1:54123 (Stream)\nMemoryMax=infinity\nId=kmid.socket\n\n\
                MemoryMax=1073741824\nEnvironment=A=1 \"B=two words\"\nId=kmid.service\n";
    let wanted = Written {
        environment: [("A", "1"), ("B", "two words")].map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
        listens: Some("127.0.0.1:54123".into()),
        memory: Some(1 << 30),
        ..Written::default()
    };
    assert_eq!(parse_written(text), wanted);
    assert_eq!(parse_written("Id=kmid.service\nMemoryMax=infinity\n"), Written::default());
}

fn shown(service: &str, result: &str, sockets: &str) -> String {
    let socket = |id: &str| format!("Id={id}\nActiveState={sockets}\nUnitFileState=enabled\n");
    format!(
        "Id=kmid.service\nActiveState={service}\nMainPID=0\nNRestarts=2\nResult={result}\nExecMainStatus=64\n\
         StatusText=\nUnitFileState=enabled\n\n{}\n{}",
        socket(PROXY),
        socket(CONTROL)
    )
}

#[test]
fn what_systemd_says() {
    let text = "Id=kmid.service\nActiveState=active\nMainPID=42\nNRestarts=0\nResult=success\n\
                StatusText=3 keys ready; proxy on 127.0.0.1:54123\nUnitFileState=enabled\n\n\
                Id=kmid.socket\nActiveState=active\nUnitFileState=enabled\n";
    let state = parse(text, None);
    assert_eq!((state.activity, state.pid, state.enabled), (Activity::Running, Some(42), true));
    assert_eq!(state.status.as_deref(), Some("3 keys ready; proxy on 127.0.0.1:54123"));
    assert_eq!(state.result, None);
    let waiting = parse(&shown("inactive", "success", "active"), None);
    assert_eq!((waiting.activity, waiting.pid, waiting.result), (Activity::Waiting, None, None));
    assert_eq!(parse(&shown("inactive", "success", "inactive"), None).activity, Activity::Stopped);
    let failed = parse(&shown("failed", "exit-code", "failed"), None);
    assert_eq!((failed.activity, failed.restarts), (Activity::Failed, Some(2)));
    assert_eq!(failed.result.as_deref(), Some("exit-code, status 64"));
    // Its settings cannot be used: that somebody listens does not help.
    let unusable = parse(&shown("failed", "exit-code", "active"), None);
    assert_eq!((unusable.activity, unusable.listens), (Activity::Failed, true));
    assert!(unusable.settings_unusable() && unusable.would_start());
    let crashed = shown("failed", "exit-code", "active").replace("ExecMainStatus=64", "ExecMainStatus=1");
    assert_eq!(parse(&crashed, None).activity, Activity::Waiting);
    let again = shown("activating", "exit-code", "active").replace("MainPID=0", "SubState=auto-restart");
    assert_eq!(parse(&again, None).activity, Activity::Restarting);
    assert_eq!(parse("", None).activity, Activity::Unknown);
}

#[test]
#[cfg(unix)]
fn only_a_yes_says_that_the_user_lingers() {
    let says = |script| says_yes(&Step::new("sh", ["-c", script]));
    assert!(says("echo yes"));
    assert!(!says("echo no"));
    // Not logged in, and not lingering.
    assert!(!says("echo yes; exit 1"));
    assert!(!says_yes(&Step::new("/nonexistent/program", [""; 0])));
}
