//! The command line of `kmi service`.

use clap::{Args, Subcommand};

/// `kmi service`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    kmi service install --dry-run    shows every file and command, and changes nothing\n  \
    kmi service install              kmid starts with your session, and at the first request\n  \
    kmi service status               what the service manager says, and what kmid says")]
pub(crate) struct ServiceArgs {
    /// What to do; without it: status
    #[command(subcommand)]
    pub(crate) command: Option<ServiceCommand>,
}

/// What to do with the service.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Let kmid start with your session, and wait until it serves
    Install(InstallArgs),
    /// Undo `install`: stop it and remove its files
    Uninstall(InstallArgs),
    /// Start it
    Start,
    /// Stop it; the next request does not start it either
    Stop,
    /// Restart it; requests wait meanwhile
    Restart,
    /// What the service manager says, and what kmid says
    Status,
    /// What the service manager wrote down of it; kmid's own log is `kmi proxy-logs`
    Logs(LogsArgs),
}

/// `kmi service install` and `uninstall`
#[derive(Debug, Clone, Args)]
pub(crate) struct InstallArgs {
    /// Show what would be written and run, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before a file that somebody changed, or the service of another state directory, is replaced or removed
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `kmi service logs`
#[derive(Debug, Clone, Args)]
pub(crate) struct LogsArgs {
    /// At most so many old lines
    #[arg(short = 'n', long, default_value_t = 100)]
    pub(crate) lines: usize,
    /// Go on with what happens next
    #[arg(short, long)]
    pub(crate) follow: bool,
}
