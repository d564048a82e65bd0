use super::*;

fn outside(home: &Path, vars: &[(&str, &str)]) -> Outside {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Outside { vars, home: Some(home.to_owned()), cwd: Some(home.to_owned()), ..Outside::capture() }
}

fn environment(pairs: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
}

#[test]
fn a_wrong_setting_hides_no_key_folder() {
    let home = tempfile::tempdir().unwrap();
    let found = judge(&Launch::default(), &outside(home.path(), &[("KMI_QUEUE_MAX", "many")]));
    assert_eq!(found.errors.len(), 1);
    assert!(found.key_folders.contains(&home.path().join(".kmi/_auths")), "{:?}", found.key_folders);
    let named = [("KMI_QUEUE_MAX", "many"), ("KMI_AUTHS_DIR", "/keys")];
    assert_eq!(judge(&Launch::default(), &outside(home.path(), &named)).key_folders, [Path::new("/keys")]);
    let wrong = [("KMI_LOCALE", "xx"), ("KMI_AUTHS_DIR", "/keys")];
    assert_eq!(judge(&Launch::default(), &outside(home.path(), &wrong)).key_folders, [Path::new("/keys")]);
}

#[test]
fn the_daemons_environment_counts_and_not_this_shells() {
    let home = tempfile::tempdir().unwrap();
    let here = outside(home.path(), &[("KMI_QUEUE_MAX", "5"), ("KMI_LOG_LEVEL", "debug"), ("PATH", "/bin")]);
    let theirs = environment(&[("KMI_QUEUE_MAX", Some("7")), ("KMI_PROXY_TOKEN", None)]);
    let rows = judge(&Launch::default(), &with_environment(here.clone(), &theirs)).rows;
    let shown = |name: &str| {
        rows.iter().find(|row| row.name == name).map(|row| (row.value.as_str(), row.source)).unwrap()
    };
    assert_eq!(shown("KMI_QUEUE_MAX"), ("7", "environment"));
    assert_eq!(shown("KMI_PROXY_TOKEN"), ("set", "environment"));
    assert_eq!(shown("KMI_LOG_LEVEL").1, "default");
    assert_eq!(with_environment(here.clone(), &BTreeMap::new()).vars, here.vars);
}

#[test]
fn what_this_shell_sets_and_kmid_has_not_is_named() {
    let home = tempfile::tempdir().unwrap();
    let here = outside(
        home.path(),
        &[
            ("KMI_QUEUE_MAX", "5"),
            ("KMI_LOG_LEVEL", "debug"),
            ("KMI_RATE", "1"),
            ("KMI_LOCALE", "ru"),
            ("KMI_DRY_RUN", ""),
            ("KMI_PROXY_TOKEN", "secret"),
            ("KMI_TRACE_PROMPTS", "1"),
        ],
    );
    let theirs = environment(&[
        ("KMI_QUEUE_MAX", Some("7")),
        ("KMI_PROXY_TOKEN", None),
        ("KMI_TRACE_PROMPTS", Some("1")),
    ]);
    let mut found = differing(&here.vars, &theirs);
    found.sort_unstable();
    assert_eq!(found, ["KMI_LOG_LEVEL", "KMI_QUEUE_MAX"]);
    assert!(differing(&here.vars, &BTreeMap::new()).is_empty(), "an older daemon tells nothing");
}
