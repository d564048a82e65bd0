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
        ..example()
    };
    let files = Systemd::new(Path::new("/home/me"), None).files(&plan);
    let [(path, unit), (_, proxy), (_, control)] = &files[..] else { panic!("{files:?}") };
    assert_eq!(path, Path::new("/home/me/.config/systemd/user/kmid.service"));
    assert_eq!(line(unit, "ExecStart"), [r#""/opt/k m/100%%/kmid" --no-folder --state-dir "/srv/a \"b\"""#]);
    assert_eq!(program(unit, Path::new("/home/me")), Some("/opt/k m/100%/kmid".into()));
    assert_eq!(line(unit, "WorkingDirectory"), [r#"-/srv/a "b""#]);
    assert_eq!(line(unit, "TimeoutStopSec"), ["100"]);
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

#[test]
fn localhost_is_an_address_in_a_unit() {
    let plan = Plan { proxy: ListenAddr { host: "localhost".into(), port: 1234 }, ..example() };
    assert_eq!(line(&proxy(&plan), "ListenStream"), ["127.0.0.1:1234"]);
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
    let again = shown("activating", "exit-code", "active").replace("MainPID=0", "SubState=auto-restart");
    assert_eq!(parse(&again, None).activity, Activity::Restarting);
    assert_eq!(parse("", None).activity, Activity::Unknown);
}
