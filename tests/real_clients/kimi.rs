//! Both generations of the Kimi client: through `kmi kimi`, and after `kmi connect`.

use std::fs;
use std::path::PathBuf;

use kmi_tests::harness::binaries::binaries;
use kmi_tests::harness::cli::{self, Ran};
use kmi_tests::harness::tmux::{Tmux, between_stty, has_tmux};
use kmi_tests::harness::{Daemon, Setup};

use crate::clients::{Client, KIMI_CLI, KIMI_CODE};
use crate::turn::{
    ANTHROPIC, OPENAI, breaking, dry_run, identity_passed, saw_the_break, scripted, url, was_simulated,
    went_on, went_on_with_another_key,
};

const PROMPT: &str = "Say hello";
const OLD_KEY: &str = "sk-kimi-old-0123456789";

/// The arguments for one prompt without a terminal.
fn prompt(client: Client) -> &'static [&'static str] {
    if client.name == KIMI_CLI.name { &["--print", "-p", PROMPT] } else { &["-p", PROMPT] }
}

async fn kmi_kimi(daemon: &Daemon, args: &[&str]) -> Ran {
    cli::run_client(&daemon.home, &binaries().kmi, &[&["kimi"], args].concat()).await
}

/// The client itself, found on PATH.
async fn kimi(daemon: &Daemon, args: &[&str]) -> Ran {
    let env = std::path::Path::new("/usr/bin/env");
    cli::run_client(&daemon.home, env, &[&["kimi"], args].concat()).await
}

/// A config with its own spelling, for a provider of one wire.
fn config(provider: &str, wire: &str) -> String {
    let host = "https://api.kimi.com/coding";
    let base = if wire == ANTHROPIC { host.to_owned() } else { format!("{host}/v1") };
    let kind = if wire == ANTHROPIC { "anthropic" } else { "kimi" };
    format!(
        "# mine\ndefault_model = \"k\"  # two spaces\n\n[models.k]\nprovider = '{provider}'\nmodel = 'kimi-for-coding'\n\
         max_context_size = 131072\n\n[providers.'{provider}']\ntype = '{kind}'\nbase_url = '{base}' # host\n\
         api_key = '''{OLD_KEY}'''\n\n[services.moonshot_search]\nbase_url = \"{host}/v1/search\"\n\
         api_key = \"{OLD_KEY}\"\n"
    )
}

fn file(client: Client) -> String {
    format!("{}/config.toml", if client.name == KIMI_CLI.name { ".kimi" } else { ".kimi-code" })
}

fn with_config(client: Client, provider: &str, wire: &str) -> impl FnOnce(Setup) -> Setup {
    let text = config(provider, wire);
    move |setup| setup.file(&file(client), text)
}

/// Connects, and gives the way to the file.
async fn connected(daemon: &Daemon, client: Client) -> PathBuf {
    let ran = daemon.kmi(&["connect", client.name]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let path = daemon.home.path().join(file(client));
    assert!(!fs::read_to_string(&path).unwrap().contains(OLD_KEY));
    path
}

/// Disconnects, and finds every byte as it was.
async fn as_it_was(daemon: &Daemon, client: Client, path: &PathBuf, before: &str) {
    let ran = daemon.kmi(&["disconnect", client.name]).await;
    assert!(ran.code == 0 && ran.out.contains("byte for byte"), "{ran:?}");
    assert_eq!(fs::read_to_string(path).unwrap(), before);
}

#[tokio::test]
async fn kimi_code_through_kmi_kimi() {
    if !KIMI_CODE.is_there() {
        return;
    }
    let mut daemon = dry_run(KIMI_CODE, |setup| setup).await;
    for (kind, endpoint) in [(None, OPENAI), (Some("anthropic"), ANTHROPIC)] {
        if let Some(kind) = kind {
            daemon.home.set("KIMI_MODEL_PROVIDER_TYPE", kind);
        }
        was_simulated(&daemon, &kmi_kimi(&daemon, prompt(KIMI_CODE)).await, endpoint).await;
    }
    exit_status_passes(&daemon).await;
}

#[tokio::test]
async fn kimi_cli_through_kmi_kimi() {
    if !KIMI_CLI.is_there() {
        return;
    }
    let daemon = dry_run(KIMI_CLI, |setup| setup).await;
    // At its first run it writes a config without a model, so the second is another case.
    for _ in 0..2 {
        was_simulated(&daemon, &kmi_kimi(&daemon, prompt(KIMI_CLI)).await, OPENAI).await;
    }
    exit_status_passes(&daemon).await;
}

/// A conversation at a terminal: what is typed arrives, Ctrl-C is the client's and ends neither it nor kmi, and the
/// terminal is in the end as it was.
#[tokio::test]
async fn kimi_cli_at_a_terminal() {
    if !KIMI_CLI.is_there() || !has_tmux() {
        return;
    }
    let daemon = dry_run(KIMI_CLI, |setup| setup).await;
    let tmux = Tmux::run(&daemon.home, &between_stty("kimi")).of_a_client();
    tmux.shows("context: 0.0%").await;
    tmux.types("half a question");
    tmux.shows("half a question").await;
    tmux.press(&["C-c"]);
    tmux.until("the client's answer to Ctrl-C", |screen| {
        screen.contains("press Ctrl-D") && !screen.contains("half a question")
    })
    .await;
    tmux.types(PROMPT);
    tmux.shows(PROMPT).await;
    tmux.press(&["Enter"]);
    tmux.shows("made by the simulator inside kmid").await;
    tmux.press(&["C-d"]);
    let screen = tmux.restored("ended with 0").await;
    assert!(screen.contains("Bye!"), "{screen}");
}

async fn exit_status_passes(daemon: &Daemon) {
    let wrong = ["--no-such-option"];
    let (alone, through) = (kimi(daemon, &wrong).await, kmi_kimi(daemon, &wrong).await);
    assert!(alone.code > 0, "{alone:?}");
    assert_eq!((alone.code, &alone.err), (through.code, &through.err));
}

#[tokio::test]
async fn kimi_code_through_kmi_kimi_with_a_key_that_fails() {
    if !KIMI_CODE.is_there() {
        return;
    }
    for (kind, endpoint) in [("", OPENAI), ("anthropic", ANTHROPIC)] {
        let (upstream, daemon) =
            scripted(KIMI_CODE, |setup| setup.env("KIMI_MODEL_PROVIDER_TYPE", kind)).await;
        let ran = kmi_kimi(&daemon, prompt(KIMI_CODE)).await;
        went_on_with_another_key(&upstream, &daemon, &ran, endpoint).await;
        identity_passed(&upstream, endpoint, "user-agent", "kimi-code-cli/");
    }
}

#[tokio::test]
async fn kimi_cli_through_kmi_kimi_with_a_key_that_fails() {
    if !KIMI_CLI.is_there() {
        return;
    }
    // Without a config of its own, with one, and with one whose list of models it asks for elsewhere.
    for provider in [None, Some("mine"), Some("managed:kimi-code")] {
        let (upstream, daemon) = scripted(KIMI_CLI, |setup| match provider {
            Some(provider) => with_config(KIMI_CLI, provider, OPENAI)(setup),
            None => setup,
        })
        .await;
        let ran = kmi_kimi(&daemon, prompt(KIMI_CLI)).await;
        went_on_with_another_key(&upstream, &daemon, &ran, OPENAI).await;
        identity_passed(&upstream, OPENAI, "user-agent", "KimiCLI/");
        identity_passed(&upstream, OPENAI, "x-msh-platform", "kimi_cli");
    }
}

#[tokio::test]
async fn kimi_code_with_a_key_that_breaks_in_the_middle() {
    a_key_that_breaks_in_the_middle(KIMI_CODE, "kimi-code").await;
}

#[tokio::test]
async fn kimi_cli_with_a_key_that_breaks_in_the_middle() {
    a_key_that_breaks_in_the_middle(KIMI_CLI, "mine").await;
}

async fn a_key_that_breaks_in_the_middle(client: Client, provider: &str) {
    if !client.is_there() {
        return;
    }
    for endpoint in [OPENAI, ANTHROPIC] {
        let (_upstream, daemon) = breaking(client, with_config(client, provider, endpoint)).await;
        connected(&daemon, client).await;
        saw_the_break(&daemon, &kimi(&daemon, prompt(client)).await, endpoint).await;
        went_on(&daemon, &kimi(&daemon, prompt(client)).await, endpoint).await;
    }
}

#[tokio::test]
async fn kimi_code_connected() {
    for_both_wires(KIMI_CODE, "managed:kimi-code").await;
}

#[tokio::test]
async fn kimi_cli_connected() {
    for_both_wires(KIMI_CLI, "mine").await;
}

async fn for_both_wires(client: Client, provider: &str) {
    if !client.is_there() {
        return;
    }
    for endpoint in [OPENAI, ANTHROPIC] {
        let daemon = dry_run(client, with_config(client, provider, endpoint)).await;
        let path = connected(&daemon, client).await;
        was_simulated(&daemon, &kimi(&daemon, prompt(client)).await, endpoint).await;
        as_it_was(&daemon, client, &path, &config(provider, endpoint)).await;
    }
}

#[tokio::test]
async fn kimi_code_connected_with_a_key_that_fails() {
    for_both_wires_with_a_key_that_fails(KIMI_CODE, "managed:kimi-code").await;
}

#[tokio::test]
async fn kimi_cli_connected_with_a_key_that_fails() {
    for_both_wires_with_a_key_that_fails(KIMI_CLI, "mine").await;
}

async fn for_both_wires_with_a_key_that_fails(client: Client, provider: &str) {
    if !client.is_there() {
        return;
    }
    for endpoint in [OPENAI, ANTHROPIC] {
        let (upstream, daemon) = scripted(client, with_config(client, provider, endpoint)).await;
        let path = connected(&daemon, client).await;
        let ran = kimi(&daemon, prompt(client)).await;
        went_on_with_another_key(&upstream, &daemon, &ran, endpoint).await;
        as_it_was(&daemon, client, &path, &config(provider, endpoint)).await;
    }
}

/// With the managed provider kimi-cli writes the models that it is told of into its config, and spells all of it anew.
/// What `kmi connect` changed is taken back all the same.
#[tokio::test]
async fn kimi_cli_writes_its_config_while_it_is_connected() {
    if !KIMI_CLI.is_there() {
        return;
    }
    let (upstream, mut daemon) = scripted(KIMI_CLI, with_config(KIMI_CLI, "managed:kimi-code", OPENAI)).await;
    let ran = daemon.kmi(&["connect", "kimi-cli"]).await;
    let setting = format!("KIMI_CODE_BASE_URL={}", url(&daemon));
    // a terminal's width may break the line anywhere
    let said: String = ran.out.split_whitespace().collect();
    assert!(ran.code == 0 && said.contains(&setting), "{ran:?}");
    daemon.home.set("KIMI_CODE_BASE_URL", url(&daemon));
    let ran = kimi(&daemon, prompt(KIMI_CLI)).await;
    went_on_with_another_key(&upstream, &daemon, &ran, OPENAI).await;
    assert!(!upstream.at("/models").is_empty(), "its question for the models went through kmid");

    let path = daemon.home.path().join(file(KIMI_CLI));
    let written = fs::read_to_string(&path).unwrap();
    assert!(!written.contains("# mine") && written.contains("k3-256k"), "{written}");
    let ran = daemon.kmi(&["disconnect"]).await;
    assert!(ran.code == 0 && ran.out.contains("edited meanwhile"), "{ran:?}");
    let after = fs::read_to_string(&path).unwrap();
    assert!(after.contains("k3-256k") && !after.contains("127.0.0.1"), "{after}");
    assert_eq!(after.matches(OLD_KEY).count(), 2, "{after}");
}
