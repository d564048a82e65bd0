//! One file a command, named like it.

mod doctor;
mod e2e;
mod health;
mod kimi;
mod log_files;
mod plan;
mod proxy;
mod proxy_logs;
mod proxy_restart;
mod proxy_stop;
mod rotate;
mod status;
pub(crate) mod trace;
pub(crate) mod why;

use crate::app::App;
use crate::args::Command;
use crate::exit::{Exit, Failure, Outcome};
use crate::tr;

/// Runs a command.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    if let Command::Doctor(args) = &command {
        return doctor::run(app, args);
    }
    if !app.settings_errors.is_empty() {
        let what = tr!(app.messages, "error-settings", list = bullets(&app.settings_errors));
        return Err(Failure::new(Exit::Usage, what).next(tr!(app.messages, "next-settings")).into());
    }
    for warning in &app.settings_warnings {
        app.warn(warning);
    }
    match command {
        Command::Status => status::run(app),
        Command::Health(args) => health::run(app, &args),
        Command::Rotate(args) => rotate::run(app, &args),
        Command::Proxy(args) => proxy::run(app, &args),
        Command::ProxyStop(args) => proxy_stop::run(app, &args),
        Command::ProxyRestart => proxy_restart::run(app),
        Command::ProxyLogs(args) => proxy_logs::run(app, &args),
        Command::Trace(args) => trace::run(app, &args),
        Command::Why(args) => why::run(app, &args),
        Command::Plan => plan::run(app),
        Command::E2e(args) => e2e::run(app, &args),
        Command::Doctor(args) => doctor::run(app, &args),
        Command::Kimi(args) => kimi::run(app, &args),
    }
}

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  - {line}")).collect()
}
