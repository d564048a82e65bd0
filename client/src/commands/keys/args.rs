//! The command line of `kmi keys`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use crate::commands::completions::labels;

/// `kmi keys`
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    kmi keys add --label work        asks for the key, without showing it\n  \
    pass show kimi | kmi keys add    the same from a password manager\n  \
    kmi keys test                    asks the API about every key")]
pub(crate) struct KeysArgs {
    /// What to do; without it: list
    #[command(subcommand)]
    pub(crate) command: Option<KeysCommand>,
}

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KeysCommand {
    /// Every key in a line
    List,
    /// Put a key into the pool: asks for it, or reads it from standard input
    Add(AddArgs),
    /// Take a key out of the pool; its file is kept under another name
    Remove(RemoveArgs),
    /// Use a key again
    Enable(LabelArgs),
    /// Do not use a key for now
    Disable(LabelArgs),
    /// Ask the API about one key or all, and show what it says
    Test(TestArgs),
}

/// `kmi keys add`
#[derive(Debug, Clone, Args)]
pub(crate) struct AddArgs {
    /// The key's name; asked for when it is missing
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
    /// Where the key is sent: an https URL; KMI_UPSTREAM_BASE_URL unless given
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// Higher comes first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Keep the key in the keyring of the desktop; the file then holds only its name there
    #[arg(long)]
    pub(crate) keyring: bool,
    /// Keep the key also when the API refuses it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Never used: a key in an argument is refused with the reason.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<std::ffi::OsString>,
}

/// `kmi keys remove`
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoveArgs {
    /// The key
    #[arg(add = ArgValueCandidates::new(labels))]
    pub(crate) label: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Commands about one key.
#[derive(Debug, Clone, Args)]
pub(crate) struct LabelArgs {
    /// The key
    #[arg(add = ArgValueCandidates::new(labels))]
    pub(crate) label: String,
}

/// `kmi keys test`
#[derive(Debug, Clone, Args)]
pub(crate) struct TestArgs {
    /// The key; all when missing
    #[arg(add = ArgValueCandidates::new(labels))]
    pub(crate) label: Option<String>,
}
