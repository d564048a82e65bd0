use proptest::prelude::*;

use super::*;

fn text(label: &str, stem: &str) -> Option<String> {
    let secret = Secret::new("sk-kimi-0123456789abcdef");
    NewKey {
        secret: &secret,
        in_keyring: None,
        label,
        base_url: None,
        priority: None,
        disabled: false,
        email: None,
    }
    .text(stem)
    .map(|text| text.to_string())
}

#[test]
fn a_new_file_says_only_what_it_has_to() {
    assert_eq!(text("alpha", "alpha").unwrap(), "KMI_API_KEY=sk-kimi-0123456789abcdef\n");
    assert!(text("my key", "my-key").unwrap().ends_with("\nKMI_KEY_LABEL='my key'\n"));
    assert!(text("my-config", "my-config").unwrap().contains("KMI_KEY_LABEL=my-config"));
    let secret = Secret::new("a#'$b");
    let new = NewKey {
        secret: &secret,
        in_keyring: None,
        label: "a",
        base_url: None,
        priority: Some(-3),
        disabled: false,
        email: None,
    };
    assert_eq!(new.text("a"), None, "what would be read as another key is not written");
    let secret = Secret::new("a#$b");
    let new = NewKey {
        secret: &secret,
        in_keyring: None,
        label: "a",
        base_url: Some("https://x.example/v1"),
        priority: Some(-3),
        disabled: true,
        email: Some("a@example.org"),
    };
    let text = new.text("a").unwrap();
    assert_eq!(
        *text,
        "KMI_API_KEY='a#$b'\nKMI_UPSTREAM_BASE_URL=https://x.example/v1\nKMI_KEY_PRIORITY=-3\n\
         KMI_KEY_DISABLED=1\nKMI_ACCOUNT_EMAIL=a@example.org\n"
    );
}

#[test]
fn what_is_a_key_and_what_a_label() {
    assert_eq!(checked(" \n").unwrap_err(), NoKey::Empty);
    assert_eq!(checked("one two").unwrap_err(), NoKey::Characters);
    assert_eq!(checked("one\ntwo").unwrap_err(), NoKey::Characters);
    assert_eq!(checked(&"k".repeat(513)).unwrap_err(), NoKey::TooLong);
    for around in ["\"sk-kimi-1\"", "'sk-kimi-1'", "`sk-kimi-1`", "sk-{kimi", "sk-kimi}"] {
        assert_eq!(checked(around).unwrap_err(), NoKey::Characters, "{around}");
    }
    for config in [
        "{\"api_key\":\"sk-kimi-1\"}",
        "\u{feff}\n{\n  \"KMI_API_KEY\": \"sk-kimi-1\"\n}\n",
        "[]",
        "# mine\r\ndefault_model = \"\"\r\n[providers.kimi]\r\napi_key = \"sk-kimi-1\"\r\n",
        "[env]\nKIMI_API_KEY = \"sk-kimi-1\"\n",
    ] {
        assert_eq!(checked(config).unwrap_err(), NoKey::Config, "{config}");
    }
    assert_eq!(checked("sk-kimi-1\r\n").unwrap().expose(), "sk-kimi-1");
    // Keys of any form stay what they are.
    for key in ["sk-KIMI-1==", "ABCDEF==", "abc=def", "_", "KEY", "=="] {
        assert_eq!(checked(key).unwrap().expose(), key);
    }
    for text in ["sk-kimi-0123456789abc", "--key=sk-0123456789abcdef", "x sk-kimi-0123456789abc"] {
        assert!(looks_like_a_key(text) && !is_label(text), "{text}");
    }
    for text in ["alpha", "my key", "рабочий", "月之暗面", "sk-main", "task-force"] {
        assert!(!looks_like_a_key(text) && is_label(text), "{text}");
    }
    for text in ["", " a", "a\n", "a\u{202e}b", "it's"] {
        assert!(!is_label(text), "{text:?}");
    }
}

#[test]
fn a_key_file_says_its_key() {
    for text in [
        "KMI_API_KEY=sk-kimi-1",
        "\u{feff}# mine\r\nKMI_KEY_LABEL=work\r\nexport KMI_API_KEY='sk-kimi-1'\r\n",
        "KMI_API_KEY = \"sk-kimi-1\"  # the one of the desk\n",
        "KMI_API_KEY=sk-kimi-0\nKMI_API_KEY=sk-kimi-1\nnot a line\n",
    ] {
        assert_eq!(checked(text).unwrap().expose(), "sk-kimi-1", "{text}");
    }
    assert_eq!(checked("KMI_API_KEY=\n").unwrap_err(), NoKey::Empty);
    assert_eq!(checked("KMI_API_KEY='one two'\n").unwrap_err(), NoKey::Characters);
    for text in
        ["OPENAI_API_KEY=sk-kimi-1", "export KEY=sk-1", "KMI_KEY_LABEL=work\nKMI_API_KEY_KEYRING=work\n"]
    {
        assert_eq!(checked(text).unwrap_err(), NoKey::Setting, "{text}");
    }
}

#[test]
fn proposals_and_paths_are_free() {
    assert_eq!(proposal(["Key1", "key3"].into_iter()), "key2");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(free_path(dir.path(), "a b").1, "a-b");
    fs::write(dir.path().join("a-b.env"), "").unwrap();
    assert_eq!(free_path(dir.path(), "a b"), (dir.path().join("a-b-2.env"), "a-b-2".into()));
    assert_eq!(free_path(dir.path(), "../..").0, dir.path().join("key.env"));
    let removed = removed_path(&dir.path().join("a-b.env"), "20261123T090000Z");
    assert_eq!(removed, dir.path().join("a-b.env.removed-20261123T090000Z"));
    assert!(!is_env(&removed));
    fs::write(&removed, "").unwrap();
    assert_ne!(removed_path(&dir.path().join("a-b.env"), "20261123T090000Z"), removed);
}

/// Nobody can make files there, not even root.
#[cfg(target_os = "linux")]
#[test]
fn an_error_names_no_file_that_nobody_knows() {
    let error = replace(Path::new("/proc/version"), "x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().ends_with("(os error 2)"), "{error}");
}

#[test]
fn files_are_private_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("_auths").join("a.env");
    create(&path, "KMI_API_KEY=sk-kimi-1\n").unwrap();
    assert!(create(&path, "other").is_err());
    replace(&path, "KMI_API_KEY=sk-kimi-2\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "KMI_API_KEY=sk-kimi-2\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }
    let names: Vec<_> =
        fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["a.env"], "no temporary file stays");
    let found = scan(path.parent().unwrap());
    assert_eq!((found.len(), found[0].label.as_str(), found[0].source.as_str()), (1, "a", "a.env"));
    assert_eq!(found[0].fingerprint, Fingerprint::of(&Secret::new("sk-kimi-2")).to_string());
}

#[test]
fn a_switch_is_one_line() {
    for (before, off) in [
        ("KMI_API_KEY=k\n", "KMI_API_KEY=k\nKMI_KEY_DISABLED=1\n"),
        ("KMI_API_KEY=k", "KMI_API_KEY=k\nKMI_KEY_DISABLED=1"),
        ("# mine\r\nKMI_API_KEY=k\r\n", "# mine\r\nKMI_API_KEY=k\r\nKMI_KEY_DISABLED=1\r\n"),
    ] {
        assert_eq!(switched(before, true).as_deref(), Some(off));
        assert_eq!(switched(off, false).as_deref(), Some(before));
    }
    let export = "export KMI_KEY_DISABLED = no # later\nKMI_API_KEY=k\n";
    assert_eq!(switched(export, true).as_deref(), Some("KMI_KEY_DISABLED=1\nKMI_API_KEY=k\n"));
    assert_eq!(switched("KMI_API_KEY='open\n", true), None, "a file that is not understood is left alone");
}

proptest! {
    #[test]
    fn off_and_on_again_is_the_same_file(
        lines in prop::collection::vec("(# [a-z' ]{0,9}|[A-Z]{1,6}=[a-z0-9]{0,6}|export KMI_API_KEY=\"[a-z#$]{0,6}\"|)", 0..6),
        newline in prop::sample::select(vec!["\n", "\r\n"]),
        ends in any::<bool>(),
    ) {
        let mut text = lines.join(newline);
        if ends && !text.is_empty() {
            text.push_str(newline);
        }
        let off = switched(&text, true);
        // A lone ending cannot tell an empty last line from none.
        prop_assume!(off.is_some() && !text.is_empty());
        let off = off.unwrap();
        prop_assert_eq!(switched(&off, true), Some(off.clone()));
        prop_assert_eq!(switched(&off, false), Some(text));
    }

    #[test]
    fn any_text_is_switched_without_a_panic(text in any::<String>(), disabled in any::<bool>()) {
        if let Some(new) = switched(&text, disabled) {
            prop_assert!(is_the_same_key(&text, &new, disabled));
        }
    }

    #[test]
    fn a_label_comes_back_from_its_file(label in any::<String>()) {
        prop_assume!(is_label(&label));
        let secret = Secret::new("sk-kimi-1");
        let name = stem(&label);
        prop_assert!(!name.contains(['/', '\0']) && !name.starts_with('.'));
        let new = NewKey { secret: &secret, in_keyring: None, label: &label, base_url: None, priority: None, disabled: false, email: None };
        if let Some(text) = new.text(&name) {
            let read = dotenv::parse(&text);
            prop_assert_eq!(read.get("KMI_KEY_LABEL").unwrap_or(&name), &label);
        }
    }
}
