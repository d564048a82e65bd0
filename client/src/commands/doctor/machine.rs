//! What can be seen of the machine: the socket, the room on the disk, the service's program.

use std::path::Path;

use super::{Check, quoted};
use crate::app::App;
use crate::output::View;
use crate::service::{Manager, State, systemd};
use crate::tr;

/// With less, old traces and logs may soon not be written any more.
const LITTLE: u64 = 256 * 1024 * 1024;
/// With less, the state may not be saved any more.
const NOTHING: u64 = 16 * 1024 * 1024;

pub(super) fn check(app: &App, running: bool) -> Vec<Check> {
    let view = app.view();
    let mut checks: Vec<Check> = socket(app, running).into_iter().collect();
    checks.extend(free_bytes(&app.settings.state_dir).map(|free| disk(&view, &app.settings.state_dir, free)));
    checks
}

/// A socket that nobody listens on, or something else in its place.
fn socket(app: &App, running: bool) -> Option<Check> {
    let messages = &app.messages;
    let socket = &app.settings.socket;
    let path = socket.display().to_string();
    if running {
        return Some(Check::ok("socket", tr!(messages, "doctor-socket-ok", path = path)));
    }
    let service = crate::service::state_of(socket);
    if service.as_ref().is_some_and(State::settings_unusable) {
        // What is said of the service says it.
        return None;
    }
    if service.is_some_and(|state| state.would_start()) {
        return Some(Check::ok("socket", tr!(messages, "doctor-socket-held", path = path)));
    }
    match is_socket(socket) {
        None => None,
        Some(true) => {
            let detail = tr!(messages, "doctor-socket-left", path = path);
            Some(Check::warn("socket", detail, tr!(messages, "next-start")).and_run("kmi proxy"))
        }
        Some(false) => {
            let detail = tr!(messages, "doctor-socket-other", path = path);
            let old = quoted(&socket.with_extension("old"));
            Some(Check::fail("socket", detail, format!("mv {} {old}", quoted(socket))).with_command())
        }
    }
}

/// `None` when nothing is there.
#[cfg(unix)]
fn is_socket(path: &Path) -> Option<bool> {
    use std::os::unix::fs::FileTypeExt;

    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.file_type().is_socket())
}

/// A named pipe is no file.
#[cfg(not(unix))]
fn is_socket(_path: &Path) -> Option<bool> {
    None
}

pub(super) fn disk(view: &View<'_>, folder: &Path, free: u64) -> Check {
    let path = folder.display().to_string();
    let detail = tr!(view.messages, "doctor-disk", path = path, free = view.bytes(free));
    let fix = || format!("du -sh {}/* | sort -h", quoted(folder));
    match free {
        ..NOTHING => Check::fail("disk", detail, fix()).with_command(),
        NOTHING..LITTLE => Check::warn("disk", detail, fix()).with_command(),
        _ => Check::ok("disk", detail),
    }
}

/// What is free for this person where the folder is or will be made.
#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Nothing in the standard library tells.
#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}

/// Whether kmid starts with the session, and whether that can work. To have no service is no fault.
pub(super) fn service(view: &View<'_>, home: Option<&Path>, manager: Option<&Manager>) -> Check {
    let messages = view.messages;
    let found = manager.and_then(Manager::file);
    let Some((home, file)) = home.zip(found) else {
        return Check::ok("service", tr!(messages, "doctor-no-service"));
    };
    let path = file.display().to_string();
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    match systemd::program(&text, home).filter(|program| program.is_absolute() && !program.is_file()) {
        None => Check::ok("service", tr!(messages, "doctor-service", path = path)),
        Some(program) => {
            let program = program.display().to_string();
            let detail = tr!(messages, "doctor-service-program", path = path, program = program.as_str());
            let fix = tr!(messages, "doctor-service-program-fix", program = program.as_str());
            Check::warn("service", detail, fix).and_run("kmi service install")
        }
    }
}
