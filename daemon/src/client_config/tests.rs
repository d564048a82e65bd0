#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use kmid_core::key::{BaseUrl, Secret};

use super::*;

const OLD: &str = "default_model = 'm'\n[models.m]\nprovider = 'p'\n[providers.p]\ntype = 'kimi'\nbase_url = 'https://api.kimi.com/coding/v1'\napi_key = 'sk-old' # mine\n";

struct Place {
    dir: tempfile::TempDir,
    homes: Homes,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let homes = Homes { home: Some(dir.path().to_owned()), ..Homes::default() };
    Place { dir, homes }
}

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn write(&self) -> Written {
        write(&self.homes, &key(), &own())
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn key() -> Key {
    let secret = Secret::new("sk-kimi-new-key");
    Key::new("alpha", secret, BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap())
}

fn own() -> OwnAddress {
    OwnAddress { host: "127.0.0.1".into(), port: 54123, base_path: "/kmi-rotor/v1".into() }
}

fn edited() -> String {
    OLD.replace("'sk-old'", "\"sk-kimi-new-key\"")
}

#[test]
fn both_generations_are_written_with_a_backup_beside() {
    let place = place();
    let cli = place.put(".kimi/config.toml", OLD);
    let code = place.put(".kimi-code/config.toml", OLD);
    assert_eq!(place.write(), Written { written: vec![cli.clone(), code.clone()], warnings: vec![] });
    for (file, folder) in [(&cli, ".kimi"), (&code, ".kimi-code")] {
        assert_eq!(fs::read_to_string(file).unwrap(), edited());
        assert_eq!(place.names(folder), ["config.toml", "config.toml.kmi-backup"]);
        assert_eq!(fs::read_to_string(place.path(folder).join("config.toml.kmi-backup")).unwrap(), OLD);
    }
    // nothing to do: not written, not mentioned, the backup stays
    assert_eq!(place.write(), Written::default());
    assert_eq!(fs::read_to_string(place.path(".kimi/config.toml.kmi-backup")).unwrap(), OLD);
}

#[test]
fn where_no_file_is_none_is_made() {
    let place = place();
    assert_eq!(place.write(), Written::default());
    assert_eq!(place.names("."), Vec::<String>::new());
    assert_eq!(write(&Homes::default(), &key(), &own()), Written::default());
}

#[test]
fn other_homes_and_the_same_twice() {
    let mut place = place();
    let file = place.put("shared/config.toml", OLD);
    place.put(".kimi/config.toml", OLD);
    place.homes.kimi_share_dir = Some(place.path("shared"));
    place.homes.kimi_code_home = Some(place.path("shared/../shared"));
    assert_eq!(place.write().written, [file]);
    assert_eq!(fs::read_to_string(place.path(".kimi/config.toml")).unwrap(), OLD);
}

#[test]
fn what_is_left_alone_is_named_without_its_content() {
    let place = place();
    let cli = place.put(".kimi/config.toml", "api_key = 'sk-old\n");
    let code =
        place.put(".kimi-code/config.toml", &OLD.replace("api.kimi.com/coding", "127.0.0.1:54123/kmi-rotor"));
    let done = place.write();
    assert_eq!(done.written, Vec::<PathBuf>::new());
    assert_eq!(
        done.warnings,
        [
            format!(
                "{}: the file is not valid TOML (line 1) and was left alone; fix it, then try again",
                cli.display()
            ),
            format!(
                "{}: the provider in use points at kmid itself and was left alone; kmid puts the chosen key into each request",
                code.display()
            ),
        ]
    );
    assert_eq!(place.names(".kimi"), ["config.toml"]);
    assert_eq!(place.names(".kimi-code"), ["config.toml"]);
}

#[test]
fn files_that_are_no_config() {
    let place = place();
    place.put(".kimi/config.toml", &"# long\n".repeat(200_000));
    fs::create_dir_all(place.path(".kimi-code/config.toml")).unwrap();
    let warnings = place.write().warnings;
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings.iter().all(|warning| warning.contains("not a regular file of at most 1 MiB")),
        "{warnings:?}"
    );
    fs::write(place.path(".kimi/config.toml"), b"a = '\xff'").unwrap();
    assert!(place.write().warnings[0].contains("not UTF-8"));
}

#[test]
fn what_the_clients_are_set_to() {
    let place = place();
    let cli = place.put(".kimi/config.toml", OLD);
    assert_eq!(
        current_key(&place.homes, &own(), &Tokens::default()),
        [Configured {
            client: Client::KimiCli,
            path: cli.clone(),
            provider: Some("p".into()),
            fingerprint: Some(Fingerprint::of(&Secret::new("sk-old"))),
            points_at_kmid: false,
            token_accepted: None,
            connected: false,
            model: None,
            max_context_size: None,
            provider_type: Some("kimi".into()),
            problem: None,
        }]
    );
    place.write();
    assert_eq!(current_key(&place.homes, &own(), &Tokens::default())[0].fingerprint, Some(key().fingerprint));
    place.put(".kimi/config.toml", "=");
    let broken = &current_key(&place.homes, &own(), &Tokens::default())[0];
    assert!(broken.fingerprint.is_none() && broken.problem.as_deref().unwrap().contains("not valid TOML"));
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn the_mode_stays_and_the_backup_is_private() {
        let place = place();
        let file = place.put(".kimi/config.toml", OLD);
        for wanted in [0o600, 0o644, 0o640] {
            fs::write(&file, OLD).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(wanted)).unwrap();
            assert_eq!(place.write().written.len(), 1);
            assert_eq!(mode(&file), wanted);
            assert_eq!(mode(&place.path(".kimi/config.toml.kmi-backup")), 0o600);
        }
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_written() {
        let place = place();
        let target = place.put("dotfiles/kimi.toml", OLD);
        fs::create_dir(place.path(".kimi")).unwrap();
        let link = place.path(".kimi/config.toml");
        symlink("../dotfiles/kimi.toml", &link).unwrap();
        assert_eq!(place.write().written, std::slice::from_ref(&link));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&target).unwrap(), edited());
        assert_eq!(place.names("dotfiles"), ["kimi.toml"]);
        assert_eq!(place.names(".kimi"), ["config.toml", "config.toml.kmi-backup"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_reported() {
        let place = place();
        fs::create_dir(place.path(".kimi")).unwrap();
        symlink("gone", place.path(".kimi/config.toml")).unwrap();
        assert!(place.write().warnings[0].contains("could not be read"));
    }

    #[test]
    fn without_a_backup_nothing_is_written() {
        let place = place();
        let file = place.put(".kimi/config.toml", OLD);
        // a folder in the backup's place cannot be replaced by a file
        fs::create_dir_all(place.path(".kimi/config.toml.kmi-backup/x")).unwrap();
        let done = place.write();
        assert!(done.warnings[0].contains("backup could not be written"), "{done:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), OLD);
        assert_eq!(place.names(".kimi"), ["config.toml", "config.toml.kmi-backup"]);
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_read_again() {
    let place = place();
    let path = place.put(".kimi/config.toml", OLD);
    let rounds = std::cell::Cell::new(0);
    let secret = Secret::new("sk-kimi-new-key");
    let (base_url, own) = (key().base_url, own());
    let change = Change { secret: &secret, base_url: &base_url, own: &own };
    let done = file::rewrite(&path, |text| {
        rounds.set(rounds.get() + 1);
        if rounds.get() == 1 {
            fs::write(&path, format!("theme = 'dark'\n{OLD}")).unwrap();
        }
        edit(text, &change)
    });
    assert!(done.unwrap().unwrap().changed);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("theme = 'dark'\n{}", edited()));

    let busy = file::rewrite(&path, |text| {
        rounds.set(rounds.get() + 1);
        fs::write(&path, format!("{OLD}# {}", rounds.get())).unwrap();
        edit(&text.replace("sk-kimi-new-key", "sk-old"), &change)
    });
    assert!(busy.unwrap_err().to_string().contains("kept changing"));
    assert_eq!(place.names(".kimi"), ["config.toml", "config.toml.kmi-backup"]);
}
