//! The command line.

mod handover;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use handover::{completing, for_the_client};

use crate::commands::completions::labels;
use crate::commands::keys::args::KeysArgs;
use crate::commands::service::args::ServiceArgs;
use crate::help::{self, Say};
use crate::usage::Unfit;

/// Steers kmid, the local proxy for your own Kimi API keys, and shows what it does.
#[derive(Debug, Parser)]
#[command(name = "kmi", version = kmi_proto::build::LONG, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = help::after(help::ENGLISH))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(flatten)]
    modes: Modes,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// Print JSON instead of words
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No boxes, bars or colours
    #[arg(long, global = true)]
    pub(crate) plain: bool,
    /// No colours
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Control socket to talk to
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Never start kmid
    #[arg(long, global = true)]
    pub(crate) no_start: bool,
}

/// Commands spelled as flags, as old scripts do.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Modes {
    /// The same as `kmi status`
    #[arg(long, hide = true)]
    status: bool,
    /// The same as `kmi health`
    #[arg(long, alias = "all", hide = true)]
    health: bool,
    /// The same as `kmi health --current`
    #[arg(long, hide = true)]
    current: bool,
    /// The same as `kmi rotate`
    #[arg(long, hide = true)]
    rotate: bool,
    /// The same as `kmi rotate auto`
    #[arg(long, alias = "auto_rotate", hide = true)]
    auto_rotate: bool,
    /// The same as `kmi trace`
    #[arg(long, hide = true)]
    trace: bool,
}

impl Modes {
    fn command(&self) -> Option<Command> {
        let health = |current| Command::Health(HealthArgs { all: false, current, refresh: false });
        if self.status {
            Some(Command::Status)
        } else if self.health {
            Some(health(false))
        } else if self.current {
            Some(health(true))
        } else if self.rotate {
            Some(Command::Rotate(RotateArgs { mode: None, to: None }))
        } else if self.auto_rotate {
            Some(Command::Rotate(RotateArgs { mode: Some(RotateMode::Auto), to: None }))
        } else if self.trace {
            Some(Command::Trace(TraceArgs { since: None, lines: DEFAULT_TRACE_LINES, no_follow: false }))
        } else {
            None
        }
    }
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    /// Summary: mode, proxy, keys, rotation, alerts
    Status,
    /// Every key: state, quota windows, errors
    Health(HealthArgs),
    /// Switch to the best key, or turn automatic rotation on or off
    Rotate(RotateArgs),
    /// Make sure that kmid runs and show how to point a client at it
    Proxy(ProxyArgs),
    /// Stop kmid
    ProxyStop(ProxyStopArgs),
    /// Make kmid read its settings and keys anew
    ProxyReload,
    /// Restart kmid with the paths it was started with
    ProxyRestart,
    /// Let kmid start with your session: install, uninstall, start, stop, restart, status, logs
    Service(ServiceArgs),
    /// Show kmid's logs
    ProxyLogs(ProxyLogsArgs),
    /// Live view of requests; on a terminal it fills the screen
    #[command(visible_alias = "top")]
    Trace(TraceArgs),
    /// Why a request got its key, and what each attempt met
    Why(WhyArgs),
    /// Which key the next new session would get, and the order of the rest
    Plan,
    /// History: requests, errors and tokens by key, day, hour or model
    Usage(UsageArgs),
    /// Send requests through the proxy and show how they spread over the keys
    E2e(E2eArgs),
    /// Check everything and say how to fix what is wrong
    Doctor(DoctorArgs),
    /// Write a report to attach to a bug report, without secrets
    Report(ReportArgs),
    /// Run the Kimi client through the proxy
    Kimi(KimiArgs),
    /// Point a Kimi client's config file at the proxy for good; --show for other programs
    Connect(ConnectArgs),
    /// Undo `kmi connect`
    Disconnect(DisconnectArgs),
    /// The keys of the pool: list, add, remove, enable, disable, test
    Keys(KeysArgs),
    /// Print what a shell needs to complete the command line
    Completions(CompletionsArgs),
    /// Write manual pages into a folder
    Man(ManArgs),
}

/// `kmi health`
#[derive(Debug, Clone, Args)]
pub(crate) struct HealthArgs {
    /// Every key (the default)
    #[arg(long, conflicts_with = "current")]
    pub(crate) all: bool,
    /// Only the key that the Kimi client is configured with
    #[arg(long)]
    pub(crate) current: bool,
    /// Ask the upstream for fresh quotas first
    #[arg(long)]
    pub(crate) refresh: bool,
}

/// `kmi rotate`
#[derive(Debug, Clone, Args)]
pub(crate) struct RotateArgs {
    /// Automatic rotation on or off; without it: switch to the best key now
    #[arg(value_enum)]
    pub(crate) mode: Option<RotateMode>,
    /// Switch to this key
    #[arg(long, value_name = "LABEL", conflicts_with = "mode", add = ArgValueCandidates::new(labels))]
    pub(crate) to: Option<String>,
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RotateMode {
    /// On.
    Auto,
    /// Off.
    Off,
}

/// `kmi proxy`
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyArgs {
    /// Stay in this terminal
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Accepted for old scripts; the background is the default
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub(crate) daemon: bool,
}

/// `kmi proxy-stop`
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyStopArgs {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// End at once instead of waiting for requests in flight
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// `kmi proxy-logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyLogsArgs {
    /// Go on with what happens next (the default)
    #[arg(long, overrides_with = "no_follow")]
    pub(crate) follow: bool,
    /// Only what is there
    #[arg(long, overrides_with = "follow")]
    pub(crate) no_follow: bool,
    /// At most so many old lines
    #[arg(short = 'n', long, default_value_t = 200)]
    pub(crate) lines: usize,
    /// The log for people, proxy.out (the default)
    #[arg(long, conflicts_with = "app")]
    pub(crate) daemon: bool,
    /// The log for programs, kmi.log
    #[arg(long)]
    pub(crate) app: bool,
    /// Only what is newer: 30s, 10m, 1h, 2d or an ISO time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Accepted for old scripts
    #[arg(long, hide = true, value_name = "SECONDS")]
    pub(crate) sleep: Option<f64>,
}

const DEFAULT_TRACE_LINES: usize = 20;

/// `kmi why`
#[derive(Debug, Clone, Args)]
pub(crate) struct WhyArgs {
    /// The answer's x-kmi-request-id, as `kmi trace --json` shows it too
    pub(crate) request_id: String,
}

/// `kmi trace`
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceArgs {
    /// Start with what is newer: 30s, 10m, 1h, 2d or an ISO time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// At most so many old requests
    #[arg(short = 'n', long, default_value_t = DEFAULT_TRACE_LINES)]
    pub(crate) lines: usize,
    /// Only what is there
    #[arg(long)]
    pub(crate) no_follow: bool,
}

/// `kmi usage`
#[derive(Debug, Clone, Args)]
pub(crate) struct UsageArgs {
    /// How far back: 30s, 10m, 1h, 2d or an ISO time; 90 days are kept
    #[arg(long, default_value = "7d")]
    pub(crate) since: String,
    /// What is added up
    #[arg(long, value_enum, default_value = "day")]
    pub(crate) by: UsageBy,
    /// Print CSV instead of words
    #[arg(long)]
    pub(crate) csv: bool,
}

/// What `kmi usage` adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum UsageBy {
    /// Each key
    Key,
    /// Each day
    Day,
    /// Each hour with requests
    Hour,
    /// Each model
    Model,
    /// Each name of a token (KMI_PROXY_TOKENS)
    Client,
}

/// `kmi e2e`
#[derive(Debug, Clone, Args)]
pub(crate) struct E2eArgs {
    /// Requests to send
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) requests: u32,
    /// Requests between two pauses
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// Judge by the last so many answers
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) window: u32,
    /// Path below the proxy's base path
    #[arg(long, default_value = "/models")]
    pub(crate) endpoint: String,
    /// Least confidence, in percent, that counts as success
    #[arg(long, default_value_t = 95.0, value_parser = percent)]
    pub(crate) min_confidence: f64,
    /// Seconds to wait for an answer
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) timeout: f64,
    /// Seconds between batches
    #[arg(long, default_value_t = 0.5, value_parser = seconds)]
    pub(crate) pause: f64,
    /// How the proxy is spoken to; the predecessor's, and only `http` can be done
    #[arg(long, hide = true, default_value = "http", value_parser = ["http", "https"])]
    pub(crate) scheme: String,
}

impl Default for E2eArgs {
    fn default() -> Self {
        Self {
            requests: 50,
            batch: 10,
            window: 50,
            endpoint: "/models".to_owned(),
            min_confidence: 95.0,
            timeout: 10.0,
            pause: 0.5,
            scheme: "http".to_owned(),
        }
    }
}

/// `kmi doctor`
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArgs {
    /// Ask the upstream about blocked keys and lift the blocks of those that answer well
    #[arg(long)]
    pub(crate) recheck_keys: bool,
    /// Lift every block and cooldown
    #[arg(long)]
    pub(crate) clear_blocklist: bool,
}

/// `kmi connect`
#[derive(Debug, Clone, Args)]
pub(crate) struct ConnectArgs {
    /// Which client
    #[arg(value_enum, required_unless_present = "show", value_name = "kimi-code|kimi-cli")]
    pub(crate) client: Option<Client>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Show what to paste for Claude Code, the OpenAI and Anthropic SDKs, opencode and curl
    #[arg(long, conflicts_with_all = ["client", "dry_run"])]
    pub(crate) show: bool,
}

/// `kmi disconnect`
#[derive(Debug, Clone, Args)]
pub(crate) struct DisconnectArgs {
    /// Which client; without it every one that is connected
    #[arg(value_enum, value_name = "kimi-code|kimi-cli")]
    pub(crate) client: Option<Client>,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// A generation of the Kimi client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Client {
    /// ~/.kimi-code/config.toml
    KimiCode,
    /// ~/.kimi/config.toml
    KimiCli,
}

impl Client {
    /// Its name in the control protocol.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KimiCode => "kimi-code",
            Self::KimiCli => "kimi-cli",
        }
    }
}

/// `kmi report`
#[derive(Debug, Clone, Args)]
pub(crate) struct ReportArgs {
    /// The file to write, `-` for stdout; kmi-report-TIME.json in this folder unless given
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `kmi kimi`
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, override_usage = "kmi [OPTIONS] kimi [ARGS]...")]
pub(crate) struct KimiArgs {
    /// Passed to the Kimi client as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

/// `kmi completions`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    bash        eval \"$(kmi completions bash)\"                      in ~/.bashrc\n  \
    zsh         eval \"$(kmi completions zsh)\"                       in ~/.zshrc, after compinit\n  \
    fish        kmi completions fish | source                      in ~/.config/fish/config.fish\n  \
    powershell  kmi completions powershell | Out-String | iex      in $PROFILE\n  \
    elvish      eval (kmi completions elvish | slurp)              in ~/.config/elvish/rc.elv")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// `kmi man`
#[derive(Debug, Clone, Args)]
pub(crate) struct ManArgs {
    /// The folder; it is created when it is missing
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

fn seconds(text: &str) -> Result<f64, Unfit> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=86_400.0).contains(&value) => Ok(value),
        _ => Err(Unfit::Seconds),
    }
}

fn percent(text: &str) -> Result<f64, Unfit> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(Unfit::Percent),
    }
}

/// Parses the command line; the command is `None` when there was none, and the help is due.
pub(crate) fn parse<I, T>(args: I) -> Result<(Global, Option<Command>), clap::Error>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let mut definition = fitted(definition(), &args);
    let matches = definition.try_get_matches_from_mut(for_the_client(&definition, args))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))?;
    match (cli.command, cli.modes.command()) {
        (Some(_), Some(_)) => Err(definition.error(
            ErrorKind::ArgumentConflict,
            "two modes at once: give either a command or one of --status, --health, --all, --current, \
             --rotate, --auto-rotate, --trace",
        )),
        // clap compares options of every command with a command's own only where they stand behind it.
        (Some(Command::Usage(UsageArgs { csv: true, .. })), None) if cli.global.json => {
            Err(together(&mut definition, "usage", "--csv", "--json"))
        }
        (command, mode) => Ok((cli.global, command.or(mode))),
    }
}

/// Two options of a command that do not go together.
fn together(definition: &mut clap::Command, name: &str, one: &str, other: &str) -> clap::Error {
    let mut error = clap::Error::new(ErrorKind::ArgumentConflict);
    if let Some(command) = definition.find_subcommand_mut(name) {
        error = error.with_cmd(command);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(command.render_usage()));
    }
    error.insert(ContextKind::InvalidArg, ContextValue::String(one.to_owned()));
    error.insert(ContextKind::PriorArg, ContextValue::String(other.to_owned()));
    error
}

/// The whole command line, to be read from arguments, with its help in English.
pub(crate) fn definition() -> clap::Command {
    help::grouped(Cli::command(), help::ENGLISH)
}

/// With its help as the arguments and the terminal want it: it is printed before these options could be read.
pub(crate) fn fitted(definition: clap::Command, args: &[OsString]) -> clap::Command {
    help::fitted(definition, args.iter().any(|word| word == "--no-color" || word == "--plain"))
}

/// The whole command line as the help, the shells and the manual pages show it; nothing can be read from it.
pub(crate) fn shown(say: Say<'_>) -> clap::Command {
    help::translated(Cli::command(), say)
}

/// The same for a shell that completes this line, `kmi` included.
pub(crate) fn completed(say: Say<'_>, line: &[OsString]) -> clap::Command {
    help::translated(completing(Cli::command(), line), say)
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
