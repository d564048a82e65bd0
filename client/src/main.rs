//! `kmi`: steers kmid and shows what it does.

mod app;
mod args;
mod commands;
mod connect;
mod exit;
#[cfg(test)]
mod fixtures;
mod http;
mod output;
mod settings;
mod since;
mod trace_view;

use std::process::ExitCode;

use app::App;
use exit::{Exit, Stop, write_stderr};

fn main() -> ExitCode {
    let (global, command) = match args::parse(std::env::args_os()) {
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
