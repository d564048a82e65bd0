//! What a reload takes over: the table says it, and this holds it for every variable.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use kmid_config::env::{self, TakesEffect, Variable};
use kmid_config::load::{Launch, Loaded, load, reload};
use kmid_config::outside::Outside;
use kmid_config::settings::Settings;
use kmid_config::show::{changes, explain};
use tempfile::TempDir;

/// A machine with a settings file that was named in the environment, so that it may set everything.
struct Machine {
    temp: TempDir,
    outside: Outside,
}

impl Machine {
    fn new(settings: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("settings.env");
        let vars = [("KMI_ENV_PATH".to_owned(), file.into_os_string())].into_iter().collect();
        let home = Some(temp.path().to_owned());
        let outside = Outside { vars, cwd: home.clone(), home, user: "me".into(), local_zone: TimeZone::UTC };
        let machine = Self { temp, outside };
        machine.write(settings);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn write(&self, settings: &str) {
        fs::write(self.path("settings.env"), settings).unwrap();
    }

    fn started(&self) -> Loaded<Settings> {
        load(&Launch::default(), &self.outside).unwrap()
    }
}

fn shown(settings: &Settings, variable: &Variable) -> String {
    let rows = explain(settings, &Default::default());
    rows.into_iter().find(|row| row.name == variable.name).unwrap().value
}

/// A value other than the default.
fn other(variable: &Variable, machine: &Machine) -> String {
    let value = match variable.name {
        "KMI_STATE_DIR" | "KMI_SOCKET" | "KMI_AUTHS_DIR" | "KMI_KIMI_BIN" => "/elsewhere",
        "KMI_UPSTREAM_BASE_URL" => "https://api.kimi.ai/coding/v1",
        "KMI_ROTATE_POLICY" => "drain",
        "KMI_UPSTREAM_HTTP" => "auto",
        "KMI_UPSTREAM_ALLOWLIST" => "*.kimi.com",
        "KMI_PROXY_LISTEN" | "KMI_METRICS_LISTEN" => "[::1]:1",
        "KMI_PROXY_BASE_PATH" => "/other",
        "KMI_PROXY_TOKEN" => "token-of-a-test",
        "KMI_PROXY_TERMINATORS" => "10.0.0.2,fd00::2",
        "KMI_PROXY_TOKENS" => "laptop:token-of-a-laptop",
        "KMI_LOG_LEVEL" => "debug",
        "KMI_TIMEZONE" => "+03:00",
        "KMI_LOCALE" => "ru",
        "KMI_AUDIT_ACTOR" => "somebody",
        "KMI_PROXY_REPLAY_TOTAL_MB" => "17",
        "KMI_PROXY_TLS_CERT" | "KMI_PROXY_TLS_KEY" => {
            let file = machine.path("file.pem");
            fs::write(&file, "").unwrap();
            return file.display().to_string();
        }
        _ if variable.default == "1" => "0",
        _ if variable.default == "0" => "1",
        _ => "7",
    };
    value.to_owned()
}

/// Some settings want one.
const TOKEN: &str = "KMI_PROXY_TOKEN=token-from-the-start\n";

#[test]
fn every_variable_does_what_the_table_says() {
    // It names the file, so it cannot stand in it; flags and environment do not change while a process runs.
    for variable in env::ALL.iter().filter(|variable| variable.name != env::ENV_PATH.name) {
        let token = if variable.name == "KMI_PROXY_TOKEN" { "" } else { TOKEN };
        let machine = Machine::new(token);
        let started = machine.started();
        let value = other(variable, &machine);
        let mut text = format!("{token}{}={value}\n", variable.name);
        if variable.name.starts_with("KMI_PROXY_TLS_") && variable.name != env::PROXY_TLS_TERMINATED.name {
            text = format!("{TOKEN}KMI_PROXY_TLS_CERT={value}\nKMI_PROXY_TLS_KEY={value}\n");
        }
        machine.write(&text);
        let reloaded = reload(&Launch::default(), &machine.outside, &started.raw).unwrap();
        let (old, now) = (shown(&started.settings, variable), shown(&reloaded.in_force.settings, variable));
        let later = shown(&reloaded.wanted, variable);
        assert_ne!(old, later, "{}: the test changes nothing", variable.name);
        let taken = changes(&started.settings, &reloaded.in_force.settings);
        let waiting = changes(&reloaded.in_force.settings, &reloaded.wanted);
        match variable.takes_effect {
            TakesEffect::Now | TakesEffect::NextCommand => {
                assert_eq!(now, later, "{}", variable.name);
                assert_eq!((taken.now, waiting), (vec![variable.name], Default::default()));
            }
            TakesEffect::Restart => {
                assert_eq!(now, old, "{}", variable.name);
                assert_eq!(taken, Default::default(), "{}", variable.name);
                assert!(waiting.needs_restart.contains(&variable.name) && waiting.now.is_empty());
            }
        }
        // The next reload still compares with what the daemon was started with.
        machine.write(token);
        let back = reload(&Launch::default(), &machine.outside, &started.raw).unwrap();
        assert_eq!(changes(&started.settings, &back.in_force.settings), Default::default());
        assert_eq!(changes(&back.in_force.settings, &back.wanted), Default::default());
    }
}

#[test]
fn only_kmi_reads_what_counts_with_its_next_command() {
    let names: Vec<&str> =
        env::ALL.iter().filter(|v| v.takes_effect == TakesEffect::NextCommand).map(|v| v.name).collect();
    let expected = ["NO_AUTOSTART", "KIMI_BIN", "AUTO_ROTATE_E2E", "LOCALE", "PLAIN", "NO_COLOR"];
    assert_eq!(names, expected.map(|name| format!("KMI_{name}")));
}

#[test]
fn a_token_is_not_taken_from_a_listener_that_needs_it() {
    let open = "KMI_PROXY_LISTEN=0.0.0.0:1\nKMI_PROXY_ALLOW_REMOTE=1\nKMI_PROXY_REQUIRE_TLS=0\n";
    let machine = Machine::new(&format!("{open}KMI_PROXY_TOKEN=token-of-a-test\n"));
    let started = machine.started();
    // These settings are sound for a daemon that starts with them; the running one would be open to everybody.
    machine.write("KMI_PROXY_LISTEN=127.0.0.1:1\n");
    let error = reload(&Launch::default(), &machine.outside, &started.raw).unwrap_err().to_string();
    assert!(error.contains("KMI_PROXY_LISTEN") && error.contains("KMI_PROXY_TOKEN"), "{error}");
    // Another token is as good.
    machine.write(&format!("{open}KMI_PROXY_TOKEN=another-token\n"));
    let reloaded = reload(&Launch::default(), &machine.outside, &started.raw).unwrap();
    assert_eq!(changes(&started.settings, &reloaded.in_force.settings).now, ["KMI_PROXY_TOKEN"]);
}
