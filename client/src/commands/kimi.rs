//! `kmi kimi`: runs the Kimi client with the proxy wired in.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::keys::{ConfiguredClient, ListParams};
use serde::Deserialize;

use super::proxy::become_program;
use crate::app::App;
use crate::args::KimiArgs;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::http::Caller;
use crate::output::style::clean;
use crate::{settings, tr};

/// The model when the upstream names none (kimi-upstream.md, 2026-11).
const DEFAULT_MODEL: &str = "kimi-for-coding";

/// What a client sends as its key when the proxy wants no token: kmid replaces it.
const PLACEHOLDER: &str = "kmi";

/// A model list that takes longer is not worth waiting for: there is a default.
const MODELS_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn run(app: &App, args: &KimiArgs) -> Outcome {
    let program = find(app)?;
    let generation = generation(&program);
    if let Some(version) = stub(&program).filter(|_| generation == Generation::Cli) {
        let path = program.display().to_string();
        return Err(Failure::new(
            Exit::Failed,
            tr!(app.messages, "kimi-stub", path = path, version = version),
        )
        .next(tr!(app.messages, "kimi-stub-next"))
        .into());
    }
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    // Without the list there is still the upstream's.
    let clients = daemon.ask::<typed::KeysList>(&ListParams::default()).map(|list| list.clients);
    let clients = clients.unwrap_or_default();
    drop(daemon);
    let cli = CliConfig::of(&clients);
    if let Some(kind) = cli.unreachable.as_ref().filter(|_| generation == Generation::Cli) {
        return Err(Failure::new(Exit::Failed, tr!(app.messages, "kimi-other-provider", kind = clean(kind)))
            .next(tr!(app.messages, "kimi-other-provider-next"))
            .into());
    }
    let token = settings::access(status.daemon.env_file.as_deref()).token;
    let key = token.as_ref().map_or(PLACEHOLDER, |token| token.expose()).to_owned();
    let model = || match std::env::var("KIMI_MODEL_NAME") {
        // The person's own choice stands.
        Ok(name) if !name.is_empty() => Model { id: name, context_length: None },
        _ => configured(&clients)
            .unwrap_or_else(|| model(&Caller::new(MODELS_TIMEOUT, token.clone()), &status.proxy.url)),
    };
    let own_type = std::env::var("KIMI_MODEL_PROVIDER_TYPE").unwrap_or_default();
    let proxy = Proxy { url: &status.proxy.url, key: &key };
    let mut command = Command::new(&program);
    command.args(&args.args).envs(environment(generation, &proxy, &cli, &own_type, model));
    become_program(app, command)
}

/// Which family of Kimi client a program belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// kimi-cli (Python): reads `KIMI_BASE_URL` and `KIMI_API_KEY`.
    Cli,
    /// kimi-code (Node): reads the `KIMI_MODEL_*` family only.
    Code,
    /// Cannot be told from its files: gets both.
    Unknown,
}

fn find(app: &App) -> Outcome<PathBuf> {
    if let Some(named) = &app.settings.kimi_bin {
        if connect::is_program(named) {
            return Ok(named.clone());
        }
        let path = named.display().to_string();
        return Err(Failure::new(Exit::Failed, tr!(app.messages, "kimi-bin-unusable", path = path))
            .next(tr!(app.messages, "kimi-bin-unusable-next"))
            .into());
    }
    let suffixes: &[&str] = if cfg!(windows) { &[".exe", ".cmd"] } else { &[""] };
    suffixes
        .iter()
        .flat_map(|suffix| connect::on_path(&format!("kimi{suffix}")))
        .find(|path| connect::is_program(path))
        .ok_or_else(|| {
            Failure::new(Exit::Failed, tr!(app.messages, "kimi-not-found"))
                .next(tr!(app.messages, "kimi-not-found-next"))
                .into()
        })
}

/// Tells the generation by looking at the file, never by starting it: the `kimi` of kimi-cli 1.52 is a stub that
/// downloads an installer (kimi-upstream.md, 2026-11).
fn generation(program: &Path) -> Generation {
    let real = program.canonicalize().unwrap_or_else(|_| program.to_owned());
    let mut head = Vec::new();
    if let Ok(file) = std::fs::File::open(&real) {
        // A launcher names what it launches in its first lines.
        let _ = file.take(4096).read_to_end(&mut head);
    }
    judge(&real, &String::from_utf8_lossy(&head))
}

/// The version of a kimi-cli whose `kimi` is only a stub: 1.52 and later (kimi-upstream.md, 2026-11). It stands in
/// the name of the package's folder, in the environment whose `bin` holds the program.
fn stub(program: &Path) -> Option<String> {
    let real = program.canonicalize().ok()?;
    let top = real.parent()?.parent()?;
    // lib/python3.13/site-packages, on Windows Lib/site-packages
    let below = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .take(1000)
            .collect()
    };
    let mut packages: Vec<PathBuf> =
        below(&top.join("lib")).into_iter().map(|python| python.join("site-packages")).collect();
    packages.push(top.join("Lib").join("site-packages"));
    let mut versions = packages.iter().flat_map(|folder| below(folder)).filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        Some(name.strip_prefix("kimi_cli-")?.strip_suffix(".dist-info")?.to_owned())
    });
    versions.find(|version| is_stub(version))
}

fn is_stub(version: &str) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (1, 52)
}

fn judge(path: &Path, head: &str) -> Generation {
    let folder_is = |name: &str| path.components().any(|part| part.as_os_str() == OsStr::new(name));
    // npm `@moonshot-ai/kimi-code` has its program in dist/main.mjs; PyPI `kimi-cli` installs an entry point that
    // imports kimi_cli (both as of 2026-11).
    if folder_is("kimi-code") || folder_is(".kimi-code") || head.contains("@moonshot-ai/kimi-code") {
        return Generation::Code;
    }
    if folder_is("kimi-cli") || head.contains("kimi_cli") {
        return Generation::Cli;
    }
    let shebang = head.lines().next().filter(|line| line.starts_with("#!")).unwrap_or_default();
    if shebang.contains("node") || shebang.contains("bun") {
        Generation::Code
    } else if shebang.contains("python") {
        Generation::Cli
    } else {
        Generation::Unknown
    }
}

/// What kimi-cli's config file means for the variables.
#[derive(Debug, Default, PartialEq, Eq)]
struct CliConfig {
    /// No model is set: it ends with "LLM not set" unless `KIMI_MODEL_NAME` names one. So it does after a first run
    /// without a config, because it writes one with `default_model = ""` (seen with 1.50, 2026-11).
    needs_model: bool,
    /// Its provider is the managed one, whose models it asks for at `KIMI_CODE_BASE_URL`, whatever `base_url` says.
    managed: bool,
    /// The type of a provider that listens to no `KIMI_BASE_URL`, and is not kmid by its config either.
    unreachable: Option<String>,
}

impl CliConfig {
    fn of(clients: &[ConfiguredClient]) -> Self {
        let share = std::env::var_os("KIMI_SHARE_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let share = share.or_else(|| Some(std::env::home_dir()?.join(".kimi")));
        let Some(path) = share.map(|dir| dir.join("config.toml")).filter(|path| path.exists()) else {
            return Self { needs_model: true, ..Self::default() };
        };
        // The daemon may have been started with another KIMI_SHARE_DIR: then nothing is known of this file.
        let known =
            clients.iter().find(|client| client.client == "kimi-cli" && Path::new(&client.path) == path);
        known.map(Self::read).unwrap_or_default()
    }

    fn read(client: &ConfiguredClient) -> Self {
        Self {
            needs_model: client.model.is_none(),
            managed: client.provider.as_deref() == Some("managed:kimi-code"),
            unreachable: client.provider_type.clone().filter(|kind| kind != "kimi" && !client.points_at_kmid),
        }
    }
}

/// Where requests are to go.
struct Proxy<'a> {
    url: &'a str,
    /// Its token, or a placeholder.
    key: &'a str,
}

/// The variables that point a client at the proxy. `own_type` is the person's KIMI_MODEL_PROVIDER_TYPE.
fn environment(
    generation: Generation,
    proxy: &Proxy<'_>,
    cli: &CliConfig,
    own_type: &str,
    model: impl FnOnce() -> Model,
) -> Vec<(&'static str, OsString)> {
    let Proxy { url, key } = *proxy;
    let mut variables: Vec<(&'static str, OsString)> = Vec::new();
    if generation != Generation::Code {
        variables.push(("KIMI_BASE_URL", url.into()));
        variables.push(("KIMI_API_KEY", key.into()));
    }
    if generation == Generation::Cli && cli.managed {
        variables.push(("KIMI_CODE_BASE_URL", url.into()));
    }
    if generation == Generation::Cli && cli.needs_model {
        variables.push(("KIMI_MODEL_NAME", model().id.into()));
    } else if generation != Generation::Cli {
        let model = model();
        variables.push(("KIMI_MODEL_NAME", model.id.into()));
        variables.push(("KIMI_MODEL_API_KEY", key.into()));
        // Only the type kimi sends the identity headers that the upstream checks (kimi-upstream.md, 2026-11), but a
        // person's own choice stands. The Anthropic wire adds /v1/messages by itself.
        let anthropic = own_type.trim().eq_ignore_ascii_case("anthropic");
        let base = url.strip_suffix("/v1").filter(|_| anthropic).unwrap_or(url);
        variables.push(("KIMI_MODEL_BASE_URL", base.into()));
        variables.push((
            "KIMI_MODEL_PROVIDER_TYPE",
            if own_type.trim().is_empty() { "kimi" } else { own_type }.into(),
        ));
        if let Some(length) = model.context_length {
            variables.push(("KIMI_MODEL_MAX_CONTEXT_SIZE", length.to_string().into()));
        }
    }
    variables
}

/// A model of the upstream's `/models`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Model {
    id: String,
    context_length: Option<u64>,
}

fn model(caller: &Caller, url: &str) -> Model {
    let listed = caller.get(&format!("{url}/models")).ok().filter(|answer| answer.status.is_success());
    listed
        .and_then(|answer| choose(&answer.body))
        .unwrap_or_else(|| Model { id: DEFAULT_MODEL.to_owned(), context_length: None })
}

/// The model that the person chose in kimi-code's own config.
fn configured(clients: &[ConfiguredClient]) -> Option<Model> {
    let client = clients.iter().find(|client| client.client == "kimi-code")?;
    Some(Model { id: client.model.clone()?, context_length: client.max_context_size })
}

/// The default model if it is listed, else the first one.
fn choose(body: &str) -> Option<Model> {
    #[derive(Deserialize)]
    struct Models {
        data: Vec<Model>,
    }
    let models = serde_json::from_str::<Models>(body).ok()?.data;
    models.iter().find(|model| model.id == DEFAULT_MODEL).or(models.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_shows_in_the_file() {
        let cases = [
            (
                "/usr/lib/node_modules/@moonshot-ai/kimi-code/dist/main.mjs",
                "#!/usr/bin/env node\n",
                Generation::Code,
            ),
            ("/home/a/.kimi-code/bin/kimi", "\u{7f}ELF", Generation::Code),
            ("/home/a/.local/share/uv/tools/kimi-cli/bin/kimi", "\u{7f}ELF", Generation::Cli),
            ("/venv/bin/kimi", "#!/venv/bin/python3\nfrom kimi_cli.__main__ import main\n", Generation::Cli),
            ("/opt/kimi", "#!/usr/bin/env node\n", Generation::Code),
            ("/opt/kimi", "#!/usr/bin/python3\n", Generation::Cli),
            (
                r"C:\npm\kimi.cmd",
                "node \"%~dp0\\node_modules\\@moonshot-ai/kimi-code\\dist\\main.mjs\" %*",
                Generation::Code,
            ),
            ("/opt/kimi", "#!/bin/sh\nexec something\n", Generation::Unknown),
            ("/opt/kimi", "", Generation::Unknown),
        ];
        for (path, head, expected) in cases {
            assert_eq!(judge(Path::new(path), head), expected, "{path} {head}");
        }
    }

    #[test]
    fn each_generation_gets_its_variables() {
        let all = |generation, cli: &CliConfig, own_type| {
            let model = || Model { id: "k3".into(), context_length: Some(262_144) };
            environment(generation, &Proxy { url: "http://p/v1", key: "token" }, cli, own_type, model)
        };
        let names = |generation, needs_model| {
            let cli = CliConfig { needs_model, ..CliConfig::default() };
            all(generation, &cli, "").into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let cli = ["KIMI_BASE_URL", "KIMI_API_KEY"];
        let code = [
            "KIMI_MODEL_NAME",
            "KIMI_MODEL_API_KEY",
            "KIMI_MODEL_BASE_URL",
            "KIMI_MODEL_PROVIDER_TYPE",
            "KIMI_MODEL_MAX_CONTEXT_SIZE",
        ];
        assert_eq!(names(Generation::Cli, false), cli);
        assert_eq!(names(Generation::Cli, true), [cli[0], cli[1], "KIMI_MODEL_NAME"]);
        assert_eq!(names(Generation::Code, false), code);
        assert_eq!(names(Generation::Unknown, false), [&cli[..], &code[..]].concat());

        let managed = CliConfig { managed: true, ..CliConfig::default() };
        assert!(all(Generation::Cli, &managed, "").contains(&("KIMI_CODE_BASE_URL", "http://p/v1".into())));
        for (own, base, wire) in [
            ("", "http://p/v1", "kimi"),
            ("Anthropic", "http://p", "Anthropic"),
            ("openai", "http://p/v1", "openai"),
        ] {
            let variables = all(Generation::Code, &CliConfig::default(), own);
            assert!(variables.contains(&("KIMI_MODEL_BASE_URL", base.into())), "{own}: {variables:?}");
            assert!(variables.contains(&("KIMI_MODEL_PROVIDER_TYPE", wire.into())), "{own}: {variables:?}");
        }
    }

    #[test]
    fn what_the_config_of_kimi_cli_asks_for() {
        let read = |model: Option<&str>, kind: Option<&str>, provider: &str, points_at_kmid: bool| {
            let listed = serde_json::json!({"client": "kimi-cli", "path": "/c", "provider": provider,
                "fingerprint": null, "points_at_kmid": points_at_kmid, "model": model, "provider_type": kind,
                "problem": null});
            CliConfig::read(&serde_json::from_value(listed).unwrap())
        };
        let managed = "managed:kimi-code";
        let usual = CliConfig { managed: true, ..CliConfig::default() };
        assert_eq!(read(Some("k3"), Some("kimi"), managed, false), usual);
        assert_eq!(read(Some("k3"), Some("kimi"), "mine", false), CliConfig::default());
        // as kimi-cli writes it by itself
        assert_eq!(read(None, None, "", false), CliConfig { needs_model: true, ..CliConfig::default() });
        assert_eq!(read(Some("k3"), Some("anthropic"), "a", false).unreachable.as_deref(), Some("anthropic"));
        assert_eq!(read(Some("k3"), Some("anthropic"), "a", true).unreachable, None);
    }

    #[test]
    fn a_stub_is_known_by_its_version() {
        for (version, expected) in [
            ("1.50.0", false),
            ("1.51.9", false),
            ("1.52.0", true),
            ("1.60", true),
            ("2.0.0", true),
            ("x", false),
        ] {
            assert_eq!(is_stub(version), expected, "{version}");
        }
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("bin/kimi");
        for dir in ["bin", "lib/python3.13/site-packages/kimi_cli-1.52.0.dist-info"] {
            std::fs::create_dir_all(folder.path().join(dir)).unwrap();
        }
        std::fs::write(&program, "#!/usr/bin/python3\n").unwrap();
        assert_eq!(stub(&program).as_deref(), Some("1.52.0"));
        assert_eq!(stub(Path::new("/nonexistent/kimi")), None);
    }

    #[test]
    fn the_persons_own_model_comes_first() {
        let of = |client: &str, model: Option<&str>| {
            let listed = serde_json::json!([{"client": client, "path": "/c", "provider": "p", "fingerprint": null,
                "points_at_kmid": false, "model": model, "max_context_size": 5, "problem": null}]);
            configured(&serde_json::from_value::<Vec<ConfiguredClient>>(listed).unwrap())
        };
        assert_eq!(of("kimi-code", Some("k3")), Some(Model { id: "k3".into(), context_length: Some(5) }));
        assert_eq!(of("kimi-code", None), None);
        assert_eq!(of("kimi-cli", Some("k3")), None);
    }

    #[test]
    fn the_model_comes_from_the_list() {
        let of = |body: &str| choose(body).map(|model| (model.id, model.context_length));
        let two = r#"{"data":[{"id":"k3"},{"id":"kimi-for-coding","context_length":262144,"x":1}]}"#;
        assert_eq!(of(two), Some(("kimi-for-coding".to_owned(), Some(262_144))));
        assert_eq!(of(r#"{"data":[{"id":"k3"}]}"#), Some(("k3".to_owned(), None)));
        for body in ["", "{}", r#"{"data":[]}"#, "<html>"] {
            assert_eq!(of(body), None, "{body}");
        }
    }
}
