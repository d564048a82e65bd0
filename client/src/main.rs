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
mod service;
mod settings;
mod since;
mod trace_view;

use std::process::ExitCode;

use app::App;
use exit::{Exit, Stop, write_stderr};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(ended) = commands::completions::answer(&arguments) {
        return ended;
    }
    if commands::keys::line_holds_a_key(&arguments) {
        let app = App::new(&args::Global::default(), settings::load(None, false));
        return finish(Err(commands::keys::key_in_argument(&app).into()), Some(&app));
    }
    let (global, command) = match args::parse(arguments) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error),
    };
    let Some(command) = command else {
        return finish(args::print_help().map(|()| Exit::Ok).map_err(exit::unwritable), None);
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
                Some(app) => write_stderr(&failure.render(&app.messages)),
                None => write_stderr(&format!("{}\n", failure.what)),
            }
            failure.exit.into()
        }
    }
}

/// Help and version go to stdout and are no errors; everything else is. Colours are clap's to decide.
fn usage(error: &clap::Error) -> ExitCode {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
    finish(error.print().map(|()| exit).map_err(exit::unwritable), None)
}
