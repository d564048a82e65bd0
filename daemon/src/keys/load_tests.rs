use std::fs;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn rules() -> Rules {
    Rules {
        default_base_url: BaseUrl::parse("https://api.kimi.com/coding/v1").unwrap(),
        allowlist: Allowlist::default(),
        enforce_permissions: true,
    }
}

fn directory(files: &[(&str, &str)]) -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(&temp, name, text.as_bytes());
    }
    temp
}

fn put(temp: &TempDir, name: &str, bytes: &[u8]) {
    let path = temp.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn labels(found: &Loaded) -> Vec<&str> {
    found.keys.iter().map(|key| &*key.label).collect()
}

/// `file: message` of each issue, without the directory.
fn said(temp: &TempDir, found: &Loaded) -> Vec<String> {
    let dir = temp.path().to_string_lossy();
    let line = |issue: &Issue| {
        assert_eq!(issue.kind, "key_file");
        let subject = issue.subject.strip_prefix(&*dir).unwrap().trim_start_matches(['/', '\\']).to_owned();
        format!("{}{subject}: {}", if issue.error { "! " } else { "" }, issue.message)
    };
    found.issues.iter().map(line).collect()
}

#[test]
fn a_change_of_the_file_is_another_revision() {
    let temp = directory(&[("a.env", "KMI_API_KEY=key-a\n")]);
    let revision = |changed: u64| {
        let file = fs::File::options().write(true).open(temp.path().join("a.env")).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(changed)).unwrap();
        load(temp.path(), &rules()).keys[0].revision
    };
    assert_eq!(revision(1_790_000_000), 1_790_000_000_000);
    assert_eq!(revision(1_790_000_002), 1_790_000_002_000);
}

#[test]
fn all_formats_folders_and_the_order_of_the_pool() {
    let temp = directory(&[
        ("b.env", "KMI_API_KEY=key-b\nKMI_ACCOUNT_EMAIL=me@example.org\n"),
        (
            "Alpha-config.toml",
            "[providers.x]\napi_key = 'key-alpha'\nbase_url = 'https://api.kimi.ai/coding/v1/'\n",
        ),
        ("c.json", r#"{"providers": {"x": {"api_key": "key-c"}}}"#),
        ("old.json.bak", r#"{"providers": {"x": {"api_key": "key-old"}}}"#),
        ("work/config.toml", "[providers.x]\napi_key = 'key-work'\n"),
        ("work/first.env", "KMI_API_KEY=key-first\nKMI_KEY_PRIORITY=5\nKMI_KEY_LABEL=Zuerst\n"),
        ("last.env", "KMI_API_KEY=key-last\nKMI_KEY_PRIORITY=-1\nKMI_KEY_DISABLED=1\n"),
        ("work/deeper/no.env", "KMI_API_KEY=key-no\n"),
        (".git/no.env", "KMI_API_KEY=key-no\n"),
        ("README.md", "nothing"),
        ("b.env~", "nothing"),
    ]);
    let found = load(temp.path(), &rules());
    assert_eq!(labels(&found), ["Zuerst", "Alpha", "b", "c", "old", "work", "last"]);
    assert!(found.issues.is_empty(), "{:?}", found.issues);
    let key = |label: &str| found.keys.iter().find(|key| &*key.label == label).unwrap();
    assert_eq!(key("Alpha").base_url.to_string(), "https://api.kimi.ai/coding/v1");
    assert_eq!(key("b").base_url.to_string(), "https://api.kimi.com/coding/v1");
    assert_eq!((key("b").secret.expose(), key("b").email.as_deref()), ("key-b", Some("me@example.org")));
    assert_eq!(key("work").source.replace('\\', "/"), "work/config.toml");
    assert!(key("last").disabled && !key("b").disabled);
    assert_eq!(key("c").fingerprint, Fingerprint::of(&Secret::new("key-c")));
}

#[test]
fn doubles_are_reported() {
    let temp = directory(&[
        ("a.env", "KMI_API_KEY=key-one\nKMI_KEY_LABEL=main"),
        ("b.env", "KMI_API_KEY=key-one\nKMI_KEY_LABEL=other"),
        ("c.env", "KMI_API_KEY=key-two\nKMI_KEY_LABEL=Main"),
        ("d.env", "KMI_API_KEY=key-three\nKMI_KEY_LABEL=main"),
    ]);
    let found = load(temp.path(), &rules());
    assert_eq!(labels(&found), ["main", "Main-2", "main-3"]);
    assert_eq!(
        said(&temp, &found),
        [
            "b.env: it holds the same key as a.env, which counts; remove one of them",
            "c.env: another key has the label Main; this one is called Main-2",
            "d.env: another key has the label main; this one is called main-3",
        ]
    );
}

#[test]
fn bad_files_are_reported_and_the_rest_loads() {
    let temp = directory(&[
        ("1.env", "KMI_KEY_LABEL=canary"),
        ("2.env", "canary canary"),
        ("3.toml", "[providers.x]\napi_key = canary"),
        ("4.json", "{\"providers\": \"canary\"}"),
        ("5.env", "KMI_API_KEY=canary\u{e9}"),
        ("7.env", "KMI_API_KEY=http\nKMI_UPSTREAM_BASE_URL=http://canary/v1"),
        ("8.env", "KMI_API_KEY=url\nKMI_UPSTREAM_BASE_URL=canary"),
        ("good.env", "KMI_API_KEY=good"),
    ]);
    put(&temp, "6.env", format!("KMI_API_KEY={}", "canary".repeat(100)).as_bytes());
    put(&temp, "9.env", b"KMI_API_KEY=\xff\xfe");
    put(&temp, "big.env", &vec![b'#'; (1 << 20) + 1]);
    put(&temp, "edge.env", format!("KMI_API_KEY=edge\n#{}", " ".repeat((1 << 20) - 18)).as_bytes());
    let found = load(temp.path(), &rules());
    assert_eq!(labels(&found), ["edge", "good"]);
    let said = said(&temp, &found);
    for (line, part) in said.iter().zip([
        "! 1.env: it has no KMI_API_KEY",
        "! 2.env: line 1 is not NAME=value",
        "! 3.toml: it is not a client's config in TOML (line 2)",
        "! 4.json: it is not a client's config in JSON (line 1, column",
        "! 5.env: its key has blanks, control or non-ASCII",
        "! 6.env: its key is longer than 512",
        "! 7.env: its base URL is refused (only https is allowed)",
        "! 8.env: its base URL is refused (",
        "! 9.env: it is not UTF-8 text",
        "! big.env: it is larger than 1 MiB",
    ]) {
        assert!(line.starts_with(part), "{line}");
    }
    assert_eq!(said.len(), 10);
    assert!(!said.concat().contains("canary"), "{said:?}");
}

#[test]
fn keys_go_to_allowed_hosts_only() {
    let temp = directory(&[
        ("a.env", "KMI_API_KEY=key-a"),
        ("b.env", "KMI_API_KEY=key-b\nKMI_UPSTREAM_BASE_URL=https://api.kimi.ai/coding/v1"),
        ("c.env", "KMI_API_KEY=key-c\nKMI_UPSTREAM_BASE_URL=https://evil.example/v1"),
    ]);
    let rules = Rules { allowlist: Allowlist(vec!["api.kimi.ai".into()]), ..rules() };
    let found = load(temp.path(), &rules);
    assert_eq!(labels(&found), ["b"]);
    let said = said(&temp, &found);
    assert!(
        said[0].contains("KMI_UPSTREAM_BASE_URL") && said[1].starts_with("! c.env: the host of its base URL")
    );
    assert!(!said.concat().contains("evil"));
}

#[test]
fn a_key_in_a_label_or_in_a_files_name_is_not_shown() {
    let key = "sk-kimi-canary-canary";
    let temp = directory(&[
        ("a.env", &format!("KMI_API_KEY={key}\nKMI_KEY_LABEL='my {key}'\n")),
        ("sk-kimi-canary-other.env", "KMI_API_KEY=sk-kimi-canary-other"),
    ]);
    let found = load(temp.path(), &rules());
    assert_eq!(labels(&found), ["a"]);
    assert_eq!(found.issues.len(), 2);
    assert!(!format!("{found:?}").contains("canary"), "{found:?}");
}

#[test]
fn a_directory_that_is_not_there_is_reported() {
    let temp = directory(&[]);
    let found = load(&temp.path().join("none"), &rules());
    assert!(found.keys.is_empty() && found.issues[0].error);
    assert!(found.issues[0].message.contains("KMI_AUTHS_DIR"));
    assert!(load(temp.path(), &rules()).issues.is_empty(), "an empty one is no issue");
}

#[test]
fn there_is_a_bound_to_the_number_of_files() {
    let temp = directory(&[]);
    for number in 0..file::MOST_FILES + 5 {
        put(&temp, &format!("{number:04}.env"), format!("KMI_API_KEY=key-{number}").as_bytes());
    }
    let found = load(temp.path(), &rules());
    assert_eq!((found.keys.len(), found.issues.len()), (file::MOST_FILES, 1));
    assert!(found.issues[0].error);
}

#[cfg(unix)]
mod on_unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    fn mode(path: PathBuf) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: PathBuf, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn links_stay_inside() {
        let outside = directory(&[("x.env", "KMI_API_KEY=canary")]);
        let temp = directory(&[(".data/in.env", "KMI_API_KEY=key-in")]);
        symlink(temp.path().join(".data/in.env"), temp.path().join("in.env")).unwrap();
        symlink(outside.path().join("x.env"), temp.path().join("out.env")).unwrap();
        symlink(outside.path(), temp.path().join("folder")).unwrap();
        symlink("nowhere", temp.path().join("dangling.env")).unwrap();
        symlink("loop.env", temp.path().join("loop.env")).unwrap();
        let found = load(temp.path(), &rules());
        assert_eq!(labels(&found), ["in"]);
        let said = said(&temp, &found);
        assert_eq!(said.len(), 4, "{said:?}");
        for (name, part) in [
            ("out.env", "leaves the key directory"),
            ("folder", "leaves the key directory"),
            ("dangling.env", "leads to nothing"),
        ] {
            assert!(
                said.iter().any(|line| line.starts_with(&format!("! {name}: ")) && line.contains(part)),
                "{said:?}"
            );
        }
        // The directory itself may be a link.
        let link = outside.path().join("link");
        symlink(temp.path(), &link).unwrap();
        assert_eq!(labels(&load(&link, &rules())), ["in"]);
    }

    #[test]
    fn a_pipe_is_not_opened() {
        let temp = directory(&[]);
        let pipe = temp.path().join("pipe.env");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let found = load(temp.path(), &rules());
        assert_eq!(said(&temp, &found), ["! pipe.env: it is not a file"]);
    }

    #[test]
    fn modes_are_tightened_or_warned_about() {
        let temp =
            directory(&[("a.env", "KMI_API_KEY=key-a"), ("sub/b.env", "KMI_API_KEY=key-b"), ("c.toml", "x")]);
        for name in ["a.env", "sub/b.env", "c.toml"] {
            set_mode(temp.path().join(name), 0o644);
        }
        for name in ["", "sub"] {
            set_mode(temp.path().join(name), 0o755);
        }
        let lax = Rules { enforce_permissions: false, ..rules() };
        let found = load(temp.path(), &lax);
        assert_eq!(found.issues.iter().filter(|issue| issue.message.contains("chmod")).count(), 5);
        assert_eq!((found.keys.len(), mode(temp.path().join("a.env"))), (2, 0o644));
        let found = load(temp.path(), &rules());
        assert_eq!(found.issues.len(), 1, "only that c.toml is no config: {:?}", found.issues);
        for (name, expected) in
            [("", 0o700), ("sub", 0o700), ("a.env", 0o600), ("sub/b.env", 0o600), ("c.toml", 0o600)]
        {
            assert_eq!(mode(temp.path().join(name)), expected, "{name}");
        }
        set_mode(temp.path().join("a.env"), 0o400);
        let _ = load(temp.path(), &rules());
        assert_eq!(mode(temp.path().join("a.env")), 0o400, "tighter than needed stays");
    }

    #[test]
    fn odd_file_names_stay_on_one_line() {
        let temp = directory(&[("a\nb.env", "nonsense"), ("c\u{1b}[2J.env", "KMI_API_KEY=key-c")]);
        let found = load(temp.path(), &rules());
        assert_eq!(labels(&found), ["c[2J"]);
        assert!(!format!("{}{}", found.issues[0].subject, found.keys[0].source).contains(char::is_control));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_load_without_a_panic_and_nothing_is_repeated(
        before in proptest::collection::vec(any::<u8>(), 0..40),
        after in proptest::collection::vec(any::<u8>(), 0..40),
        form in "KMI_API_KEY=canary-canary-canary|api_key='canary-canary-canary'|\"api_key\":\"canary-canary-canary\"|canary-canary-canary",
    ) {
        let temp = tempfile::tempdir().unwrap();
        let bytes = [&before[..], form.as_bytes(), &after].concat();
        for name in ["a.env", "a.toml", "a.json", "b.json.bak"] {
            put(&temp, name, &bytes);
        }
        let found = load(temp.path(), &rules());
        let shown = format!("{found:?}");
        prop_assert!(!shown.contains("canary"), "{shown}");
        prop_assert!(found.keys.len() + found.issues.len() >= 4);
    }
}
