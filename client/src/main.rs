//! `kmi`: steers kmid and shows what it does.

mod app;
mod args;
mod commands;
mod connect;
mod exit;
#[cfg(test)]
mod fixtures;
mod help;
mod http;
mod output;
mod rehearsal;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the file is shared with the tests of the workspace")]
#[path = "../../tests/src/harness/require.rs"]
mod require;
mod service;
mod settings;
mod since;
mod trace_view;
mod usage;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

use app::App;
use exit::{Exit, Stop, write_stderr};

fn main() -> ExitCode {
    let arguments = usage::help_as_option(std::env::args_os().collect());
    if let Some(ended) = commands::completions::answer(&arguments) {
        return ended;
    }
    if commands::keys::line_holds_a_key(&arguments) {
        let app = App::new(&args::Global::default(), settings::load(None, false));
        return finish(Err(commands::keys::key_in_argument(&app).into()), Some(&app));
    }
    let (global, command) = match args::parse(&arguments) {
        Ok((global, Some(command))) => (global, command),
        Ok((_, None)) => return unread(None, &arguments),
        Err(error) => return unread(Some(&error), &arguments),
    };
    let in_folder = matches!(command, args::Command::Proxy(_));
    let app = App::new(&global, settings::load(global.socket.as_deref(), in_folder));
    finish(commands::run(&app, command), Some(&app))
}

fn finish(outcome: exit::Outcome, app: Option<&App>) -> ExitCode {
    match outcome {
        Ok(exit) => exit.into(),
        Err(Stop::ReaderGone) => Exit::Ok.into(),
        Err(Stop::Failure(failure)) => {
            match app {
                Some(app) => app.tell(&failure.render(&app.messages)),
                None => write_stderr(&format!("{}\n", failure.what)),
            }
            failure.exit.into()
        }
    }
}

/// A command line without a command to run: a help, the version, or what is wrong with it, in the person's language.
fn unread(error: Option<&clap::Error>, arguments: &[OsString]) -> ExitCode {
    let app = App::new(&args::Global::default(), settings::load(None, false));
    finish(usage::answer(&app, error, arguments), Some(&app))
}
