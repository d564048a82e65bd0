//! Finding the settings file and the key directory, on a real disk, with an injected environment.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use kmid_config::issue::BadSettings;
use kmid_config::load::{Launch, Loaded, load, load_client};
use kmid_config::outside::Outside;
use kmid_config::settings::{Locale, Settings};
use tempfile::TempDir;

/// A machine with a home and a folder in which a person types commands.
struct Machine {
    _temp: TempDir,
    root: PathBuf,
    vars: Vec<(String, OsString)>,
    flags: Vec<(&'static str, OsString)>,
}

impl Machine {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        for folder in ["home", "folder"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        Self { _temp: temp, root, vars: Vec::new(), flags: Vec::new() }
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn dir(&self, path: &str) -> &Self {
        fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn var(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    fn outside(&self) -> Outside {
        Outside {
            vars: self.vars.iter().cloned().collect(),
            cwd: Some(self.at("folder")),
            home: Some(self.at("home")),
            user: "me".into(),
            local_zone: TimeZone::UTC,
        }
    }

    fn launch(&self, in_folder: bool) -> Launch {
        let folder = in_folder.then(|| self.at("folder"));
        Launch { flags: self.flags.clone(), folder, found_env_file: None }
    }

    fn typed(&self) -> Result<Loaded<Settings>, BadSettings> {
        load(&self.launch(true), &self.outside())
    }

    fn on_demand(&self) -> Result<Loaded<Settings>, BadSettings> {
        load(&self.launch(false), &self.outside())
    }
}

fn actor(loaded: &Loaded<Settings>) -> &str {
    &loaded.settings.audit_actor
}

#[test]
fn the_language_is_the_systems_unless_a_person_names_one() {
    let language = |vars: &[(&str, &str)]| {
        let mut machine = Machine::new();
        for (name, value) in vars {
            machine.var(name, *value);
        }
        load_client(&Launch::default(), &machine.outside()).unwrap().settings.locale
    };
    assert_eq!(language(&[]), Locale::En);
    for name in ["ru", "ru_RU", "ru_RU.UTF-8", "ru_UA@euro"] {
        assert_eq!(language(&[("LANG", name)]), Locale::Ru, "{name}");
    }
    for name in ["C.UTF-8", "POSIX", "de_DE.UTF-8", "run", ""] {
        assert_eq!(language(&[("LANG", name)]), Locale::En, "{name}");
    }
    let (russian, english) = ("ru_RU.UTF-8", "en_GB.UTF-8");
    assert_eq!(language(&[("LANG", russian), ("LC_MESSAGES", english)]), Locale::En);
    assert_eq!(language(&[("LANG", english), ("LC_MESSAGES", russian)]), Locale::Ru);
    assert_eq!(language(&[("LC_MESSAGES", english), ("LC_ALL", russian)]), Locale::Ru);
    assert_eq!(language(&[("LANG", russian), ("LC_ALL", "")]), Locale::Ru, "an empty one is not set");
    assert_eq!(language(&[("LANG", russian), ("KMI_LOCALE", "en")]), Locale::En);
    assert_eq!(language(&[("LANG", russian), ("KMI_LOCALE", "system")]), Locale::Ru);
    assert_eq!(language(&[("KMI_LOCALE", "ru")]), Locale::Ru);
}

#[test]
fn key_directories_in_their_order() {
    let machine = Machine::new();
    assert_eq!(machine.typed().unwrap().settings.auths_dir, None);
    for (dir, on_demand) in [
        ("home/.kimi/_auths", "home/.kimi/_auths"),
        ("home/.kmi/_auths", "home/.kmi/_auths"),
        ("folder/_auths", "home/.kmi/_auths"),
    ] {
        machine.dir(dir);
        assert_eq!(machine.typed().unwrap().settings.auths_dir, Some(machine.at(dir)));
        assert_eq!(machine.on_demand().unwrap().settings.auths_dir, Some(machine.at(on_demand)));
    }
    let candidates = machine.typed().unwrap().auths_candidates;
    assert_eq!(
        candidates,
        ["folder/_auths", "home/.kmi/_auths", "home/.kimi/_auths"].map(|dir| machine.at(dir))
    );
    let mut machine = machine;
    machine.var("KMI_AUTHS_DIR", "~/later");
    let loaded = machine.typed().unwrap();
    assert_eq!(loaded.settings.auths_dir, Some(machine.at("home/later")));
    assert_eq!(loaded.auths_candidates, [machine.at("home/later")]);
}

#[test]
fn the_env_file_follows_the_keys() {
    let machine = Machine::new();
    machine.file("folder/.env", "KMI_AUDIT_ACTOR=folder\n").file("home/.kmi/.env", "KMI_AUDIT_ACTOR=state\n");
    assert_eq!(actor(&machine.typed().unwrap()), "state", "no keys here: the folder's file means nothing");
    machine.dir("folder/_auths");
    let loaded = machine.typed().unwrap();
    assert_eq!(actor(&loaded), "folder");
    assert_eq!(loaded.settings.env_file, Some(machine.at("folder/.env")));
    assert_eq!(actor(&machine.on_demand().unwrap()), "state", "started on demand");
    fs::remove_file(machine.at("folder/.env")).unwrap();
    let loaded = machine.typed().unwrap();
    assert_eq!((actor(&loaded), loaded.settings.env_file.clone()), ("me", None));
}

#[test]
fn keys_named_elsewhere_leave_the_folders_file_alone() {
    let mut machine = Machine::new();
    machine
        .dir("folder/_auths")
        .dir("home/keys")
        .file("folder/.env", "KMI_UPSTREAM_BASE_URL=https://evil.example\n");
    machine.var("KMI_AUTHS_DIR", machine.at("home/keys"));
    assert_eq!(machine.typed().unwrap().settings.upstream_base_url.host(), "api.kimi.com");
    // Named, but the same place as ./_auths
    machine.var("KMI_AUTHS_DIR", "_auths");
    assert_eq!(machine.typed().unwrap().settings.upstream_base_url.host(), "evil.example");
}

#[cfg(unix)]
#[test]
fn a_linked_auths_is_not_the_folders_own() {
    let machine = Machine::new();
    machine.dir("home/keys").file("folder/.env", "KMI_UPSTREAM_BASE_URL=https://evil.example\n");
    std::os::unix::fs::symlink(machine.at("home/keys"), machine.at("folder/_auths")).unwrap();
    let loaded = machine.typed().unwrap();
    assert_eq!(loaded.settings.upstream_base_url.host(), "api.kimi.com");
    assert_eq!(loaded.settings.auths_dir, Some(machine.at("folder/_auths")));
}

#[test]
fn strength_of_the_sources() {
    let mut machine = Machine::new();
    machine.dir("folder/_auths").file("folder/.env", "KMI_AUDIT_ACTOR=found");
    machine.file("named.env", "\u{feff}# comment\r\n\r\nexport KMI_AUDIT_ACTOR=\"named\"\r\n");
    assert_eq!(actor(&machine.typed().unwrap()), "found");
    machine.var("KMI_AUDIT_ACTOR", "environment");
    assert_eq!(actor(&machine.typed().unwrap()), "environment");
    machine.var("KMI_ENV_PATH", machine.at("named.env"));
    assert_eq!(actor(&machine.typed().unwrap()), "named");
    machine.flags.push(("KMI_AUDIT_ACTOR", "flag".into()));
    let loaded = machine.typed().unwrap();
    assert_eq!(actor(&loaded), "flag");
    let row = |name: &str| loaded.explain().into_iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("KMI_AUDIT_ACTOR").source, "flag");
    assert_eq!(row("KMI_ENV_PATH").source, "environment");
    assert_eq!(row("KMI_DRY_RUN").source, "default");
    assert_eq!(loaded.explain().len(), kmid_config::env::ALL.len());
}

#[test]
fn a_named_file_may_move_everything_and_its_paths_start_beside_it() {
    let mut machine = Machine::new();
    machine.file("etc/kmi.env", "KMI_STATE_DIR=state\nKMI_AUTHS_DIR=../keys\nKMI_SOCKET=s.sock\n");
    machine.var("KMI_ENV_PATH", machine.at("etc/kmi.env"));
    let settings = machine.typed().unwrap().settings;
    assert_eq!(settings.state_dir, machine.at("etc/state"));
    assert_eq!(settings.auths_dir, Some(machine.at("etc/../keys")));
    if cfg!(unix) {
        assert_eq!(settings.socket, machine.at("etc/s.sock"));
    }
}

#[test]
fn a_named_file_that_is_missing_or_unusable_is_an_error() {
    for (path, why) in
        [("nothing.env", "does not exist"), ("home", "is not a file"), ("big", "1 MiB"), ("bytes", "UTF-8")]
    {
        let mut machine = Machine::new();
        machine.file("big", &"#\n".repeat(600_000));
        fs::write(machine.at("bytes"), b"KMI_PLAIN=\xff").unwrap();
        machine.var("KMI_ENV_PATH", machine.at(path));
        for issues in [
            machine.typed().unwrap_err(),
            load_client(&machine.launch(false), &machine.outside()).unwrap_err(),
        ] {
            let text = issues.to_string();
            assert!(text.contains("KMI_ENV_PATH") && text.contains(why), "{text}");
        }
    }
}

#[test]
fn what_a_found_file_may_not_set() {
    let machine = Machine::new();
    machine.dir("folder/_auths");
    for (line, subject) in [
        ("KMI_STATE_DIR=/elsewhere", "KMI_STATE_DIR"),
        ("KMI_SOCKET=/elsewhere/s", "KMI_SOCKET"),
        ("KMI_AUTHS_DIR=/elsewhere", "KMI_AUTHS_DIR"),
        ("KMI_AUTHS_DIR=..", "KMI_AUTHS_DIR"),
        ("KMI_AUTHS_DIR=~/keys", "KMI_AUTHS_DIR"),
    ] {
        machine.file("folder/.env", line);
        let issues = machine.typed().unwrap_err().issues;
        assert_eq!(
            issues.iter().map(|issue| issue.subject.as_str()).collect::<Vec<_>>(),
            [subject],
            "{line}"
        );
    }
    machine.file("folder/.env", "KMI_AUTHS_DIR=./more/keys");
    assert_eq!(machine.typed().unwrap().settings.auths_dir, Some(machine.at("folder/more/keys")));
    machine.file("home/.kmi/.env", "KMI_SOCKET=/elsewhere");
    let text = load_client(&machine.launch(false), &machine.outside()).unwrap_err().to_string();
    assert!(text.contains("KMI_SOCKET"), "{text}");
}

#[test]
fn bad_lines_are_all_named_by_number_and_never_repeated() {
    let machine = Machine::new();
    machine.file("home/.kmi/.env", "canary one\nKMI_PLAIN=1\nKMI_DRY_RUN=canary two\nKMI_LOCALE=de\n");
    let text = machine.on_demand().unwrap_err().to_string();
    assert!(text.contains("line 1 ") && text.contains("line 3 ") && text.contains("KMI_LOCALE"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn the_client_lives_with_a_bad_found_file() {
    let machine = Machine::new();
    machine
        .file("home/.kmi/.env", "nonsense\nKMI_LOCALE=ru\nKMI_DRY_RUN=maybe\nKMI_AUTHS_DIR=/x\nKMI_TYPO=1\n");
    let loaded = load_client(&machine.launch(false), &machine.outside()).unwrap();
    assert_eq!(loaded.settings.locale, Locale::Ru);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    assert!(machine.on_demand().is_err());
}

#[test]
fn unknown_names_are_warnings() {
    let mut machine = Machine::new();
    machine.var("KMI_DRYRUN", "canary").var("OTHER", "x");
    machine.file("home/.kmi/.env", "KMI_API_KEY=canary\nANYTHING=canary\nKMI_PLAIN=0\nKMI_PLAIN=1\n");
    let loaded = machine.on_demand().unwrap();
    let text: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text[0].contains("did you mean KMI_DRY_RUN?"), "{text:?}");
    assert!(text.iter().any(|line| line.starts_with("KMI_API_KEY") && line.contains("key file")), "{text:?}");
    assert!(
        text.iter().any(|line| line.starts_with("KMI_PLAIN") && line.contains("more than once")),
        "{text:?}"
    );
    assert!(!text.concat().contains("canary") && loaded.settings.plain);
}

#[test]
fn a_restart_keeps_the_paths() {
    let mut machine = Machine::new();
    machine.dir("folder/_auths").file("folder/.env", "KMI_AUDIT_ACTOR=folder");
    machine.var("KMI_STATE_DIR", "state");
    let first = machine.typed().unwrap();
    // The new process runs elsewhere, and the folder looks different by then.
    let outside = Outside { cwd: Some(machine.at("home")), ..machine.outside() };
    machine.dir("home/_auths").file("home/.env", "KMI_AUDIT_ACTOR=home");
    let again = load(&first.restart, &outside).unwrap();
    assert_eq!(again.settings.state_dir, machine.at("folder/state"));
    assert_eq!(again.settings.auths_dir, Some(machine.at("folder/_auths")));
    assert_eq!(actor(&again), "folder");
    assert_eq!(again.restart, first.restart);
    let args = first.restart.to_args();
    let args: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    let after = |flag: &str| args.iter().position(|arg| *arg == flag).map(|at| Path::new(args[at + 1]));
    assert_eq!(after("--state-dir"), Some(machine.at("folder/state").as_path()));
    assert_eq!(after("--auths-dir"), Some(machine.at("folder/_auths").as_path()));
    assert_eq!(after("--found-env-file"), Some(machine.at("folder/.env").as_path()));
    assert_eq!(after("--env-file"), None);
    // What a service's file holds of it; the rest is for a restart alone.
    let read =
        Launch::from_args(args.iter().copied().chain(["--no-folder", "--socket=/s k.sock", "--env-file"]));
    let mut flags = first.restart.flags.clone();
    flags.push(("KMI_SOCKET", "/s k.sock".into()));
    assert_eq!(read, Launch { flags, ..Launch::default() });

    machine.file("named.env", "KMI_AUDIT_ACTOR=named");
    machine.var("KMI_ENV_PATH", "../named.env");
    let named = machine.typed().unwrap();
    assert_eq!(actor(&load(&named.restart, &outside).unwrap()), "named");
    assert_eq!(named.restart.found_env_file, None);
}

#[test]
fn tls_files_must_be_readable() {
    let mut machine = Machine::new();
    machine.file("folder/cert.pem", "x");
    machine.var("KMI_PROXY_TLS_CERT", "cert.pem").var("KMI_PROXY_TLS_KEY", "key.pem");
    let issues = machine.typed().unwrap_err().issues;
    assert_eq!(issues.iter().map(|issue| issue.subject.as_str()).collect::<Vec<_>>(), ["KMI_PROXY_TLS_KEY"]);
    machine.file("folder/key.pem", "x");
    let tls = machine.typed().unwrap().settings.proxy_tls.unwrap();
    assert_eq!(tls.key, machine.at("folder/key.pem"));
}

#[test]
fn proxies_come_from_the_environment_and_are_not_shown() {
    let mut machine = Machine::new();
    machine
        .var("HTTPS_PROXY", "http://me:canary@proxy:3128")
        .var("no_proxy", "localhost")
        .var("NO_COLOR", "1");
    let settings = machine.typed().unwrap().settings;
    assert_eq!(settings.https_proxy.as_ref().unwrap().expose(), "http://me:canary@proxy:3128");
    assert_eq!((settings.no_proxy.as_deref(), settings.no_color), (Some("localhost"), true));
    assert!(!format!("{settings:?}").contains("canary"));
}

#[test]
fn a_dumb_terminal_gets_no_colours() {
    for (term, no_color) in [("dumb", true), ("xterm-256color", false), ("", false)] {
        let mut machine = Machine::new();
        machine.var("TERM", term);
        assert_eq!(machine.typed().unwrap().settings.no_color, no_color, "{term}");
    }
}

#[cfg(unix)]
#[test]
fn values_that_are_not_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let mut machine = Machine::new();
    machine.var("KMI_LOCALE", OsString::from_vec(vec![0xff]));
    assert_eq!(machine.typed().unwrap_err().issues[0].subject, "KMI_LOCALE");
}
