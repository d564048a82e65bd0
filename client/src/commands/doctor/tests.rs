use super::*;
use crate::fixtures;

#[test]
fn checks_of_the_daemon_in_every_look() {
    insta::assert_snapshot!(fixtures::looks(|view| {
        let mut checks = daemon::of_status(view, &fixtures::status());
        checks.extend(daemon::of_keys(view, &fixtures::keys(), &fixtures::status()));
        checks.extend(daemon::of_clients(view, &fixtures::keys()));
        render(view, &checks)
    }));
}

#[test]
fn no_keys_old_readings_and_another_version() {
    insta::assert_snapshot!(fixtures::looks(|view| {
        let mut status = fixtures::status();
        status.daemon.version = "0.0.9".into();
        status.mode = "live".into();
        let mut list = fixtures::keys();
        list.issues[0].level = "error".into();
        list.keys.truncate(1);
        list.keys[0].windows[0].read_at = "2026-11-20T09:00:00Z".into();
        list.keys[0].windows.truncate(1);
        let mut checks = daemon::of_status(view, &status);
        checks.extend(daemon::of_keys(view, &list, &status));
        list.keys.clear();
        checks.extend(daemon::of_keys(view, &list, &status));
        render(view, &checks)
    }));
}

#[test]
fn verdict_follows_the_worst_check() {
    let show = |checks: &[Check]| {
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| render(view, checks))
    };
    let (ok, warn, fail) =
        (Check::ok("mode", "d"), Check::warn("mode", "d", "f"), Check::fail("mode", "d", "f"));
    assert!(show(std::slice::from_ref(&ok)).ends_with("Everything is fine.\n"));
    assert!(show(&[ok.clone(), warn.clone()]).ends_with("It works; 1 warning.\n"));
    assert!(show(&[ok, warn, fail]).ends_with("1 failed, 1 to look at.\n"));
}

#[test]
fn checks_as_json() {
    let checks = [Check::ok("mode", "live"), Check::fail("proxy", "down", "restart it")];
    insta::assert_snapshot!(crate::output::json::document(&checks).unwrap_or_default());
}
