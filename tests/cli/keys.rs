//! `kmi keys`: the key directory by way of the command line; no key in any output or argument.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::cli::{self, Ran};
use kmi_tests::harness::daemon::key_of;
use kmi_tests::harness::home::Home;
use kmi_tests::harness::{Daemon, Setup};
use kmi_tests::upstream::{Reply, Upstream};
use serde_json::json;

const CANARY: &str = "sk-kimi-canary-0123456789abcdef";

/// Runs `kmi` with something on its standard input; what it says never holds the key.
async fn kmi(home: &Home, args: &[&str], input: &str) -> Ran {
    let ran = cli::run(home, &binaries().kmi, args, input).await;
    assert!(!format!("{ran:?}").contains("canary"), "the key is shown: {ran:?}");
    ran
}

fn names(daemon: &Daemon) -> Vec<String> {
    let entries = fs::read_dir(daemon.home.auths_dir()).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_key_comes_from_standard_input_and_is_checked() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let url = upstream.base_url();
    let args = ["keys", "add", "--label", "my key", "--priority", "-2", "--base-url", &url];
    let ran = kmi(&daemon.home, &args, &format!("{CANARY}\n")).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("my key is in the pool") && ran.out.contains("the API knows it"), "{ran:?}");
    assert!(ran.out.contains("5h 97 % left"), "{ran:?}");
    let key = daemon.key("my key").await;
    assert_eq!(
        (&key["priority"], &key["source"], &key["state"]),
        (&json!(-2), &json!("my-key.env"), &json!("ready"))
    );
    assert!(upstream.keys_at("/usages").contains(&CANARY.to_owned()));
    let path = daemon.home.auths_dir().join("my-key.env");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        format!(
            "KMI_API_KEY={CANARY}\nKMI_KEY_LABEL='my key'\nKMI_UPSTREAM_BASE_URL={url}\nKMI_KEY_PRIORITY=-2\n"
        )
    );
    assert_eq!(names(&daemon), ["alpha.env", "my-key.env"], "no other file is left");
    // The same key and the same label are refused; the other one is named.
    let ran = kmi(&daemon.home, &["keys", "add", "--label", "other"], CANARY).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("my key (my-key.env)"), "{ran:?}");
    let ran = kmi(&daemon.home, &["keys", "add", "--label", "ALPHA"], "sk-kimi-another-0123456789").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("alpha (alpha.env)"), "{ran:?}");
    // Without a label the first free one is taken.
    let ran = kmi(&daemon.home, &["keys", "add", "--json"], "sk-kimi-another-0123456789").await;
    assert_eq!(
        (ran.code, ran.json()["label"].as_str(), ran.json()["check"].as_str()),
        (0, Some("key1"), Some("good"))
    );
    for input in ["", "two words", "sk-kimi-canary-1\nsk-kimi-canary-2\n"] {
        let ran = kmi(&daemon.home, &["keys", "add"], input).await;
        assert_eq!(ran.code, 1, "{input:?}: {ran:?}");
    }
    // What stood around a key does not come along, and a whole file has another place.
    let ran = kmi(&daemon.home, &["keys", "add"], &format!("\"{CANARY}-2\"")).await;
    assert!(ran.code == 1 && ran.err.contains("quotes"), "{ran:?}");
    let config = format!("{{\"KMI_API_KEY\":\"{CANARY}-2\"}}");
    let ran = kmi(&daemon.home, &["keys", "add"], &config).await;
    let dir = daemon.home.auths_dir().display().to_string();
    assert!(ran.code == 1 && ran.err.contains("JSON") && ran.err.contains(&dir), "{ran:?}");
    assert_eq!(names(&daemon), ["alpha.env", "key1.env", "my-key.env"]);
}

#[tokio::test]
async fn all_that_a_key_file_says_is_taken_over() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let url = upstream.base_url();
    let file = format!(
        "# mine\nexport KMI_API_KEY=\"{CANARY}\"\nKMI_KEY_LABEL='my key'\nKMI_UPSTREAM_BASE_URL={url}\n\
         KMI_KEY_PRIORITY=3\nKMI_KEY_DISABLED=yes\nKMI_EMAIL=me@example.org\nOTHER=1\n"
    );
    let read = |name: &str| fs::read_to_string(daemon.home.auths_dir().join(name)).unwrap();
    // What is only half understood is refused as a whole.
    let bad = file.replace("PRIORITY=3", "PRIORITY=high");
    let ran = kmi(&daemon.home, &["keys", "add"], &bad).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("KMI_KEY_PRIORITY") && ran.err.contains("into the key directory"), "{ran:?}");
    assert_eq!(names(&daemon), ["alpha.env"]);
    let ran = kmi(&daemon.home, &["keys", "add", "--priority", "-2"], &file).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("not taken over: OTHER"), "{ran:?}");
    assert!(
        ran.out.contains("my key is in the pool") && ran.out.contains("`kmi keys enable 'my key'`"),
        "{ran:?}"
    );
    assert_eq!(
        read("my-key.env"),
        format!(
            "KMI_API_KEY={CANARY}\nKMI_KEY_LABEL='my key'\nKMI_UPSTREAM_BASE_URL={url}\nKMI_KEY_PRIORITY=-2\n\
             KMI_KEY_DISABLED=1\nKMI_ACCOUNT_EMAIL=me@example.org\n"
        )
    );
    let key = daemon.key("my key").await;
    assert_eq!((&key["state"], &key["email"]), (&json!("disabled"), &json!("me@example.org")));
    assert!(!upstream.keys_at("/usages").contains(&CANARY.to_owned()), "a key that is off is not asked");
}

#[tokio::test]
async fn a_key_that_the_api_refuses_goes_again() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).start().await;
    daemon.quotas_read().await;
    let refuse = || {
        for _ in 0..4 {
            upstream.next(CANARY, "/usages", Reply::openai_error(401, "x", "Invalid Authentication"));
        }
    };
    refuse();
    let ran = kmi(&daemon.home, &["keys", "add", "--label", "dead"], CANARY).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("401") && ran.out.contains("removed again"), "{ran:?}");
    assert_eq!((names(&daemon), daemon.find_key("dead").await), (vec!["alpha.env".to_owned()], None));
    refuse();
    let ran = kmi(&daemon.home, &["keys", "add", "--label", "dead", "--keep"], CANARY).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("it stays all the same"), "{ran:?}");
    assert!(daemon.find_key("dead").await.is_some());
}

#[tokio::test]
async fn a_key_in_an_argument_is_refused_with_the_reason() {
    let home = Home::new();
    let with_option = format!("--key={CANARY}");
    for args in [
        &["keys", "add", CANARY][..],
        &["keys", "add", &with_option],
        &["keys", "add", "--label", CANARY],
        &["keys", "remove", CANARY],
        &["keys", CANARY],
        &["--json", "keys", "test", CANARY],
        &["keys", "add", "canary-of-another-kind"],
    ] {
        let ran = kmi(&home, args, "").await;
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{args:?}: {ran:?}");
        assert!(ran.err.contains("not taken from an argument"), "{args:?}: {ran:?}");
    }
    assert!(!home.state_dir().exists(), "nothing is written and nothing is started");
}

#[tokio::test]
async fn in_dry_run_and_without_a_daemon_it_says_what_was_not_checked() {
    let daemon = Setup::dry_run().keys(&["alpha"]).start().await;
    let ran = kmi(&daemon.home, &["keys", "add", "--label", "beta"], CANARY).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("not checked: this is a dry run"), "{ran:?}");
    let ran = kmi(&daemon.home, &["keys", "test"], "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("simulator") && ran.out.contains("alpha  answers") && ran.out.contains("beta"),
        "{ran:?}"
    );
    let home = daemon.stopped().await;
    let again = kmi(&home, &["keys", "add", "--no-start"], CANARY).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("beta (beta.env)"), "{again:?}");
    let fresh = Home::new();
    let ran = kmi(&fresh, &["keys", "add", "--no-start"], CANARY).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("kmid is not running"), "{ran:?}");
    assert!(fresh.auths_dir().join("key1.env").is_file());
    assert_eq!(fs::metadata(fresh.auths_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(kmi(&fresh, &["keys", "list", "--no-start"], "").await.code, 3);
}

#[tokio::test]
async fn off_and_on_again_leaves_the_file_as_it_was() {
    let file = format!("# mine\r\nexport KMI_API_KEY=\"{}\" # note\r\n", key_of("alpha"));
    let config = format!("[providers.p]\napi_key = \"{}\"\n", key_of("gamma"));
    let daemon = Setup::dry_run()
        .file(".kmi/_auths/alpha.env", &file)
        .file(".kmi/_auths/gamma.toml", &config)
        .start()
        .await;
    let read = |name: &str| fs::read_to_string(daemon.home.auths_dir().join(name)).unwrap();
    let ran = kmi(&daemon.home, &["keys", "disable", "Alpha"], "").await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "alpha is switched off\n"), "{ran:?}");
    assert_eq!(read("alpha.env"), format!("{file}KMI_KEY_DISABLED=1\r\n"));
    assert_eq!(daemon.key("alpha").await["state"], "disabled");
    let ran = kmi(&daemon.home, &["keys", "disable", "alpha", "--json"], "").await;
    assert_eq!(ran.json(), json!({"label": "alpha", "disabled": true, "changed": false, "seen": true}));
    let ran = kmi(&daemon.home, &["keys", "enable", "alpha"], "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(read("alpha.env"), file);
    assert_ne!(daemon.key("alpha").await["state"], "disabled");
    // A client's own config is not edited for this.
    let ran = kmi(&daemon.home, &["keys", "disable", "gamma"], "").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("gamma.toml") && ran.err.contains("KMI_KEY_DISABLED"), "{ran:?}");
    assert_eq!(read("gamma.toml"), config);
    let ran = kmi(&daemon.home, &["keys", "enable", "nobody"], "").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("nobody") && ran.err.contains("alpha, gamma"), "{ran:?}");
}

#[tokio::test]
async fn a_removed_key_is_out_of_the_pool_and_its_file_is_kept() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    let ran = kmi(&daemon.home, &["keys", "remove", "alpha"], "y\n").await;
    assert_eq!(ran.code, 2, "without a terminal nobody can be asked: {ran:?}");
    assert!(daemon.find_key("alpha").await.is_some());
    let ran = kmi(&daemon.home, &["keys", "remove", "-y", "alpha"], "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(daemon.find_key("alpha").await, None);
    let names = names(&daemon);
    assert!(names.len() == 2 && names[0].starts_with("alpha.env.removed-"), "{names:?}");
    let kept = fs::read_to_string(daemon.home.auths_dir().join(&names[0])).unwrap();
    assert_eq!(kept, format!("KMI_API_KEY={}\n", key_of("alpha")));
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
    let list = daemon.rpc("keys.list", json!({})).await.unwrap();
    assert_eq!(
        (list["keys"].as_array().unwrap().len(), &list["issues"]),
        (1, &json!([])),
        "the backup is no key file"
    );
}

#[tokio::test]
async fn a_test_says_what_came_back() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.quotas_read().await;
    upstream.next(&key_of("beta"), "/usages", Reply::openai_error(402, "x", "membership benefits"));
    let ran = kmi(&daemon.home, &["keys", "test"], "").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("alpha  answers  5h 97 % left  7d 94 % left"), "{ran:?}");
    assert!(ran.out.contains("beta   does not answer well  /usages answered 402"), "{ran:?}");
    let ran = kmi(&daemon.home, &["keys", "test", "beta", "--json"], "").await;
    assert_eq!(
        (ran.code, &ran.json()["mode"], &ran.json()["keys"][0]["ok"]),
        (0, &json!("live"), &json!(true))
    );
    let listed = kmi(&daemon.home, &["keys", "--json"], "").await;
    assert_eq!(listed.json()["keys"].as_array().unwrap().len(), 2);
    let listed = kmi(&daemon.home, &["keys", "list"], "").await;
    assert!(listed.out.contains("alpha") && listed.out.contains("beta.env"), "{listed:?}");
}
