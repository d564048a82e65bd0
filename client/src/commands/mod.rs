//! One file a command, named like it.

pub(crate) mod completions;
mod connect;
mod doctor;
mod e2e;
mod follow;
mod health;
pub(crate) mod keys;
mod kimi;
mod log_files;
pub(crate) mod man;
mod plan;
mod proxy;
mod proxy_logs;
mod proxy_reload;
mod proxy_restart;
mod proxy_stop;
mod report;
mod rotate;
pub(crate) mod service;
mod status;
pub(crate) mod trace;
mod usage;
pub(crate) mod why;

use kmid_config::env;
use kmid_core::said::{Arg, Said};

use crate::app::App;
use crate::args::Command;
use crate::exit::{Exit, Failure, Outcome};
use crate::tr;

/// Runs a command.
pub(crate) fn run(app: &App, command: Command) -> Outcome {
    match &command {
        Command::Doctor(args) => return doctor::run(app, args),
        // These need no settings.
        Command::Completions(args) => return completions::run(app, args.shell),
        Command::Man(args) => return man::run(app, &args.dir),
        _ => {}
    }
    // Settings that are wrong are a good reason for a report.
    if let Command::Report(args) = &command {
        return report::run(app, args);
    }
    if !app.settings_errors.is_empty() {
        return Err(bad_settings(app, &app.settings_errors).into());
    }
    for warning in &app.settings_warnings {
        app.warn(&app.messages.said(warning));
    }
    match command {
        Command::Status => status::run(app),
        Command::Health(args) => health::run(app, &args),
        Command::Rotate(args) => rotate::run(app, &args),
        Command::Service(args) => service::run(app, args),
        Command::Proxy(args) => proxy::run(app, &args),
        Command::ProxyStop(args) => proxy_stop::run(app, &args),
        Command::ProxyReload => proxy_reload::run(app),
        Command::ProxyRestart => proxy_restart::run(app),
        Command::ProxyLogs(args) => proxy_logs::run(app, &args),
        Command::Trace(args) => trace::run(app, &args),
        Command::Why(args) => why::run(app, &args),
        Command::Plan => plan::run(app),
        Command::Usage(args) => usage::run(app, &args),
        Command::E2e(args) => e2e::run(app, &args),
        Command::Doctor(args) => doctor::run(app, &args),
        Command::Report(args) => report::run(app, &args),
        Command::Kimi(args) => kimi::run(app, &args),
        Command::Connect(args) => connect::connect(app, &args),
        Command::Disconnect(args) => connect::disconnect(app, &args),
        Command::Keys(args) => keys::run(app, args),
        Command::Completions(args) => completions::run(app, args.shell),
        Command::Man(args) => man::run(app, &args.dir),
    }
}

/// Settings that have to be corrected first.
pub(crate) fn bad_settings(app: &App, errors: &[Said]) -> Failure {
    let list: String = errors.iter().map(|error| format!("\n  - {}", app.messages.said(error))).collect();
    let what = tr!(app.messages, "error-settings", list = list);
    Failure::new(Exit::Usage, what).next(settings_next(app, errors))
}

/// What to do about settings that are wrong; a path that was given as an option stands in no file.
pub(crate) fn settings_next(app: &App, errors: &[Said]) -> String {
    let is_of_socket = |error: &Said| matches!(error.args.get("subject"), Some(Arg::Text(subject)) if subject == env::SOCKET.name);
    if app.socket_flag.is_some() && !errors.is_empty() && errors.iter().all(is_of_socket) {
        tr!(app.messages, "next-other-socket")
    } else {
        tr!(app.messages, "next-settings")
    }
}
