//! The daemon's program: reads its arguments, starts, serves, and ends by returning.

mod args;
mod manual;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use args::{Cli, Command};
use clap::Parser as _;
use kmid::app::{App, Start};
use kmid::handover::Takeover;

use kmid::inherited::{Giver, Inherited};
use kmid::instance::{self, Instance, InstanceError};
use kmid::logging::LoggingError;
use kmid::upstream::simulator::Script;
use kmid::{app, detach, logging, open_files, own_process};
use kmid_config::load;
use kmid_config::outside::Outside;
use tokio_util::sync::CancellationToken;

/// EX_USAGE of sysexits.h: settings that cannot be used.
const BAD_SETTINGS: u8 = 64;
/// EX_TEMPFAIL of sysexits.h: another kmid has the state directory.
const HELD: u8 = 75;
/// For blocking calls that are still under way at the very end.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_millis(200);

type BoxError = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let protected = own_process::protect();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    match &cli.command {
        Some(Command::Demo(demo)) => {
            finish(run_demo(demo.requests), &mut Voice { detached: false, takeover: None })
        }
        Some(Command::Man(man)) => {
            finish(write_manual(&man.dir), &mut Voice { detached: false, takeover: None })
        }
        None => run(&cli, protected),
    }
}

/// A help, the version, or what is wrong with the command line.
fn unparsed(error: &clap::Error) -> ExitCode {
    match error.print() {
        Err(unwritten) if unwritten.kind() != io::ErrorKind::BrokenPipe => {
            say(&format!("kmid: standard output: {unwritten}"), false);
            ExitCode::FAILURE
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
    }
}

/// To whom this process says why it does not start, or that it does.
struct Voice {
    detached: bool,
    /// It is to take the place of a running kmid.
    takeover: Option<Takeover>,
}

impl Voice {
    fn say(&mut self, text: &str) {
        match &mut self.takeover {
            Some(takeover) => takeover.failed(text),
            None => say(text, self.detached),
        }
    }

    fn ready(&mut self, url: &str) {
        if let Some(takeover) = &mut self.takeover
            && let Err(error) = takeover.serving()
        {
            // It ended after it had given everything away: somebody has to serve.
            tracing::warn!(%error, "kmid_predecessor_lost");
        }
        if self.detached {
            detach::tell_ready();
        } else {
            // It serves, whoever reads that.
            let _ = print(&format!("kmid is ready: {url}\n"));
        }
        // From here on an error is the log's, and the terminal's.
        self.takeover = None;
    }
}

fn run(cli: &Cli, protected: io::Result<()>) -> ExitCode {
    if cli.run.detached || cli.run.take_over {
        detach::leave_session();
    }
    let mut voice = Voice { detached: cli.run.detached, takeover: None };
    match cli.run.take_over.then(Takeover::from_stdin).transpose() {
        Ok(takeover) => voice.takeover = takeover,
        Err(error) => {
            voice.say(&format!("kmid: --take-over is for a running kmid that restarts: {error}"));
            return ExitCode::FAILURE;
        }
    }
    if let Some(takeover) = voice.takeover.as_mut().filter(|_| !cli.run.alone) {
        let started = takeover.stand_alone(args::ALONE);
        return if started.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let outside = Outside::capture();
    let launch = cli.run.launch(outside.cwd.clone());
    let loaded = match load::load(&launch, &outside) {
        Ok(loaded) => loaded,
        Err(bad) => {
            // A running kmid passes it on, within a line.
            let text = if voice.takeover.is_some() { bad.in_one_line() } else { bad.to_string() };
            voice.say(&text);
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    if cli.run.check_config {
        return finish(check_config(&loaded, cli.run.json), &mut voice);
    }
    if cli.run.detach {
        // Not before it is known to be ours: the first line of the background process goes there. The rest of the
        // check, and what it finds, is that process's to do.
        if let Err(error) = instance::prepare(&loaded.settings.state_dir, false) {
            return finish(Err(error.into()), &mut voice);
        }
        let started = detach::start(std::env::args_os().skip(1), &loaded.settings.state_dir);
        return started.unwrap_or_else(|error| {
            voice.say(&format!("kmid could not be started in the background: {error}"));
            ExitCode::FAILURE
        });
    }
    let giver = if cli.run.take_over { Giver::Kmid } else { Giver::Manager };
    let inherited = match Inherited::take(&loaded.settings, giver) {
        Ok(inherited) => inherited,
        Err(bad) => {
            voice.say(&format!("kmid: {bad}"));
            return ExitCode::from(BAD_SETTINGS);
        }
    };
    let result = serve(&mut voice, loaded, launch, outside, inherited, protected);
    finish(result, &mut voice)
}

fn serve(
    voice: &mut Voice,
    loaded: load::Loaded<kmid_config::settings::Settings>,
    launch: load::Launch,
    outside: Outside,
    inherited: Inherited,
    protected: io::Result<()>,
) -> Result<(), BoxError> {
    // An upgrade may put another file there while this process runs; that is the one to restart from.
    let program = std::env::current_exe()?;
    let settings = &loaded.settings;
    let prepared = instance::prepare(&settings.state_dir, settings.enforce_file_perms)?;
    let (instance, predecessor) = match &mut voice.takeover {
        Some(takeover) => {
            let (lock, predecessor) = takeover.take()?;
            (Instance::take_over(lock, &settings.state_dir)?, Some(predecessor))
        }
        None => (Instance::acquire(&settings.state_dir)?, None),
    };
    let instance = Arc::new(instance);
    let logging = logging::start(&logging::Options::of(settings), !voice.detached)?;
    prepared.log();
    if let Err(error) = protected {
        tracing::warn!(%error, "core_dumps_not_off");
    }
    for warning in &loaded.warnings {
        tracing::warn!(variable = %warning.subject, reason = %warning.message, "settings_warning");
    }
    open_files::raise();
    // A restart finds the same files again, wherever it is typed.
    let launch = if launch.folder.is_some() { launch } else { loaded.restart.clone() };
    let start = Start {
        loaded,
        launch,
        outside,
        logging,
        issues: prepared.issues,
        script: Script::default(),
        inherited,
        // Held to the very end, when the log is closed, unless a successor holds it by then.
        instance: Some(Arc::clone(&instance)),
        program,
        detached: voice.detached,
        predecessor,
    };
    let runtime = runtime()?;
    let result = runtime.block_on(async move {
        let app = App::start(start).await?;
        voice.ready(app.proxy_url());
        let (closing, result) = app.run(CancellationToken::new()).await;
        closing.close();
        result.map_err(BoxError::from)
    });
    // A look-up or a file that hangs must not hold up the end: all that counts is written.
    runtime.shutdown_timeout(LAST_WAIT);
    drop(instance);
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

fn write_manual(dir: &std::path::Path) -> Result<(), BoxError> {
    let path = manual::write(dir).map_err(|error| {
        format!("the manual page could not be written into {}: {error}; name another folder", dir.display())
    })?;
    Ok(print(&format!("wrote {}\n", path.display()))?)
}

/// One thread serves all connections of a person's clients, as one nginx worker would: with more, handing work to and
/// fro cost more than half of the CPU of a small request. Files are written by threads of their own.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn check_config(loaded: &load::Loaded<kmid_config::settings::Settings>, json: bool) -> Result<(), BoxError> {
    let rows = loaded.explain();
    if json {
        return Ok(print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?);
    }
    for row in rows {
        let file = row.file.map_or_else(String::new, |file| format!(" {file}"));
        print(&format!("{}={}  ({}{file})\n", row.name, row.value, row.source))?;
    }
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"), false);
    }
    Ok(())
}

/// The chain of an error is printed once, here.
fn finish(result: Result<(), BoxError>, voice: &mut Voice) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = format!("kmid: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    voice.say(&text);
    exit_code(&error).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What tells those who start this program more than that it failed.
fn exit_code(error: &BoxError) -> Option<u8> {
    if is_about_settings(error) {
        return Some(BAD_SETTINGS);
    }
    matches!(error.downcast_ref(), Some(InstanceError::Held { .. })).then_some(HELD)
}

/// What the settings' own check lets through and only its user finds.
fn is_about_settings(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(LoggingError::Filter(_)))
}

/// To the person, or to the process that started this one and passes it on. Readers that went away are no error.
fn say(text: &str, detached: bool) {
    if detached {
        detach::tell(text);
    } else {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Writes to stdout; a reader that went away is no error.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use kmid::logging::FilterError;

    use super::*;

    #[test]
    fn a_filter_that_the_log_does_not_take_is_a_matter_of_the_settings() {
        assert!(is_about_settings(&LoggingError::Filter(FilterError).into()));
        assert!(!is_about_settings(&io::Error::other("no room").into()));
    }

    #[test]
    fn a_state_directory_that_another_kmid_has_is_told_apart() {
        let held = InstanceError::Held { pid: Some(7), state_dir: "/home/me/.kmi".into() };
        assert_eq!(exit_code(&held.into()), Some(HELD));
        assert_eq!(exit_code(&LoggingError::Filter(FilterError).into()), Some(BAD_SETTINGS));
        assert_eq!(exit_code(&InstanceError::Link { path: "/home/me/.kmi".into() }.into()), None);
    }
}
