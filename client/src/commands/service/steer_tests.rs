use super::*;
use crate::fixtures;

fn state() -> State {
    State {
        manager: "systemd",
        file: Some("/home/me/.config/systemd/user/kmid.service".into()),
        enabled: true,
        activity: Activity::Running,
        pid: Some(4711),
        restarts: Some(0),
        result: None,
        exit_status: None,
        status: Some("3 keys ready; proxy on 127.0.0.1:54123".into()),
        listens: true,
    }
}

#[test]
fn what_the_manager_says_in_every_look() {
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &state(), None)));
}

#[test]
fn waiting_failed_and_another_daemon() {
    let waiting = State { activity: Activity::Waiting, enabled: false, pid: None, status: None, ..state() };
    let failed = State {
        activity: Activity::Failed,
        restarts: Some(3),
        result: Some("exit-code, status 64".into()),
        exit_status: Some(64),
        ..waiting.clone()
    };
    let status = fixtures::status();
    insta::assert_snapshot!(fixtures::looks(|view| {
        let others = State { pid: Some(status.daemon.pid + 1), ..state() };
        [(&waiting, None), (&failed, None), (&others, Some(&status))]
            .map(|(state, daemon)| render(view, state, daemon))
            .join("--\n")
    }));
}

#[test]
fn sentences_fit_the_terminal() {
    insta::assert_snapshot!(fixtures::looks(|view| {
        [stopped(view), serves(view, "http://127.0.0.1:54123/kmi-rotor/v1", 4711)].concat()
    }));
}
