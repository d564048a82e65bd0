use super::*;
use crate::fixtures;

fn rotated(previous: Option<&str>, rotated: bool, reason: &str) -> Rotated {
    Rotated {
        active: "beta".into(),
        previous: previous.map(str::to_owned),
        rotated,
        reason: reason.into(),
        config_written: if rotated { vec!["/home/a/.kimi/config.toml".into()] } else { Vec::new() },
        warnings: vec!["/home/a/.kimi-code/config.toml: the provider signs in with OAuth; left alone".into()],
        warnings_said: Vec::new(),
    }
}

#[test]
fn from_to_and_why() {
    let cases = [
        rotated(Some("alpha"), true, "best"),
        rotated(Some("alpha"), true, "fewer_errors"),
        rotated(Some("alpha"), true, "better_state"),
        rotated(Some("alpha"), true, "next"),
        rotated(Some("alpha"), true, "only_one_serves"),
        rotated(None, true, "chosen"),
        rotated(Some("beta"), false, "already_best"),
        rotated(Some("alpha"), true, "reason_of_tomorrow"),
    ];
    insta::assert_snapshot!(fixtures::looks(|view| cases
        .iter()
        .map(|case| render(view, case, false))
        .collect()));
}

#[test]
fn a_choice_that_automatic_rotation_does_not_follow() {
    let chosen = rotated(Some("alpha"), true, "chosen");
    insta::assert_snapshot!(fixtures::looks(|view| render(view, &chosen, true)));
}

#[test]
fn automatic_rotation() {
    let cases = [
        (Auto { enabled: true, reason: None }, Check::Due),
        (Auto { enabled: false, reason: Some("already_off".into()) }, Check::Needless),
        (Auto { enabled: true, reason: Some("only one key can serve".into()) }, Check::Needless),
        (Auto { enabled: true, reason: None }, Check::Tls),
        (Auto { enabled: true, reason: None }, Check::Token),
    ];
    insta::assert_snapshot!(fixtures::looks(|view| cases
        .iter()
        .map(|(case, check)| render_auto(view, case, *check))
        .collect()));
}

#[test]
fn the_spread_is_checked_where_it_can_be() {
    let mut status = fixtures::status();
    assert_eq!(check_of(&status), Check::Needless, "one key is left");
    status.keys.blocked = 0;
    assert_eq!(check_of(&status), Check::Due);
    status.proxy.url = "https://127.0.0.1:54123/kmi-rotor/v1".into();
    assert_eq!(check_of(&status), Check::Tls);
    status.rotation.policy = "drain".into();
    assert_eq!(check_of(&status), Check::Needless);
}
