//! Bad values: every issue at once, each with what is allowed, no secret shown.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use kmid_config::env;
use kmid_config::issue::{BadSettings, Issue};
use kmid_config::resolve::{Facts, RawValues, Source, resolve, resolve_client};
use kmid_config::settings::{Locale, Settings};
use kmid_core::door::peer::Exposure;
use proptest::prelude::*;

fn facts() -> Facts {
    Facts {
        home: Some("/home/me".into()),
        cwd: Some("/srv".into()),
        user: "me".into(),
        local_zone: TimeZone::UTC,
        system_locale: Locale::En,
        no_color: false,
        https_proxy: None,
        no_proxy: None,
        env_file: None,
        found_auths_dir: Some("/srv/_auths".into()),
    }
}

fn raw(pairs: &[(&str, &str)]) -> RawValues {
    let mut raw = RawValues::default();
    for (name, value) in pairs {
        raw.set(env::find(name).unwrap(), value, Source::Environment);
    }
    raw
}

fn good(pairs: &[(&str, &str)]) -> Settings {
    let (settings, issues) = resolve(&raw(pairs), &facts());
    settings.unwrap_or_else(|| panic!("{issues:?}"))
}

fn bad(pairs: &[(&str, &str)]) -> Vec<Issue> {
    let (settings, issues) = resolve(&raw(pairs), &facts());
    assert!(settings.is_none(), "{pairs:?} must be refused");
    issues
}

#[test]
fn defaults() {
    let settings = good(&[]);
    if !cfg!(windows) {
        assert_eq!(settings.state_dir, PathBuf::from("/home/me/.kmi"));
        assert_eq!(settings.socket, Path::new("/home/me/.kmi/kmid.sock"));
    }
    assert_eq!(settings.auths_dir, Some("/srv/_auths".into()));
    assert!(settings.dry_run && settings.write_config && !settings.auto_rotate_allowed);
    assert_eq!(settings.payment_block, Some(Duration::from_secs(3600)));
    assert_eq!(settings.proxy_replay, 16 << 20);
    assert_eq!((settings.proxy_base_path.as_str(), settings.proxy_listen.port), ("/kmi-rotor/v1", 54123));
    assert_eq!((settings.locale, settings.audit_actor.as_str()), (Locale::En, "me"));
    assert!(settings.proxy_tokens.is_empty() && settings.proxy_limit.per_second.is_none());
}

#[test]
fn zero_means_off_where_the_table_says_so() {
    let settings = good(&[
        ("KMI_PAYMENT_BLOCK_SECONDS", "0"),
        ("KMI_USAGE_CACHE_SECONDS", "0"),
        ("KMI_BLOCKLIST_RECHECK_SECONDS", "0"),
        ("KMI_PROXY_MAX_RPS", "3"),
    ]);
    assert_eq!(
        (settings.payment_block, settings.usage_cache, settings.blocklist_recheck),
        (None, None, None)
    );
    assert_eq!((settings.proxy_limit.per_second, settings.proxy_limit.per_minute), (Some(3), None));
}

#[test]
fn every_issue_is_told_at_once() {
    let issues = bad(&[
        ("KMI_DRY_RUN", "maybe"),
        ("KMI_PROXY_LISTEN", "here"),
        ("KMI_TIMEZONE", "Mars/Olympus"),
        ("KMI_PROXY_RETRY_MAX", "-1"),
        ("KMI_UPSTREAM_BASE_URL", "http://api.kimi.com/coding/v1"),
        ("KMI_LOCALE", "de"),
        ("KMI_ROTATE_POLICY", "random"),
        ("KMI_PROXY_TLS_CERT", "/c.pem"),
    ]);
    let mut names: Vec<&str> = issues.iter().map(|issue| issue.subject.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "KMI_DRY_RUN",
            "KMI_LOCALE",
            "KMI_PROXY_LISTEN",
            "KMI_PROXY_RETRY_MAX",
            "KMI_PROXY_TLS_CERT",
            "KMI_ROTATE_POLICY",
            "KMI_TIMEZONE",
            "KMI_UPSTREAM_BASE_URL"
        ]
    );
    let text = BadSettings { issues }.to_string();
    for line in [
        "KMI_DRY_RUN: \"maybe\" is not allowed; use 1, true, yes, on or 0, false, no, off (from the environment)",
        "KMI_PROXY_RETRY_MAX: \"-1\" is not allowed; use a whole number from 0 to 20",
        "KMI_UPSTREAM_BASE_URL: this value is not allowed; only https is allowed",
        "KMI_PROXY_TLS_CERT: it needs KMI_PROXY_TLS_KEY too",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn empty_is_unset_only_where_the_default_is_empty() {
    let settings = good(&[("KMI_PROXY_TOKEN", ""), ("KMI_UPSTREAM_ALLOWLIST", " "), ("KMI_SOCKET", "")]);
    assert!(settings.proxy_tokens.is_empty());
    for name in ["KMI_DRY_RUN", "KMI_PROXY_LISTEN", "KMI_STATE_DIR", "KMI_LOG_LEVEL", "KMI_PROXY_REPLAY_MB"] {
        assert_eq!(bad(&[(name, "")])[0].subject, name);
    }
}

#[test]
fn a_remote_listener_says_all_that_is_missing() {
    let message = |pairs: &[(&str, &str)]| {
        let pairs = [&[("KMI_PROXY_LISTEN", "0.0.0.0:54123")], pairs].concat();
        let issues = bad(&pairs);
        assert_eq!((issues.len(), issues[0].subject.as_str()), (1, "KMI_PROXY_LISTEN"));
        issues[0].message.clone()
    };
    let all = message(&[]);
    assert!(
        ["ALLOW_REMOTE=1", "KMI_PROXY_TOKEN", "KMI_PROXY_TLS_CERT"].iter().all(|part| all.contains(part)),
        "{all}"
    );
    let allowed = message(&[("KMI_PROXY_ALLOW_REMOTE", "1"), ("KMI_PROXY_REQUIRE_TLS", "0")]);
    assert!(allowed.contains("KMI_PROXY_TOKEN") && !allowed.contains("TLS_CERT"), "{allowed}");
    let rest = [("KMI_PROXY_TOKEN", "canary-of-some-length"), ("KMI_PROXY_ALLOW_REMOTE", "1")];
    assert!(message(&rest).contains("KMI_PROXY_TLS_TERMINATED=1"));
    for tls in [
        &[("KMI_PROXY_TLS_TERMINATED", "1")][..],
        &[("KMI_PROXY_REQUIRE_TLS", "0")],
        &[("KMI_PROXY_TLS_CERT", "/c.pem"), ("KMI_PROXY_TLS_KEY", "k.pem")],
    ] {
        good(&[&[("KMI_PROXY_LISTEN", "0.0.0.0:54123")], &rest[..], tls].concat());
    }
    let named = [("KMI_PROXY_TOKENS", "laptop:canary-of-some-length"), ("KMI_PROXY_REQUIRE_TLS", "0")];
    good(&[&[("KMI_PROXY_LISTEN", "0.0.0.0:1"), ("KMI_PROXY_ALLOW_REMOTE", "1")], &named[..]].concat());
    // Allowed, but not used: nothing is missing on loopback.
    good(&[("KMI_PROXY_ALLOW_REMOTE", "1")]);
}

#[test]
fn what_ends_tls_in_front_needs_a_token_even_on_loopback() {
    let issues = bad(&[("KMI_PROXY_TLS_TERMINATED", "1")]);
    assert_eq!((issues.len(), issues[0].subject.as_str()), (1, "KMI_PROXY_TLS_TERMINATED"), "{issues:?}");
    good(&[("KMI_PROXY_TLS_TERMINATED", "1"), ("KMI_PROXY_TOKEN", "canary-of-some-length")]);
    // Near by is not enough to stand for many: that is this machine, and whom a person names.
    let named = good(&[
        ("KMI_PROXY_TLS_TERMINATED", "1"),
        ("KMI_PROXY_TOKEN", "canary-of-some-length"),
        ("KMI_PROXY_TERMINATORS", "10.0.0.2"),
    ]);
    for (address, shared) in
        [("127.0.0.1", true), ("10.0.0.2", true), ("::ffff:10.0.0.2", true), ("10.0.0.3", false)]
    {
        assert_eq!(named.is_shared(Exposure::Terminated, address.parse().unwrap()), shared, "{address}");
    }
    assert!(!named.is_shared(Exposure::Open, "10.0.0.2".parse().unwrap()));
}

#[test]
fn tokens_that_are_short_or_used_twice_are_told() {
    let remote =
        [("KMI_PROXY_LISTEN", "0.0.0.0:1"), ("KMI_PROXY_ALLOW_REMOTE", "1"), ("KMI_PROXY_REQUIRE_TLS", "0")];
    let all = [&remote[..], &[("KMI_PROXY_TOKENS", "a:canary-of-some-length,b:canary")]].concat();
    let (settings, issues) = resolve(&raw(&all), &facts());
    assert!(settings.is_some() && issues.len() == 1 && !issues[0].error, "{issues:?}");
    assert_eq!(issues[0].subject, "KMI_PROXY_TOKENS");
    assert!(!issues[0].message.contains("canary"));
    good(&[("KMI_PROXY_TOKEN", "short-on-loopback")]);
    let twice = bad(&[("KMI_PROXY_TOKEN", "canary"), ("KMI_PROXY_TOKENS", "laptop:canary")]);
    assert!(twice[0].message.contains("laptop") && !twice[0].message.contains("canary"), "{twice:?}");
}

#[test]
fn rules_across_settings() {
    let strict = [("KMI_REQUIRE_USAGE_BEFORE_REQUEST", "1"), ("KMI_USAGE_CACHE_SECONDS", "0")];
    assert_eq!(bad(&strict)[0].subject, "KMI_REQUIRE_USAGE_BEFORE_REQUEST");
    let issues = bad(&[("KMI_PROXY_REPLAY_TOTAL_MB", "8")]);
    assert_eq!(issues[0].subject, "KMI_PROXY_REPLAY_TOTAL_MB");
    let (settings, issues) = resolve(&raw(&[("KMI_UPSTREAM_ALLOWLIST", "api.kimi.ai")]), &facts());
    assert!(settings.is_some() && issues.len() == 1 && !issues[0].error, "{issues:?}");
}

#[test]
fn no_home_is_said() {
    let homeless = Facts { home: None, ..facts() };
    let (settings, issues) = resolve(&RawValues::default(), &homeless);
    assert!(settings.is_none() && issues[0].message.contains("HOME"), "{issues:?}");
    let (settings, issues) = resolve(&raw(&[("KMI_STATE_DIR", "/var/kmi")]), &homeless);
    assert!(settings.is_some(), "{issues:?}");
}

#[cfg(unix)]
#[test]
fn a_socket_path_that_the_system_cannot_take_is_said() {
    let deep = format!("/{}", "d".repeat(120));
    let issues = bad(&[("KMI_STATE_DIR", deep.as_str())]);
    assert!(issues[0].message.contains("shorter"), "{issues:?}");
    good(&[("KMI_STATE_DIR", deep.as_str()), ("KMI_SOCKET", "/tmp/kmid.sock")]);
}

#[test]
fn the_client_does_not_judge_the_daemon() {
    let both = raw(&[("KMI_DRY_RUN", "maybe"), ("KMI_PROXY_LISTEN", "0.0.0.0:1"), ("KMI_LOCALE", "ru")]);
    let (client, issues) = resolve_client(&both, &facts());
    assert_eq!((client.unwrap().locale, issues), (Locale::Ru, vec![]));
    let (client, issues) = resolve_client(&raw(&[("KMI_PLAIN", "perhaps")]), &facts());
    assert!(client.is_none() && issues[0].subject == "KMI_PLAIN");
}

#[test]
fn no_color_counts_without_its_prefix() {
    let (client, _) = resolve_client(&raw(&[("KMI_NO_COLOR", "0")]), &Facts { no_color: true, ..facts() });
    assert!(client.unwrap().no_color);
}

#[test]
fn the_strongest_source_wins_in_any_order() {
    let found = || Source::FoundEnvFile("/a/.env".into());
    let sources = [Source::Flag, Source::EnvFile("/b".into()), Source::Environment, found()];
    for (strong, one) in sources.iter().enumerate() {
        for other in &sources[strong + 1..] {
            for order in [[one, other], [other, one]] {
                let mut raw = RawValues::default();
                for source in order {
                    let value = if source == one { "strong" } else { "weak" };
                    raw.set(&env::AUDIT_ACTOR, value, source.clone());
                }
                let (settings, _) = resolve(&raw, &facts());
                assert_eq!(settings.unwrap().audit_actor, "strong", "{one:?} {other:?}");
                assert_eq!(raw.source(&env::AUDIT_ACTOR), one);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_value_of_any_variable_is_judged_without_a_panic(
        values in proptest::collection::vec((0..env::ALL.len(), ".{0,40}"), 0..12)
    ) {
        let mut raw = RawValues::default();
        for (at, value) in &values {
            raw.set(env::ALL[*at], value, Source::Environment);
        }
        let (settings, issues) = resolve(&raw, &facts());
        prop_assert_eq!(settings.is_none(), issues.iter().any(|issue| issue.error));
    }

    #[test]
    fn a_token_is_never_in_an_issue(token in "canary[ -~\n\té]{0,20}", listen in "0.0.0.0:1|[a-z]{0,5}") {
        let named = format!("laptop:{token}");
        let (_, issues) = resolve(
            &raw(&[("KMI_PROXY_TOKEN", &token), ("KMI_PROXY_TOKENS", &named), ("KMI_PROXY_LISTEN", &listen)]),
            &facts(),
        );
        let shown = format!("{issues:?}");
        prop_assert!(!shown.contains("canary"));
    }
}
