//! kmid's command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use kmid_config::env;
use kmid_config::load::Launch;

/// The kmi daemon: owns Kimi API keys, rotates them, and proxies real clients to the API.
///
/// Without arguments it runs in the foreground with the keys and settings of this folder, or those of ~/.kmi.
#[derive(Debug, Parser)]
#[command(
    name = "kmid",
    version = kmi_proto::build::LONG,
    after_help = "Steer it with `kmi`. Settings are KMI_ variables: see .env.example."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: Run,
}

/// [`Run::alone`]
pub(crate) const ALONE: &str = "--alone";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what kmid does, without keys, network or files of yours
    Demo(Demo),
    /// Write the manual page kmid(1) into a folder
    Man(Man),
}

/// Flags of the daemon itself.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Print the resolved settings and where each came from, and end
    #[arg(long)]
    pub(crate) check_config: bool,
    /// With --check-config: as JSON
    #[arg(long, requires = "check_config")]
    pub(crate) json: bool,
    /// Run in the background; returns when it is ready to serve, or says why not
    #[arg(long, conflicts_with = "check_config")]
    pub(crate) detach: bool,
    /// Settings file to use (KMI_ENV_PATH)
    #[arg(long, value_name = "FILE")]
    env_file: Option<OsString>,
    /// Where state, logs, traces and socket are (KMI_STATE_DIR)
    #[arg(long, value_name = "DIR")]
    state_dir: Option<OsString>,
    /// Control socket (KMI_SOCKET)
    #[arg(long, value_name = "PATH")]
    socket: Option<OsString>,
    /// Key files (KMI_AUTHS_DIR)
    #[arg(long, value_name = "DIR")]
    auths_dir: Option<OsString>,
    /// Do not look for keys and settings in the current folder
    #[arg(long)]
    no_folder: bool,
    /// Look for them in this folder instead
    #[arg(long, hide = true, conflicts_with = "no_folder")]
    folder: Option<PathBuf>,
    #[arg(long, hide = true)]
    found_env_file: Option<PathBuf>,
    /// A running kmid has started this process to take its place.
    #[arg(long, hide = true, conflicts_with = "check_config")]
    pub(crate) take_over: bool,
    /// This is the process that the one with --take-over alone has started.
    #[arg(long, hide = true, requires = "take_over")]
    pub(crate) alone: bool,
    /// This is the process that --detach started.
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after so many requests (in a pipe: 20 unless told otherwise)
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub(crate) requests: Option<u64>,
}

fn at_least_one(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("it takes a whole number, 1 or more")
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The folder; it is made if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

impl Run {
    /// How the daemon was started, as far as its settings are concerned.
    pub(crate) fn launch(&self, cwd: Option<PathBuf>) -> Launch {
        let flags = [
            (env::ENV_PATH.name, &self.env_file),
            (env::STATE_DIR.name, &self.state_dir),
            (env::SOCKET.name, &self.socket),
            (env::AUTHS_DIR.name, &self.auths_dir),
        ];
        let folder = if self.no_folder { None } else { self.folder.clone().or(cwd) };
        Launch {
            flags: flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect(),
            folder,
            found_env_file: self.found_env_file.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_demo_sends_at_least_one_request() {
        for wrong in ["0", "-1", "1.5", "many", ""] {
            let error = Cli::try_parse_from(["kmid", "demo", "--requests", wrong]).unwrap_err().to_string();
            assert!(error.contains("it takes a whole number, 1 or more"), "{error}");
        }
        let cli = Cli::try_parse_from(["kmid", "demo", "--requests", "1"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Demo(Demo { requests: Some(1) }))));
    }

    #[test]
    fn what_a_restart_passes_on_is_understood() {
        let launch = Launch {
            flags: vec![("KMI_STATE_DIR", "/s".into()), ("KMI_SOCKET", "/s/k.sock".into())],
            folder: Some("/srv".into()),
            found_env_file: Some("/srv/.env".into()),
        };
        let args = [OsString::from("kmid")].into_iter().chain(launch.to_args());
        let cli = Cli::try_parse_from(args).unwrap();
        assert_eq!(cli.run.launch(None), launch);
    }
}
