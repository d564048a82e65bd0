//! Secrets stay secret, files stay private.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use kmi_tests::harness::files::{containing, mode, tree};
use kmi_tests::harness::wait::eventually;
use kmi_tests::harness::{Daemon, Request, Setup};
use kmi_tests::upstream::{ANY, Ending, Reply, Upstream};
use serde_json::json;

const KEY: &str = "sk-kimi-canarycanarycanary-4242";
const CLIENT: &str = "canary-of-the-client-0001";
const PROMPT: &str = "canary-in-the-prompt-0002";
const ANSWER: &str = "canary-in-the-answer-0003";
const TOKEN: &str = "canary-of-the-proxy-token-0004";
const NAMED_TOKEN: &str = "canary-of-the-named-token-0005";
const WRONG_TOKEN: &str = "canary-of-a-wrong-token-0006";

/// Everything that goes wrong or right with a key in it.
async fn exercise(upstream: &Upstream, daemon: &Daemon) {
    let request = || {
        Request::post("/chat/completions", &json!({"messages": [{"role": "user", "content": PROMPT}]}))
            .field("Authorization", &format!("Bearer {CLIENT}"))
            .field("x-kmi-proxy-token", TOKEN)
            .field("Cookie", CLIENT)
    };
    let script = [
        Reply::json(200, &json!({"choices": [{"message": {"content": ANSWER}}]})),
        Reply::openai_error(400, "invalid_request_error", PROMPT),
        Reply::openai_error(500, "server_error", &format!("key {KEY} of {CLIENT} failed")),
        Reply::openai_error(401, "invalid_authentication_error", &format!("Invalid Authentication: {KEY}")),
        Reply::none(Ending::CloseBeforeHead),
        Reply::none(Ending::ResetBeforeHead),
        Reply::sse().send(format!("data: {ANSWER}\n\n")).ending(Ending::Reset),
        Reply::status(200).raw_before_head(format!("nonsense {ANSWER}\r\n\r\n")),
    ];
    for reply in script {
        upstream.next(ANY, "/chat/completions", reply);
        daemon.rpc("keys.unblock", json!({})).await.unwrap();
        let answer = daemon.send(request()).await;
        if answer.by_kmid() {
            let text = format!("{answer:?}");
            for canary in [KEY, CLIENT, TOKEN, NAMED_TOKEN, WRONG_TOKEN] {
                assert!(!text.contains(canary), "{canary} in an answer of kmid's own: {text}");
            }
        }
    }
    upstream.next(ANY, "/usages", Reply::openai_error(401, "x", &format!("{KEY} is not good")));
    let _ = daemon.rpc("quota.refresh", json!({})).await;
    daemon.home.write(".kmi/_auths/broken.toml", format!("[providers\napi_key = \"{KEY}\""));
    daemon
        .home
        .write(".kmi/_auths/broken.env", format!("KMI_API_KEY={KEY}\nKMI_UPSTREAM_BASE_URL=http://{KEY}/\n"));
    daemon.rpc("daemon.reload", json!({})).await.unwrap();
}

#[tokio::test]
async fn canaries_are_in_no_file_log_answer_or_error() {
    let upstream = Upstream::start().await;
    let setup = Setup::live(&upstream)
        .key("alpha", KEY)
        .may_switch()
        .env("KMI_PROXY_TOKEN", TOKEN)
        .env("KMI_PROXY_TOKENS", &format!("laptop:{NAMED_TOKEN}"))
        .env("KMI_LOG_LEVEL", "trace")
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "1");
    let daemon = setup.start().await;
    exercise(&upstream, &daemon).await;
    for (token, status) in [(NAMED_TOKEN, 200), (WRONG_TOKEN, 401)] {
        upstream.next(ANY, "/models", Reply::json(200, &json!({})));
        daemon.rpc("keys.unblock", json!({})).await.unwrap();
        let answer = daemon.send(Request::get("/models").field("x-api-key", token)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(!format!("{answer:?}").contains("canary"), "{answer:?}");
    }
    let mut shown = daemon.output();
    for (method, params) in [
        ("daemon.status", json!({})),
        ("keys.list", json!({"refresh": true})),
        ("rotation.rotate", json!({"to": KEY})),
        ("rotation.rotate", json!({})),
        ("keys.recheck", json!({"label": KEY})),
        ("usage.get", json!({"by": "client"})),
        ("metrics.get", json!({})),
        ("daemon.reload", json!({})),
        ("daemon.hello", json!({"client": "x", "version": "x", "protocol": 1})),
    ] {
        shown.push_str(
            &format!("{:?}\n", daemon.rpc(method, params).await)
                .replace(&format!("no key is called {KEY}"), ""),
        );
    }
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["health"],
        &["doctor"],
        &["proxy-logs", "--no-follow"],
        &["usage", "--by", "client"],
        &["trace", "--json"],
    ] {
        if args[0] != "trace" {
            let ran = daemon.kmi(args).await;
            shown.push_str(&ran.out);
            shown.push_str(&ran.err);
        }
    }
    // A label is what a person chose; here the person chose badly on purpose, and only that echo is allowed.
    assert!(shown.contains("laptop"), "whose request it was is no secret: {shown}");
    for canary in [CLIENT, PROMPT, ANSWER, TOKEN, NAMED_TOKEN, WRONG_TOKEN] {
        assert!(!shown.contains(canary), "{canary} is shown: {shown}");
    }
    assert!(
        !shown.replace(&format!("label {KEY}"), "").contains("canarycanarycanary"),
        "the key is shown: {shown}"
    );
    let home = daemon.stopped().await;
    fs::remove_dir_all(home.auths_dir()).unwrap();
    for canary in [KEY, CLIENT, PROMPT, ANSWER, TOKEN, NAMED_TOKEN, WRONG_TOKEN, "canarycanary"] {
        let found = containing(home.path(), canary);
        assert!(found.is_empty(), "{canary} is in {found:?}");
    }
}

#[tokio::test]
async fn the_key_goes_nowhere_but_upstream() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).key("alpha", KEY).start().await;
    // An upstream that echoes what it got cannot be stopped from that, but kmid adds nothing to it.
    let answer = daemon.send(Request::get("/models")).await;
    assert!(!format!("{answer:?}").contains("canary"));
    let arguments = fs::read(format!("/proc/{}/cmdline", daemon.pid())).unwrap();
    let environment = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    for place in [arguments, environment] {
        assert!(!String::from_utf8_lossy(&place).contains("canary"));
    }
}

#[tokio::test]
async fn files_are_private_from_their_creation() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha", "beta"]).start().await;
    daemon.send(Request::get("/models")).await;
    daemon.rpc("rotation.rotate", json!({"to": "beta"})).await.unwrap();
    daemon.traces(1).await;
    for name in
        ["state.json", "kmid.lock", "kmid.sock", "logs/kmi.log", "logs/proxy.out", "trace/trace.jsonl"]
    {
        assert!(daemon.state_path(name).exists(), "{name} is missing");
    }
    for path in tree(&daemon.home.state_dir()) {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), wanted, "{}: {:o}", path.display(), mode(&path));
    }
}

#[tokio::test]
async fn open_permissions_are_tightened_or_named() {
    for (enforce, tightened) in [("1", true), ("0", false)] {
        let setup = Setup::dry_run().keys(&["alpha"]).env("KMI_ENFORCE_FILE_PERMS", enforce);
        let file = setup.home().auths_dir().join("alpha.env");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(setup.home().auths_dir(), Permissions::from_mode(0o755)).unwrap();
        let daemon = setup.start().await;
        let expected = if tightened { (0o600, 0o700) } else { (0o644, 0o755) };
        assert_eq!((mode(&file), mode(&daemon.home.auths_dir())), expected);
        let event = if tightened { "permissions_hardened" } else { "insecure_permissions" };
        let log = daemon.state_path("logs/kmi.log");
        eventually(event, || async { fs::read_to_string(&log).ok().filter(|l| l.contains(event)) }).await;
    }
}

#[tokio::test]
async fn prompts_are_kept_only_when_asked_for() {
    let upstream = Upstream::start().await;
    let daemon = Setup::live(&upstream).keys(&["alpha"]).env("KMI_TRACE_PROMPTS", "1").start().await;
    let body = json!({"messages": [{"role": "user", "content": "fix the parser please"}]});
    daemon.send(Request::post("/chat/completions", &body)).await;
    let trace = &daemon.traces(1).await[0];
    let kept = format!("{}{}", trace["prompt_hint"], trace["prompt_head"]);
    assert!(kept.contains("fix the parser"), "{trace}");
}
