//! `kmi completions`: what a shell needs to complete the command line, labels of keys included.
//!
//! The script of each shell asks `kmi` itself for what fits, so that it never grows old.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};
use kmi_proto::method::typed;
use kmi_proto::methods::keys::ListParams;

use crate::app::App;
use crate::args::{self, Global};
use crate::commands::keys::file;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::locale::Messages;
use crate::output::style::clean;
use crate::{connect, settings};

/// The variable by which a shell's script asks; its value is the shell's name.
const VARIABLE: &str = "_KMI_COMPLETE";

/// A person waits with a finger on the key.
const PATIENCE: Duration = Duration::from_millis(300);

/// Writes the script of a shell.
pub(crate) fn run(app: &App, shell: Shell) -> Outcome {
    let name = shell.to_string();
    let mut script = Vec::new();
    let written = match Shells::builtins().completer(&name) {
        Some(writer) => writer.write_registration(VARIABLE, "kmi", "kmi", "kmi", &mut script),
        None => Err(std::io::ErrorKind::Unsupported.into()),
    };
    written.map_err(|error| Failure::new(Exit::Failed, format!("{name}: {error}")))?;
    app.print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// Answers a shell's script; `None` when no shell asks.
pub(crate) fn answer(arguments: &[OsString]) -> Option<ExitCode> {
    std::env::var_os(VARIABLE)?;
    let folder = std::env::current_dir().ok();
    let messages = Messages::new(settings::load(None, false).settings.locale);
    // The scripts put the line behind `--`.
    let line: Vec<OsString> = arguments.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let asked = CompleteEnv::with_factory(|| args::completed(&|id| messages.find(id), &line))
        .var(VARIABLE)
        .bin("kmi")
        .completer("kmi")
        .try_complete(arguments.to_vec(), folder.as_deref());
    match asked {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            // There is nobody to tell but the shell's own error output.
            let _ = error.print();
            Some(ExitCode::FAILURE)
        }
    }
}

/// The labels of the keys: from the daemon if it runs, else from the names of files. Nothing is started or said.
pub(crate) fn labels() -> Vec<CompletionCandidate> {
    let app = App::new(&Global::default(), settings::load(None, false));
    let listed = connect::quietly(&app, PATIENCE)
        .and_then(|mut daemon| daemon.ask::<typed::KeysList>(&ListParams::default()).ok());
    let labels: Vec<String> = match listed {
        Some(list) => list.keys.into_iter().map(|key| key.label).collect(),
        None => settings::auths_dir().iter().flat_map(|dir| file::scan(dir)).map(|key| key.label).collect(),
    };
    labels.iter().map(|label| CompletionCandidate::new(clean(label).into_owned())).collect()
}
