//! `kmi keys`: the keys of the pool and their files.
//!
//! `file` knows what stands in a key file, `given` what a new key came with, `ask` how a person is asked; the rest is one file a subcommand. The daemon
//! watches the directory: what is written here counts as soon as its list shows it.

mod add;
pub(crate) mod args;
pub(crate) mod ask;
mod change;
pub(crate) mod file;
mod given;
mod list;

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use kmi_proto::method::typed;
use kmi_proto::methods::daemon::Status;
use kmi_proto::methods::keys::{Key, KeyList, ListParams};

use crate::app::App;
use crate::connect::{self, Daemon};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::style::clean;
use crate::{settings, tr};
use args::{KeysArgs, KeysCommand};

/// Longest wait for the daemon to see a change; it promises 2 s.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How often its list is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run(app: &App, args: KeysArgs) -> Outcome {
    match args.command.unwrap_or(KeysCommand::List) {
        KeysCommand::List => list::list(app),
        KeysCommand::Add(args) => add::run(app, &args),
        KeysCommand::Remove(args) => change::remove(app, &args),
        KeysCommand::Enable(args) => change::switch(app, &args.label, false),
        KeysCommand::Disable(args) => change::switch(app, &args.label, true),
        KeysCommand::Test(args) => list::test(app, args.label.as_deref()),
    }
}

/// Whether a command line about keys carries what looks like a key. It is refused before anything could repeat it.
pub(crate) fn line_holds_a_key(args: &[std::ffi::OsString]) -> bool {
    let mut words = args.iter().skip(1).map(|word| word.to_string_lossy());
    words.any(|word| word == "keys")
        && args.iter().any(|word| file::looks_like_a_key(&word.to_string_lossy()))
}

/// Why a key in an argument is refused, and what to do instead.
pub(crate) fn key_in_argument(app: &App) -> Failure {
    Failure::new(Exit::Usage, tr!(app.messages, "keys-argument"))
        .next(tr!(app.messages, "keys-argument-next"))
}

fn listed(app: &App, daemon: &mut Daemon) -> Outcome<KeyList> {
    let list = daemon.ask::<typed::KeysList>(&ListParams::default());
    Ok(list.map_err(|error| connect::failure(app, error))?)
}

/// The key with a label; letter case counts only where it has to.
fn find<'a>(app: &App, list: &'a KeyList, label: &str) -> Outcome<&'a Key> {
    let exact = list.keys.iter().find(|key| key.label == label);
    let lower = label.to_lowercase();
    if let Some(key) = exact.or_else(|| list.keys.iter().find(|key| key.label.to_lowercase() == lower)) {
        return Ok(key);
    }
    let labels: Vec<&str> = list.keys.iter().map(|key| key.label.as_str()).collect();
    let what = tr!(app.messages, "keys-unknown", label = clean(label).into_owned());
    let failure = Failure::new(Exit::Failed, what);
    Err(if labels.is_empty() {
        failure.next(tr!(app.messages, "keys-none-next"))
    } else {
        failure.next(tr!(app.messages, "keys-unknown-next", list = clean(&labels.join(", ")).into_owned()))
    }
    .into())
}

/// The key directory: that of the running daemon, else the one that a daemon started now would take.
fn directory(app: &App, status: Option<&Status>) -> PathBuf {
    match status.map(|status| &status.daemon) {
        Some(daemon) => match &daemon.auths_dir {
            Some(dir) => PathBuf::from(dir),
            None => Path::new(&daemon.state_dir).join("_auths"),
        },
        None => settings::auths_dir().unwrap_or_else(|| app.settings.state_dir.join("_auths")),
    }
}

/// The file that a key came from.
fn path_of(app: &App, dir: &Path, key: &Key) -> Outcome<PathBuf> {
    let source = Path::new(&key.source);
    if source.components().all(|part| matches!(part, Component::Normal(_))) && dir.join(source).is_file() {
        return Ok(dir.join(source));
    }
    let path = clean(&dir.join(source).display().to_string()).into_owned();
    Err(Failure::new(Exit::Failed, tr!(app.messages, "keys-no-file", path = path)).into())
}

/// Waits, not for ever, until the daemon's list is as wanted; `None` when that did not happen.
fn wait<T>(app: &App, daemon: &mut Daemon, seen: impl Fn(&KeyList) -> Option<T>) -> Outcome<Option<T>> {
    for _ in 0..LONGEST_WAIT.as_millis() / LOOK_EVERY.as_millis() {
        if let Some(found) = seen(&listed(app, daemon)?) {
            return Ok(Some(found));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(None)
}

/// What it means that a file could not be written.
fn unwritten(app: &App, path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display().to_string();
    let what = tr!(app.messages, "keys-unwritten", path = path, why = app.messages.io(error));
    Failure::new(Exit::Failed, what).next(tr!(app.messages, "next-doctor"))
}
