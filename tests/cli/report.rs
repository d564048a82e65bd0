//! `kmi report`: everything that helps, nothing that is secret.

use kmi_tests::harness::files::mode;
use kmi_tests::harness::{Request, Setup, cli};
use kmi_tests::upstream::api::Usages;
use kmi_tests::upstream::{ANY, Reply, Upstream};
use serde_json::json;

const KEY: &str = "sk-kimi-canarycanarycanary-4242";
/// Looks like no key at all: only its file tells.
const PLAIN_KEY: &str = "canaryWithoutAnyMark";
const NAMED_TOKEN: &str = "canary-named-0011";
const TOKEN: &str = "canary-of-the-proxy-token-0004";
const PROMPT: &str = "canary-in-the-prompt-0002";
const FILE_EMAIL: &str = "canary.file@example.org";
const LABEL_EMAIL: &str = "canary.label@example.org";
const ACCOUNT: &str = "canary-account-0007";

#[tokio::test]
async fn no_secret_no_prompt_and_no_person_is_in_it() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream)
        .key("alpha", KEY)
        .file(
            ".kmi/_auths/beta.env",
            format!("KMI_API_KEY={PLAIN_KEY}\nKMI_KEY_LABEL={LABEL_EMAIL}\nKMI_ACCOUNT_EMAIL={FILE_EMAIL}\n"),
        )
        .file(".kimi/config.toml", format!("[providers.x]\napi_key = \"{KEY}\"\nbase_url = \"https://h\"\n"))
        .env("KMI_PROXY_TOKEN", TOKEN)
        .env("KMI_PROXY_TOKENS", &format!("laptop:{NAMED_TOKEN}"))
        .env("KMI_TRACE_PROMPTS", "1")
        .env("KMI_AUDIT_ACTOR", "canary-actor@example.org")
        .env("KMI_LOG_LEVEL", "debug");
    let daemon = setup.start().await;
    upstream.always(ANY, "/usages", |_| Reply::json(200, &Usages::of(KEY).account(ACCOUNT).json()));
    let _ = daemon.rpc("quota.refresh", json!({})).await;
    daemon.rpc("rotation.rotate", json!({"to": "alpha"})).await.unwrap();
    let body = json!({"messages": [{"role": "user", "content": PROMPT}]});
    let request = || Request::post("/chat/completions", &body).field("x-kmi-proxy-token", TOKEN);
    daemon.send(request()).await;
    upstream.next(
        ANY,
        "/chat/completions",
        Reply::openai_error(401, "invalid_authentication_error", &format!("Invalid Authentication: {KEY}")),
    );
    daemon.send(request()).await;
    let trace = std::fs::read_to_string(daemon.state_path("trace/trace.jsonl")).unwrap_or_default();
    let traces = daemon.traces(2).await;
    assert!(
        trace.contains(PROMPT) || json!(traces).to_string().contains(PROMPT),
        "the trace holds the prompt"
    );
    // What a person or another program left in a log.
    let log = daemon.state_path("logs/proxy.out");
    let before = std::fs::read_to_string(&log).unwrap_or_default();
    let strange = format!(
        "Bearer canary-bearer-0008 {PLAIN_KEY} x-api-key: canary-header-0009 sk-canary-other-0010 {NAMED_TOKEN}\n"
    );
    std::fs::write(&log, before + &strange).unwrap();

    let ran = daemon.kmi(&["report", "--output", "bug.json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("bug.json"), "{ran:?}");
    let path = daemon.home.work_dir().join("bug.json");
    assert_eq!(mode(&path), 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let home = daemon.home.path().display().to_string();
    for canary in
        [KEY, PLAIN_KEY, TOKEN, PROMPT, FILE_EMAIL, LABEL_EMAIL, ACCOUNT, "canary", "prompt_h", &home]
    {
        assert!(!text.contains(canary), "{canary} is in the report: {text}");
    }

    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["status"]["mode"], "live");
    assert_eq!(report["keys"]["keys"][0]["label"], "alpha");
    assert_eq!(report["keys"]["keys"][0]["account"], "account 1");
    // The doctor's own question to the proxy may be in it by now.
    let traces = report["trace"].as_array().unwrap().iter();
    assert_eq!(traces.filter(|line| line["endpoint"] == "/chat/completions").count(), 2, "{text}");
    let settings = report["settings"].as_array().unwrap();
    let token = settings.iter().find(|row| row["name"] == "KMI_PROXY_TOKEN").unwrap();
    assert_eq!((&token["value"], &token["source"]), (&json!("set"), &json!("environment")));
    assert!(report["doctor"].as_array().unwrap().iter().any(|check| check["name"] == "proxy"), "{text}");
    assert!(!report["logs"]["kmi.log"].as_array().unwrap().is_empty(), "{text}");
    assert!(text.contains("~/.kmi"), "{text}");

    assert!(
        text.contains("Bearer [redacted] [redacted] x-api-key: [redacted]"),
        "the strange line is there: {text}"
    );

    let again = daemon.kmi(&["report", "--output", "bug.json"]).await;
    assert_eq!(again.code, 1, "a file that is there is kept: {again:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn it_needs_neither_a_daemon_nor_good_settings() {
    let home = kmi_tests::harness::home::Home::new().env("KMI_LOCALE", "klingon");
    let ran = cli::kmi(&home, &["report", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let path = home.work_dir().join(ran.json()["path"].as_str().unwrap());
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(report["settings_problems"].to_string().contains("KMI_LOCALE"), "{report}");
    assert_eq!(report["status"], serde_json::Value::Null);
    let ran = cli::kmi(&home, &["report", "--output", "-"]).await;
    assert_eq!(ran.json()["report"], 1);
}
