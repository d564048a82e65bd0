use super::*;
use crate::fixtures;
use crate::service::{Manager, systemd::Systemd};

#[test]
fn checks_of_the_daemon_in_every_look() {
    insta::assert_snapshot!(fixtures::looks(|view| {
        let mut checks = daemon::of_status(view, &fixtures::status());
        checks.extend(daemon::of_keys(view, &fixtures::keys(), &fixtures::status()));
        checks.extend(daemon::of_clients(view, &fixtures::keys(), true));
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

// What puts a clock right differs between systems.
#[cfg(target_os = "linux")]
#[test]
fn the_way_to_the_upstreams_and_the_machine() {
    use kmi_proto::methods::daemon::{Upstream, UpstreamCheck, UpstreamChecks};

    let found = |host: &str, reachable, tls, skew, error: Option<&str>| UpstreamCheck {
        host: host.into(),
        reachable,
        tls,
        clock_skew_seconds: skew,
        error: error.map(Into::into),
        error_said: None,
    };
    insta::assert_snapshot!(fixtures::looks(|view| {
        let upstreams = vec![
            found("api.kimi.com", true, true, Some(2), None),
            found("api.kimi.ai", true, true, Some(-400), None),
            found("ahead.example", true, true, Some(4000), None),
            found(
                "down.example",
                false,
                false,
                None,
                Some("connecting to the upstream: it cannot be reached"),
            ),
            found(
                "odd.example",
                true,
                false,
                None,
                Some("connecting to the upstream: TLS failed (UnknownIssuer)"),
            ),
            found("mute.example:8443", true, true, None, Some("no answer came within 8 s")),
        ];
        let mut checks = upstreams::of_upstreams(view, &UpstreamChecks { skipped: None, upstreams });
        let skipped = UpstreamChecks { skipped: Some("dry_run".into()), upstreams: Vec::new() };
        checks.extend(upstreams::of_upstreams(view, &skipped));
        let mut status = fixtures::status();
        let breaker = |word: &str, status| Upstream {
            host: "api.kimi.com".into(),
            breaker: word.into(),
            until: None,
            trouble: None,
            status,
        };
        let gate = Upstream { trouble: Some("gate".into()), ..breaker("open", Some(403)) };
        let down = [breaker("open", Some(503)), breaker("half-open", None)];
        for upstream in [breaker("closed", None)].into_iter().chain(down).chain([gate]) {
            status.upstreams = vec![upstream];
            checks.extend(upstreams::of_breakers(view, &status));
        }
        let folder = std::path::Path::new("/home/o'hara/.kmi");
        for free in [1_000_000, 100_000_000, 50_000_000_000] {
            checks.push(machine::disk(view, folder, free));
        }
        checks.push(machine::service(view, None, None));
        render(view, &checks)
    }));
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_that_starts_nothing_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let manager = Manager::Systemd(Systemd::new(home.path(), None));
    let show = || {
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            render(view, &[machine::service(view, Some(home.path()), Some(&manager))])
        })
    };
    let units = home.path().join(".config/systemd/user");
    std::fs::create_dir_all(&units).expect("a folder");
    std::fs::write(units.join("kmid.service"), "[Service]\nExecStart=%h/bin/kmid --no-folder\n")
        .expect("a unit");
    assert!(show().starts_with("WARN"), "{}", show());
    assert!(show().contains("bin/kmid, which does not exist"), "{}", show());
    std::fs::create_dir(home.path().join("bin")).expect("a folder");
    std::fs::write(home.path().join("bin/kmid"), "").expect("a program");
    assert!(show().starts_with("OK"), "{}", show());
}

#[test]
fn what_the_service_manager_says() {
    use crate::service::written::Misfit;
    use crate::service::{Activity, State};

    let state = |activity, exit_status| State {
        manager: "systemd",
        file: Some("/home/me/.config/systemd/user/kmid.service".into()),
        enabled: true,
        activity,
        pid: None,
        restarts: None,
        result: Some(format!("exit-code, status {exit_status}")),
        exit_status: Some(exit_status),
        status: None,
        listens: true,
    };
    insta::assert_snapshot!(fixtures::looks(|view| {
        let states = [
            state(Activity::Failed, 64),
            state(Activity::Failed, 1),
            state(Activity::Restarting, 1),
            state(Activity::Running, 1),
            state(Activity::Waiting, 1),
        ];
        let mut checks: Vec<Check> =
            states.iter().filter_map(|state| service::of_state(view, state)).collect();
        let misfits = [
            Misfit::Listen { listens: "127.0.0.1:54123".into(), wanted: "127.0.0.1:8080".into() },
            Misfit::Memory { written: 1024, wanted: 131_584 },
            Misfit::Stop { written: 40, wanted: 100 },
        ];
        checks.extend(misfits.iter().map(|misfit| service::of_misfit(view, misfit)));
        render(view, &checks)
    }));
}

#[test]
fn what_was_written_may_be_no_token_any_more() {
    let mut list = fixtures::keys();
    list.clients.truncate(2);
    list.clients[1].client = "kimi-code".into();
    list.clients[1].connected = true;
    let levels = |list: &kmi_proto::methods::keys::KeyList| {
        let mut checks = Vec::new();
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            checks = daemon::of_clients(view, list, true);
            String::new()
        });
        checks.into_iter().map(|check| (check.level, check.command)).collect::<Vec<_>>()
    };
    for accepted in [None, Some(true)] {
        list.clients[1].token_accepted = accepted;
        assert_eq!(levels(&list)[1], (Level::Ok, None));
    }
    list.clients[1].token_accepted = Some(false);
    assert_eq!(levels(&list)[1], (Level::Warn, Some("kmi connect kimi-code".to_owned())));
}

#[test]
fn a_rotation_is_advised_only_where_it_writes() {
    let mut list = fixtures::keys();
    list.clients.drain(..2);
    for (writes, command) in [(true, "kmi rotate"), (false, "kmi kimi")] {
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            let check = daemon::of_clients(view, &list, writes).remove(0);
            assert_eq!((check.level, check.command.as_deref()), (Level::Warn, Some(command)));
            assert_eq!(check.fix.unwrap_or_default().contains("kmi rotate"), writes);
            String::new()
        });
    }
}

#[test]
fn the_note_on_terms_follows_the_setting() {
    for locale in [crate::output::locale::Locale::En, crate::output::locale::Locale::Ru] {
        let messages = Messages::new(locale);
        let (off, on) = (terms(&messages, false), terms(&messages, true));
        assert!(off.ends_with("KMI_AUTO_ROTATE_ALLOWED=1.") && !on.ends_with("KMI_AUTO_ROTATE_ALLOWED=1."));
        assert!(on.contains("KMI_AUTO_ROTATE_ALLOWED=1"), "{on}");
    }
}

#[test]
fn a_setting_goes_into_the_file_unless_something_stronger_sets_it() {
    let mut daemon = fixtures::status().daemon;
    daemon.env_file = Some("/home/o'hara/.kmi/.env".into());
    let line = |daemon: &DaemonStatus| set_in_file(daemon, &env::DRY_RUN, "0", "kmi proxy-restart");
    assert_eq!(
        line(&daemon).as_deref(),
        Some(r"printf '\nKMI_DRY_RUN=0\n' >> '/home/o'\''hara/.kmi/.env' && kmi proxy-restart")
    );
    daemon.environment.insert("KMI_DRY_RUN".into(), Some("1".into()));
    assert_eq!(line(&daemon), None);
    daemon.environment.clear();
    daemon.env_file = None;
    daemon.state_dir = "/home/a/.kmi".into();
    for keys in [None, Some("/home/a/.kmi/_auths"), Some("/srv/keys")] {
        daemon.auths_dir = keys.map(Into::into);
        assert!(line(&daemon).is_some_and(|line| line.contains("'/home/a/.kmi/.env'")), "{keys:?}");
    }
    // It may have been started in that folder, and then it reads the file there.
    daemon.auths_dir = Some("/home/a/work/_auths".into());
    assert_eq!(line(&daemon), None);
    let check = Check::warn("mode", "d", "set it");
    let messages = Messages::new(crate::output::locale::Locale::En);
    let check = to_be_set(&messages, check, &daemon, (&env::DRY_RUN, "0", "kmi proxy-restart"));
    let named = "/home/a/work/.env if kmid was started in that folder, else /home/a/.kmi/.env";
    assert_eq!((check.fix, check.command), (Some(format!("set it ({named})")), None));
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
    let stopped = Check::warn("daemon", "d", "f");
    assert!(show(&[ok.clone(), stopped.clone()]).ends_with("kmid is not running; 1 warning.\n"));
    assert!(show(&[ok.clone(), stopped, fail.clone()]).ends_with("1 failed, 1 to look at.\n"));
    assert!(show(&[ok, warn, fail]).ends_with("1 failed, 1 to look at.\n"));
}

#[test]
fn checks_as_json() {
    let checks = [Check::ok("mode", "live"), Check::fail("proxy", "down", "restart it")];
    insta::assert_snapshot!(crate::output::json::document(&checks).unwrap_or_default());
}

#[test]
fn a_missing_key_directory_is_no_fault_of_a_file() {
    let missing = kmid_core::said::Said::of_io(&std::io::ErrorKind::NotFound.into());
    let denied = kmid_core::said::Said::of_io(&std::io::ErrorKind::PermissionDenied.into());
    let cases = [
        (kmid_core::say!(no_key_directory), true),
        (kmid_core::say!(key_directory_unreadable, why = missing), true),
        (kmid_core::say!(key_directory_unreadable, why = denied), false),
        (kmid_core::say!(key_missing), false),
    ];
    for (said, is_missing) in cases {
        let mut list = fixtures::keys();
        list.keys.clear();
        list.issues[0].said = said;
        fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            let check = daemon::of_keys(view, &list, &fixtures::status()).remove(0);
            assert_eq!(check.command.as_deref() == Some("kmi keys add"), is_missing, "{check:?}");
            assert_eq!(check.fix.unwrap_or_default().starts_with("correct the file"), !is_missing);
            String::new()
        });
    }
}
