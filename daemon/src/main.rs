//! The daemon's program: reads its arguments, starts, serves, and ends by returning.

mod args;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use args::{Cli, Command};
use clap::Parser as _;
use kmid::app::{App, Start};

use kmid::instance::{self, Instance};
use kmid::upstream::simulator::Script;
use kmid::{app, detach, logging, own_process};
use kmid_config::load;
use kmid_config::outside::Outside;
use tokio_util::sync::CancellationToken;

/// EX_USAGE of sysexits.h: settings that cannot be used.
const BAD_SETTINGS: u8 = 64;
/// For blocking calls that are still under way at the very end.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_millis(200);

type BoxError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let protected = own_process::protect();
    let cli = Cli::parse();
    match &cli.command {
        Some(Command::Demo(demo)) => finish(run_demo(demo.requests), false),
        None => run(&cli, protected),
    }
}

fn run(cli: &Cli, protected: io::Result<()>) -> ExitCode {
    if cli.run.detached {
        detach::leave_session();
    }
    let outside = Outside::capture();
    let launch = cli.run.launch(outside.cwd.clone());
    let loaded = match load::load(&launch, &outside) {
        Ok(loaded) => loaded,
        Err(bad) => {
            say(&bad.to_string(), cli.run.detached);
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    if cli.run.check_config {
        return finish(check_config(&loaded, cli.run.json), false);
    }
    if cli.run.detach {
        // Not before it is known to be ours: the first line of the background process goes there. The rest of the
        // check, and what it finds, is that process's to do.
        if let Err(error) = instance::prepare(&loaded.settings.state_dir, false) {
            return finish(Err(error.into()), false);
        }
        let started = detach::start(std::env::args_os().skip(1), &loaded.settings.state_dir);
        return started.unwrap_or_else(|error| {
            say(&format!("kmid could not be started in the background: {error}"), false);
            ExitCode::FAILURE
        });
    }
    finish(serve(cli, loaded, launch, outside, protected), cli.run.detached)
}

fn serve(
    cli: &Cli,
    loaded: load::Loaded<kmid_config::settings::Settings>,
    launch: load::Launch,
    outside: Outside,
    protected: io::Result<()>,
) -> Result<(), BoxError> {
    let settings = &loaded.settings;
    let prepared = instance::prepare(&settings.state_dir, settings.enforce_file_perms)?;
    // Held until this returns, when all is written.
    let instance = Arc::new(Instance::acquire(&settings.state_dir)?);
    let logging = logging::start(&logging::Options::of(settings), !cli.run.detached)?;
    prepared.log();
    if let Err(error) = protected {
        tracing::warn!(%error, "core_dumps_not_off");
    }
    for warning in &loaded.warnings {
        tracing::warn!(variable = %warning.subject, reason = %warning.message, "settings_warning");
    }
    // A restart finds the same files again, wherever it is typed.
    let launch = if launch.folder.is_some() { launch } else { loaded.restart.clone() };
    let issues = prepared.issues;
    let start = Start {
        loaded,
        launch,
        outside,
        logging,
        instance: Arc::clone(&instance),
        issues,
        script: Script::default(),
    };
    let detached = cli.run.detached;
    let runtime = runtime()?;
    let result = runtime.block_on(async move {
        let app = App::start(start).await?;
        if detached {
            detach::tell_ready();
        } else {
            print(&format!("kmid is ready: {}\n", app.proxy_url()));
        }
        let (logging, result) = app.run(CancellationToken::new()).await;
        logging.close();
        result.map_err(BoxError::from)
    });
    // A look-up or a file that hangs must not hold up the end: all that counts is written.
    runtime.shutdown_timeout(LAST_WAIT);
    result
}

fn run_demo(requests: Option<u64>) -> Result<(), BoxError> {
    let outside = Outside::capture();
    let folder = app::demo::DemoFolder::make()?;
    let (start, _instance) = app::demo::start(&folder, &outside)?;
    let runtime = runtime()?;
    let result = runtime.block_on(app::demo::show(start, requests));
    runtime.shutdown_timeout(LAST_WAIT);
    Ok(result?)
}

/// One thread serves all connections of a person's clients, as one nginx worker would: with more, handing work to and
/// fro cost more than half of the CPU of a small request. Files are written by threads of their own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn check_config(loaded: &load::Loaded<kmid_config::settings::Settings>, json: bool) -> Result<(), BoxError> {
    let rows = loaded.explain();
    if json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?));
        return Ok(());
    }
    for row in rows {
        let file = row.file.map_or_else(String::new, |file| format!(" {file}"));
        print(&format!("{}={}  ({}{file})\n", row.name, row.value, row.source));
    }
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"), false);
    }
    Ok(())
}

/// The chain of an error is printed once, here.
fn finish(result: Result<(), BoxError>, detached: bool) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = format!("kmid: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    say(&text, detached);
    ExitCode::FAILURE
}

/// To the person, or to the process that started this one and passes it on. Readers that went away are no error.
fn say(text: &str, detached: bool) {
    if detached {
        detach::tell(text);
    } else {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
