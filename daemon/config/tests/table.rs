//! The table of variables, `.env.example` and the settings agree.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;

use jiff::tz::TimeZone;
use kmid_config::dotenv;
use kmid_config::env::{self, TakesEffect};
use kmid_config::resolve::{Facts, RawValues, Source, resolve};
use kmid_config::settings::{Locale, Settings};
use kmid_config::show::{changes, explain};

fn facts() -> Facts {
    let root = if cfg!(windows) { "C:\\home" } else { "/home" };
    Facts {
        home: Some(Path::new(root).join("me")),
        cwd: Some(root.into()),
        user: "me".into(),
        local_zone: TimeZone::UTC,
        system_locale: Locale::En,
        no_color: false,
        https_proxy: None,
        no_proxy: None,
        env_file: None,
        found_auths_dir: None,
    }
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let mut raw = RawValues::default();
    for (name, value) in pairs {
        raw.set(env::find(name).unwrap(), value, Source::Environment);
    }
    let (settings, issues) = resolve(&raw, &facts());
    settings.unwrap_or_else(|| panic!("{issues:?}"))
}

/// What `.env.example` has to be.
fn example() -> String {
    let mut text = String::from(
        "# Settings of kmid and kmi. Copy this file to ~/.kmi/.env, or to .env beside the folder _auths in which you\n\
         # start kmid, and take away the # in front of what you want to change. Each line shows the default.\n\
         # Strongest first: command-line flag, the file named by KMI_ENV_PATH, the environment, a .env found by default.\n\
         # Values marked (kmi) are read by kmi too. Switches take 1 true yes on / 0 false no off.\n\
         # A running kmid takes over what changes here within two seconds, or at once with `kmi proxy-reload`; what is\n\
         # marked (restart) waits for `kmi proxy-restart`, which refuses and cuts off no request.\n",
    );
    let mut group = "";
    for variable in env::ALL {
        if variable.group != group {
            group = variable.group;
            text += &format!("\n# --- {group} ---\n");
        }
        let reader = if variable.client { " (kmi)" } else { "" };
        let restart = if variable.takes_effect == TakesEffect::Restart { " (restart)" } else { "" };
        text +=
            &format!("\n# {}{reader}{restart}\n#{}={}\n", variable.meaning, variable.name, variable.default);
    }
    text
}

#[test]
fn the_example_file_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.env.example");
    let written = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    let expected = example();
    if std::env::var_os("UPDATE_ENV_EXAMPLE").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(written == expected, ".env.example differs from env.rs; run this test with UPDATE_ENV_EXAMPLE=1");
}

#[test]
fn the_example_file_with_every_line_in_force_changes_nothing() {
    let all = example().replace("\n#KMI_", "\nKMI_");
    let found = dotenv::parse(&all);
    assert!(found.bad_lines.is_empty());
    assert_eq!(found.pairs.len(), env::ALL.len());
    let mut raw = RawValues::default();
    for (name, value) in &found.pairs {
        raw.set(env::find(name).unwrap(), value, Source::EnvFile("/x/.env".into()));
    }
    let (all_set, issues) = resolve(&raw, &facts());
    assert_eq!(issues, []);
    assert_eq!(changes(&settings(&[]), &all_set.unwrap()), Default::default());
}

#[test]
fn names_are_unique_and_every_entry_has_a_line() {
    let names: BTreeSet<&str> = env::ALL.iter().map(|variable| variable.name).collect();
    assert_eq!(names.len(), env::ALL.len());
    for variable in env::ALL {
        assert!(variable.name.starts_with("KMI_") && variable.meaning.len() > 5, "{}", variable.name);
    }
    let secrets: Vec<&str> = env::ALL.iter().filter(|v| v.secret).map(|v| v.name).collect();
    assert_eq!(secrets, ["KMI_PROXY_TOKEN", "KMI_PROXY_TOKENS"], "show::changes compares these by hand");
}

#[test]
fn each_variable_reaches_its_own_setting() {
    // A value other than the default, per variable; TLS files only count in pairs.
    let other = |variable: &env::Variable| match variable.name {
        "KMI_ENV_PATH" | "KMI_PROXY_TLS_CERT" | "KMI_PROXY_TLS_KEY" => None,
        "KMI_STATE_DIR" | "KMI_SOCKET" | "KMI_AUTHS_DIR" => Some("/elsewhere"),
        "KMI_UPSTREAM_BASE_URL" => Some("https://api.kimi.ai/coding/v1"),
        "KMI_ROTATE_POLICY" => Some("drain"),
        "KMI_UPSTREAM_HTTP" => Some("auto"),
        "KMI_UPSTREAM_ALLOWLIST" => Some("*.kimi.com"),
        "KMI_PROXY_LISTEN" | "KMI_METRICS_LISTEN" => Some("[::1]:1"),
        "KMI_PROXY_BASE_PATH" => Some("/"),
        "KMI_PROXY_TOKEN" => Some("token"),
        "KMI_PROXY_TERMINATORS" => Some("10.0.0.2"),
        "KMI_PROXY_TOKENS" => Some("laptop:token"),
        // These need a token beside them.
        "KMI_PROXY_TLS_TERMINATED" => None,
        "KMI_LOG_LEVEL" => Some("debug"),
        "KMI_TIMEZONE" => Some("+03:00"),
        "KMI_LOCALE" => Some("ru"),
        "KMI_AUDIT_ACTOR" => Some("somebody"),
        "KMI_PROXY_REPLAY_TOTAL_MB" => Some("17"),
        _ if variable.default == "1" => Some("0"),
        _ if variable.default == "0" => Some("1"),
        _ => Some("7"),
    };
    for variable in env::ALL {
        let Some(value) = other(variable) else { continue };
        let found = changes(&settings(&[]), &settings(&[(variable.name, value)]));
        let mut expected = vec![variable.name];
        if variable.name == "KMI_STATE_DIR" {
            expected.push("KMI_SOCKET");
        }
        let (now, later) = match variable.takes_effect {
            TakesEffect::Now | TakesEffect::NextCommand => (expected, vec![]),
            TakesEffect::Restart => (vec![], expected),
        };
        assert_eq!((found.now, found.needs_restart), (now, later), "{}", variable.name);
    }
    let token = ("KMI_PROXY_TOKEN", "token");
    let found = changes(&settings(&[token]), &settings(&[token, ("KMI_PROXY_TLS_TERMINATED", "1")]));
    assert_eq!(found.needs_restart, ["KMI_PROXY_TLS_TERMINATED"]);
    let tls = settings(&[("KMI_PROXY_TLS_CERT", "/c.pem"), ("KMI_PROXY_TLS_KEY", "/k.pem")]);
    let found = changes(&settings(&[]), &tls);
    assert_eq!(found.needs_restart, ["KMI_PROXY_TLS_CERT", "KMI_PROXY_TLS_KEY"]);
}

#[test]
fn a_changed_token_is_noticed_and_never_shown() {
    let (old, new) =
        (settings(&[("KMI_PROXY_TOKEN", "canary-1")]), settings(&[("KMI_PROXY_TOKEN", "canary-2")]));
    assert_eq!(changes(&old, &new).now, ["KMI_PROXY_TOKEN"]);
    assert_eq!(changes(&old, &old.clone()), Default::default());
    let named = |tokens| settings(&[("KMI_PROXY_TOKENS", tokens)]);
    let (both, one) = (named("laptop:canary-1,desktop:canary-2"), named("laptop:canary-1"));
    assert_eq!(changes(&both, &one).now, ["KMI_PROXY_TOKENS"]);
    assert_eq!(changes(&both, &both.clone()), Default::default());
    let mut raw = RawValues::default();
    raw.set(&env::PROXY_TOKEN, "canary-2", Source::Environment);
    let rows = serde_json::to_string(&explain(&new, &raw)).unwrap();
    assert!(rows.contains(r#"{"name":"KMI_PROXY_TOKEN","value":"set","source":"environment"}"#), "{rows}");
    assert!(!format!("{rows}{new:?}{raw:?}").contains("canary"));
}

#[test]
fn values_are_shown_as_they_would_be_written() {
    let zone = |text| {
        let rows = explain(&settings(&[("KMI_TIMEZONE", text)]), &RawValues::default());
        rows.into_iter().find(|row| row.name == "KMI_TIMEZONE").unwrap().value
    };
    assert_eq!((zone("-02:30"), zone("europe/moscow")), ("-02:30".into(), "Europe/Moscow".into()));
}
