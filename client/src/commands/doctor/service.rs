//! What the service manager says of kmid, and whether the service's files still fit its settings.

use super::{Check, machine};
use crate::app::App;
use crate::output::View;
use crate::service::written::Misfit;
use crate::service::{Activity, Manager, State};
use crate::settings::DaemonSettings;
use crate::tr;

pub(super) fn check(app: &App, theirs: &DaemonSettings) -> Vec<Check> {
    let view = app.view();
    let manager = Manager::here();
    let known = manager.as_ref().filter(|manager| manager.file().is_some() && manager.reachable().is_ok());
    let mut checks = Vec::new();
    if let Some(manager) = known {
        let state = manager.state();
        checks.extend(of_state(&view, &state));
        if let Some(written) = manager.written() {
            match written.settings() {
                Ok(settings) => {
                    checks.extend(written.misfits(&settings).iter().map(|misfit| of_misfit(&view, misfit)));
                }
                Err(bad) => checks.extend(
                    bad.said()
                        .iter()
                        .filter(|said| !theirs.errors.contains(said) && !app.settings_errors.contains(said))
                        .map(|said| {
                            let fix = tr!(app.messages, "doctor-settings-fix");
                            Check::fail("settings", app.messages.said(said), fix)
                                .and_run("kmid --check-config")
                        }),
                ),
            }
        }
        // Elsewhere a file alone is enough at the next log-in.
        if checks.is_empty() && !state.enabled && matches!(manager, Manager::Systemd(_)) {
            let path = state.file.unwrap_or_default().display().to_string();
            checks.push(Check::ok("service", tr!(app.messages, "doctor-service-not-enabled", path = path)));
        }
    }
    let program = machine::service(&view, std::env::home_dir().as_deref(), manager.as_ref());
    // It does start kmid then, and that is not the news.
    if checks.is_empty() || program.fix.is_some() {
        checks.push(program);
    }
    checks
}

/// A service that does not run although it was meant to.
pub(super) fn of_state(view: &View<'_>, state: &State) -> Option<Check> {
    let messages = view.messages;
    let result = state.result.as_deref().unwrap_or_default();
    match state.activity {
        Activity::Failed if state.settings_unusable() => Some(Check::fail(
            "service",
            tr!(messages, "service-bad-settings"),
            tr!(messages, "doctor-service-settings-fix"),
        )),
        Activity::Failed => Some(Check::fail(
            "service",
            tr!(messages, "doctor-service-failed", result = result),
            tr!(messages, "doctor-service-failed-fix"),
        )),
        Activity::Restarting => Some(Check::warn(
            "service",
            tr!(messages, "doctor-service-restarting", result = result),
            tr!(messages, "doctor-service-restarting-fix"),
        )),
        _ => None,
    }
}

pub(super) fn of_misfit(view: &View<'_>, misfit: &Misfit) -> Check {
    let messages = view.messages;
    let detail = match misfit {
        Misfit::Listen { listens, wanted } => {
            tr!(messages, "service-elsewhere", listens = listens.as_str(), wanted = wanted.as_str())
        }
        Misfit::Memory { written, wanted } => {
            tr!(messages, "doctor-service-memory", written = *written, wanted = *wanted)
        }
        Misfit::Stop { written, wanted } => {
            tr!(messages, "doctor-service-stop", written = *written, wanted = *wanted)
        }
    };
    Check::warn("service", detail, "kmi service install").with_command()
}
