//! Other agents, and curl, by the snippets of `kmi connect --show`.

use std::path::Path;

use kmi_tests::harness::cli::{self, Ran};
use kmi_tests::harness::{Daemon, Setup, needs};

use crate::clients::{CLAUDE_CODE, OPENCODE};
use crate::turn::{
    ANTHROPIC, OPENAI, dry_run, identity_passed, no_head_was_counted, scripted, was_simulated,
    went_on_with_another_key,
};

/// A snippet as `kmi connect --show` prints it.
pub(crate) async fn snippet(daemon: &Daemon, name: &str) -> String {
    let ran = daemon.kmi(&["connect", "--show", "--json"]).await;
    ran.json()[name].as_str().unwrap_or_else(|| panic!("no snippet {name}: {ran:?}")).to_owned()
}

/// Pastes lines into a shell.
pub(crate) async fn shell(daemon: &Daemon, script: &str) -> Ran {
    cli::run_client(&daemon.home, Path::new("/bin/sh"), &["-c", script]).await
}

/// A proxy that wants a token, so that the snippets name it.
pub(crate) fn with_token(setup: Setup) -> Setup {
    setup.env("KMI_PROXY_TOKEN", "token-0123456789")
}

/// The snippet's last line starts Claude Code; what follows there makes it answer one prompt.
async fn claude(daemon: &Daemon, more: &str) -> Ran {
    let pasted = snippet(daemon, "claude_code").await;
    shell(daemon, &format!("{pasted} -p 'Say hello' --allowedTools Bash {more}")).await
}

#[tokio::test]
async fn claude_code_by_its_snippet() {
    if !CLAUDE_CODE.is_there() {
        return;
    }
    for change in [|setup| setup, with_token] {
        let daemon = dry_run(CLAUDE_CODE, change).await;
        was_simulated(&daemon, &claude(&daemon, "").await, ANTHROPIC).await;
        no_head_was_counted(&daemon);
    }
}

#[tokio::test]
async fn claude_code_with_a_key_that_fails() {
    if !CLAUDE_CODE.is_there() {
        return;
    }
    let (upstream, daemon) = scripted(CLAUDE_CODE, with_token).await;
    let ran = claude(&daemon, "").await;
    went_on_with_another_key(&upstream, &daemon, &ran, ANTHROPIC).await;
    identity_passed(&upstream, ANTHROPIC, "user-agent", "claude-cli/");
    // Sub-agents and small tasks ask for a model by one of these names.
    for alias in ["opus", "sonnet", "haiku"] {
        let ran = claude(&daemon, &format!("--model {alias}")).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    for seen in upstream.at(ANTHROPIC) {
        let body: serde_json::Value = serde_json::from_slice(&seen.body().unwrap()).unwrap();
        assert_eq!(body["model"], "kimi-for-coding");
    }
}

/// The snippet is the project's `opencode.json`.
async fn opencode(daemon: &Daemon) -> Ran {
    daemon.home.write("work/opencode.json", snippet(daemon, "opencode").await);
    shell(daemon, "exec opencode run -m kmid/kimi-for-coding 'Say hello'").await
}

#[tokio::test]
async fn opencode_by_its_snippet() {
    if !OPENCODE.is_there() {
        return;
    }
    for change in [|setup| setup, with_token] {
        let daemon = dry_run(OPENCODE, change).await;
        was_simulated(&daemon, &opencode(&daemon).await, OPENAI).await;
    }
}

#[tokio::test]
async fn opencode_with_a_key_that_fails() {
    if !OPENCODE.is_there() {
        return;
    }
    let (upstream, daemon) = scripted(OPENCODE, with_token).await;
    let ran = opencode(&daemon).await;
    went_on_with_another_key(&upstream, &daemon, &ran, OPENAI).await;
    identity_passed(&upstream, OPENAI, "user-agent", "opencode/");
}

#[tokio::test]
async fn curl_by_its_snippet() {
    let there = std::process::Command::new("curl").arg("--version").output().is_ok();
    if !needs::present("curl", there) {
        return;
    }
    for change in [|setup| setup, with_token] {
        let daemon = change(Setup::dry_run().keys(&["alpha", "beta"])).start().await;
        let pasted = snippet(&daemon, "curl").await;
        was_simulated(&daemon, &shell(&daemon, &pasted).await, OPENAI).await;
    }
}
