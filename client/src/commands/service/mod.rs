//! `kmi service`: kmid as a service of this person's session. What managers need is in `crate::service`.

pub(crate) mod args;
mod install;
mod steer;
mod uninstall;
mod way;

use std::time::Duration;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::Status;

use crate::app::App;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome, Stop};
use crate::output::style::clean;
use crate::service::step::{Counts, Step};
use crate::service::written::Misfit;
use crate::service::{Manager, Unreachable};
use crate::tr;
use args::{ServiceArgs, ServiceCommand};

pub(crate) use steer::{restart_by, stop_by};

/// How long a service may take to end that was told to: KMI_PROXY_DRAIN_SECONDS is 30 by default, and 3600 at most.
const LONGEST_END: Duration = Duration::from_secs(120);

pub(crate) fn run(app: &App, args: ServiceArgs) -> Outcome {
    match args.command.unwrap_or(ServiceCommand::Status) {
        ServiceCommand::Install(args) => install::install(app, &args),
        ServiceCommand::Uninstall(args) => uninstall::uninstall(app, &args),
        ServiceCommand::Start => steer::start(app),
        ServiceCommand::Stop => steer::stop(app),
        ServiceCommand::Restart => steer::restart(app),
        ServiceCommand::Status => steer::status(app),
        ServiceCommand::Logs(args) => steer::logs(app, &args),
    }
}

/// This platform's manager.
fn manager(app: &App) -> Outcome<Manager> {
    Manager::here().ok_or_else(|| Failure::new(Exit::Failed, tr!(app.messages, "service-no-home")).into())
}

/// What it means that no manager answers.
fn unreachable(app: &App, why: Unreachable) -> Failure {
    let messages = &app.messages;
    let text = |end: &str| messages.find(&format!("service-unreachable-{}{end}", why.name()));
    let failure = Failure::new(Exit::Failed, text("").unwrap_or_else(|| why.name().to_owned()));
    match text("-next") {
        Some(next) => failure.next(next),
        None => failure,
    }
}

fn reachable(app: &App, manager: &Manager) -> Outcome<()> {
    manager.reachable().map_err(|why| unreachable(app, why).into())
}

/// The installed service of the control socket in use, with a manager that answers.
fn installed(app: &App) -> Outcome<Manager> {
    let manager = manager(app)?;
    let messages = &app.messages;
    let failure = match way::elsewhere(app, &manager) {
        Some(what) => Failure::new(Exit::NotRunning, what),
        None if manager.file().is_none() => Failure::new(Exit::NotRunning, tr!(messages, "service-missing")),
        None => {
            reachable(app, &manager)?;
            return Ok(manager);
        }
    };
    Err(failure.next(tr!(messages, "service-missing-next")).into())
}

/// Runs every step, up to the first that fails and may not.
fn carry_out(app: &App, steps: &[Step]) -> Outcome<()> {
    for step in steps {
        if step.counts == Counts::Gone {
            if step.fails_within(LONGEST_END) {
                continue;
            }
            let why = tr!(app.messages, "service-still-there", seconds = LONGEST_END.as_secs());
            return Err(step_failed(app, step, &why));
        }
        let why = match step.run() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " ");
                if said.is_empty() { output.status.to_string() } else { said }
            }
            Err(error) => error.to_string(),
        };
        if step.counts == Counts::Success {
            return Err(step_failed(app, step, &why));
        }
    }
    Ok(())
}

fn step_failed(app: &App, step: &Step, why: &str) -> Stop {
    let (command, why) = (step.to_string(), clean(why).into_owned());
    let what = tr!(app.messages, "service-step-failed", command = command, why = why);
    Failure::new(Exit::Failed, what).next(tr!(app.messages, "service-step-next")).into()
}

/// Refuses to start a kmid that would end at once: because the manager listens where the settings do not want it, or
/// because another program does where they do.
pub(crate) fn must_fit(app: &App, manager: &Manager) -> Outcome<()> {
    let Some(written) = manager.written() else { return Ok(()) };
    // What is wrong with them is told by the start that fails for it.
    let Ok(settings) = written.settings() else { return Ok(()) };
    for misfit in written.misfits(&settings) {
        if let Misfit::Listen { listens, wanted } = misfit {
            let what = tr!(app.messages, "service-elsewhere", listens = listens, wanted = wanted);
            return Err(Failure::new(Exit::Usage, what)
                .next(tr!(app.messages, "service-elsewhere-next"))
                .into());
        }
    }
    way::is_free(app, &manager.state(), &settings.proxy_listen, &settings.state_dir)
}

/// Starts the installed service, as a command does that needs kmid.
pub(crate) fn start_by(app: &App, manager: &Manager) -> Outcome<()> {
    must_fit(app, manager)?;
    start_or_stop(app, manager, &manager.start())
}

/// What the daemon says of itself once it serves; waits for it.
fn wait_ready(app: &App) -> Outcome<Status> {
    let mut daemon = connect::once_it_serves(app)?;
    Ok(daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?)
}

/// Runs the steps that start something. When that fails nothing is left listening: a socket whose service cannot start
/// would keep every command waiting.
fn start_or_stop(app: &App, manager: &Manager, steps: &[Step]) -> Outcome<()> {
    carry_out(app, steps).map_err(|failed| {
        let unusable = manager.state().settings_unusable();
        let _ = carry_out(app, &manager.stop());
        if unusable { connect::settings_unusable(app, Exit::Usage).into() } else { failed }
    })
}

/// What the daemon says of itself, without starting it; `None` when it does not run.
fn daemon_status(app: &App) -> Outcome<Option<Status>> {
    let Some(mut daemon) = connect::find(app, Start::No)? else { return Ok(None) };
    Ok(Some(daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?))
}
