#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use kmid_core::key::Secret;

use super::super::{ClientFiles, PLACEHOLDER};
use super::*;

const FILE: &str = "default_model = 'm'\n[models.m]\nprovider = 'p'\n[providers.p]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = 'sk-old-0123456789' # mine\n";

struct Place {
    dir: tempfile::TempDir,
    homes: Homes,
    path: PathBuf,
}

fn place(text: &str) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let homes = Homes { home: Some(dir.path().to_owned()), ..Homes::default() };
    let path = dir.path().join(".kimi-code/config.toml");
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    Place { dir, homes, path }
}

impl Place {
    fn connect_to(&self, port: u16, dry_run: bool) -> Change {
        let wiring =
            Wiring { url: format!("http://127.0.0.1:{port}/kmi-rotor/v1"), key: Secret::new(PLACEHOLDER) };
        connect(&self.homes, Client::KimiCode, &wiring, dry_run)
    }

    fn connect(&self) -> Change {
        self.connect_to(1, false)
    }

    fn disconnect(&self) -> Change {
        disconnect(&self.homes, Client::KimiCode, false)
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join(".kimi-code")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

const BESIDE: [&str; 3] = ["config.toml", "config.toml.before-kmi", "config.toml.kmi-connection"];

#[test]
fn there_and_back() {
    let place = place(FILE);
    let done = place.connect();
    assert_eq!((done.outcome, done.changes.len()), (Outcome::Connected, 2), "{done:?}");
    assert!(!format!("{done:?}").contains("sk-old"));
    assert!(place.text().contains("http://127.0.0.1:1/kmi-rotor/v1"));
    assert_eq!(place.names(), BESIDE);
    assert_eq!(fs::read_to_string(done.original.unwrap()).unwrap(), FILE);
    assert!(is_connected(&place.path));
    assert_eq!(place.connect().outcome, Outcome::AlreadyConnected);
    let back = place.disconnect();
    assert_eq!((back.outcome, back.changes.len()), (Outcome::Disconnected, 2), "{back:?}");
    assert_eq!((place.text().as_str(), place.names()), (FILE, vec!["config.toml".to_owned()]));
    assert_eq!(place.disconnect().outcome, Outcome::NotConnected);
}

#[test]
fn another_address_later_still_leads_back() {
    let place = place(FILE);
    place.connect();
    let again = place.connect_to(2, false);
    assert_eq!(
        (again.outcome, again.changes[0].from.as_str()),
        (Outcome::Connected, "https://api.kimi.com/coding/v1")
    );
    assert!(place.text().contains("127.0.0.1:2/"));
    place.disconnect();
    assert_eq!(place.text(), FILE);
}

#[test]
fn a_persons_edit_stays() {
    let place = place(FILE);
    place.connect();
    let edited = format!("theme = 'dark'\n{}", place.text().replace("\"kmi\"", "'sk-mine'"));
    fs::write(&place.path, &edited).unwrap();
    let back = place.disconnect();
    assert_eq!(back.outcome, Outcome::TakenBack);
    assert_eq!(back.warnings, ["providers.p.api_key was changed or removed meanwhile and stays so"]);
    assert_eq!(place.text(), format!("theme = 'dark'\n{}", FILE.replace("'sk-old-0123456789'", "'sk-mine'")));
    assert_eq!(place.names(), BESIDE[..2], "the original is kept");
}

#[test]
fn a_dry_run_writes_nothing() {
    let place = place(FILE);
    let done = place.connect_to(1, true);
    assert_eq!((done.outcome, done.changes.len()), (Outcome::Connected, 2));
    assert_eq!((place.text().as_str(), place.names()), (FILE, vec!["config.toml".to_owned()]));
    place.connect();
    let connected = place.text();
    assert_eq!(disconnect(&place.homes, Client::KimiCode, true).outcome, Outcome::Disconnected);
    assert_eq!((place.text(), place.names()), (connected, BESIDE.map(str::to_owned).to_vec()));
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_left_behind() {
    for (text, says) in [
        ("[providers\n", "not valid TOML"),
        ("", "which provider"),
        ("[providers.kimi]\nbase_url = ''\napi_key = ''\noauth = { key = 'x' }\n", "OAuth"),
    ] {
        let place = place(text);
        let done = place.connect();
        assert_eq!(done.outcome, Outcome::LeftAlone);
        assert!(done.warnings[0].contains(says), "{done:?}");
        assert_eq!((place.text().as_str(), place.names()), (text, vec!["config.toml".to_owned()]));
    }
    let place = place(FILE);
    fs::remove_file(&place.path).unwrap();
    assert!(place.connect().warnings[0].contains("no such file"));
    assert_eq!(
        connect(
            &Homes::default(),
            Client::KimiCli,
            &Wiring { url: String::new(), key: Secret::new("x") },
            false
        )
        .outcome,
        Outcome::LeftAlone
    );
}

#[test]
fn files_that_broke_or_went_meanwhile() {
    let place = place(FILE);
    place.connect();
    let connected = place.text();
    fs::write(&place.path, "=").unwrap();
    let back = place.disconnect();
    assert_eq!(back.outcome, Outcome::LeftAlone);
    assert!(back.warnings[0].contains("not valid TOML") && back.original.is_some(), "{back:?}");
    assert!(is_connected(&place.path));
    fs::write(&place.path, connected).unwrap();
    let record = fs::read(record_path(&place.path)).unwrap();
    fs::write(record_path(&place.path), "sk-secret").unwrap();
    let back = place.disconnect();
    assert!(back.outcome == Outcome::LeftAlone && !back.warnings[0].contains("sk-secret"), "{back:?}");
    fs::write(record_path(&place.path), record).unwrap();
    fs::remove_file(&place.path).unwrap();
    let back = place.disconnect();
    assert_eq!((back.outcome, back.original.is_some()), (Outcome::NotConnected, true));
    assert_eq!(place.names(), ["config.toml.before-kmi"]);
    // What cannot be connected takes the only copy of the person's own away as little as what can.
    fs::write(&place.path, "[providers\n").unwrap();
    assert_eq!(place.connect().outcome, Outcome::LeftAlone);
    assert_eq!(place.names(), ["config.toml", "config.toml.before-kmi"]);
    fs::write(&place.path, FILE.replace("sk-old", "sk-new")).unwrap();
    assert_eq!(place.connect().outcome, Outcome::Connected);
    let aside = place.path.with_file_name("config.toml.before-kmi.1");
    assert_eq!(fs::read_to_string(&aside).unwrap(), FILE);
    assert_eq!(place.disconnect().outcome, Outcome::Disconnected);
    assert_eq!(fs::read_to_string(&aside).unwrap(), FILE);
}

#[cfg(unix)]
#[test]
fn a_connection_that_cannot_be_written_leaves_the_record_of_the_one_before() {
    let place = place(FILE);
    place.connect();
    // Beside a name of this length no other file can be made for it.
    let long = place.path.with_file_name("x".repeat(250));
    fs::rename(&place.path, &long).unwrap();
    std::os::unix::fs::symlink(&long, &place.path).unwrap();
    assert_eq!(place.connect_to(2, false).outcome, Outcome::LeftAlone);
    fs::rename(&long, &place.path).unwrap();
    assert_eq!(place.disconnect().outcome, Outcome::Disconnected);
    assert_eq!(place.text(), FILE);
}

#[cfg(unix)]
#[test]
fn the_owner_stays() {
    use std::os::unix::fs::{MetadataExt, chown};
    let place = place(FILE);
    // Only root can give a file away; for everybody else the owner stays by itself.
    if chown(&place.path, Some(1234), Some(1234)).is_err() {
        return;
    }
    place.connect();
    let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
    assert_eq!(owner(&place.path), (1234, 1234));
    place.disconnect();
    assert_eq!((owner(&place.path), place.text().as_str()), ((1234, 1234), FILE));
}

#[test]
fn changes_at_the_same_time_come_one_after_the_other() {
    let place = place(FILE);
    let files = ClientFiles::new(place.homes.clone());
    let wiring = || Wiring { url: "http://127.0.0.1:1/kmi-rotor/v1".into(), key: Secret::new(PLACEHOLDER) };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let files = &files;
            scope.spawn(move || {
                for _ in 0..100 {
                    let client = Client::KimiCode;
                    if thread % 2 == 0 {
                        files.change(|homes| drop(connect(homes, client, &wiring(), false)));
                    } else {
                        files.change(|homes| drop(disconnect(homes, client, false)));
                    }
                }
            });
        }
    });
    place.connect();
    assert_eq!(place.names(), BESIDE);
    assert_eq!(place.disconnect().outcome, Outcome::Disconnected);
    assert_eq!((place.text().as_str(), place.names()), (FILE, vec!["config.toml".to_owned()]));
}

#[cfg(unix)]
#[test]
fn the_mode_stays_and_what_lies_beside_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let place = place(FILE);
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o640)).unwrap();
    place.connect();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path), 0o640);
    assert_eq!((mode(&original_path(&place.path)), mode(&record_path(&place.path))), (0o600, 0o600));
    place.disconnect();
    assert_eq!(mode(&place.path), 0o640);
}

#[test]
fn what_kimi_cli_asks_elsewhere_is_said() {
    let place = place(FILE);
    let cli = place.dir.path().join(".kimi/config.toml");
    fs::create_dir(cli.parent().unwrap()).unwrap();
    let wiring = Wiring { url: "http://127.0.0.1:1/kmi-rotor/v1".to_owned(), key: Secret::new(PLACEHOLDER) };
    for (name, warned) in [("mine", false), ("managed:kimi-code", true)] {
        fs::write(&cli, FILE.replace("'p'", &format!("'{name}'")).replace(".p]", &format!(".'{name}']")))
            .unwrap();
        let done = connect(&place.homes, Client::KimiCli, &wiring, true);
        assert_eq!(done.outcome, Outcome::Connected, "{done:?}");
        let says = format!("KIMI_CODE_BASE_URL={}", wiring.url);
        assert_eq!(done.warnings.iter().any(|warning| warning.contains(&says)), warned, "{done:?}");
    }
}
