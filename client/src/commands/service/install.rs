//! `kmi service install` and `uninstall`

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::InstallArgs;
use super::{carry_out, daemon_status, manager, reachable, start_or_stop, stop_by, wait_ready};
use crate::app::App;
use crate::commands::bad_settings;
use crate::commands::keys::ask;
use crate::commands::proxy_stop;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::service::marker::{self, Found};
use crate::service::plan::{self, Plan, PlanError};
use crate::service::step::Step;
use crate::service::{Activity, Manager, ServiceFile, systemd};
use crate::tr;

/// Added to the name of a person's own file that is replaced or removed.
const KEPT: &str = "before-kmi";

pub(super) fn install(app: &App, args: &InstallArgs) -> Outcome {
    let manager = manager(app)?;
    if !args.dry_run {
        reachable(app, &manager)?;
    }
    let plan = plan(app, &manager)?;
    let files = manager.files(&plan);
    let steps = manager.enable();
    if args.dry_run {
        return show(app, &manager, &files, &[], &steps, &plan);
    }
    let found: Vec<Found> = files.iter().map(|file| marker::compare(&file.path, &file.content)).collect();
    let changed: Vec<&Path> = files
        .iter()
        .zip(&found)
        .filter(|(_, found)| **found == Found::Changed)
        .map(|(f, _)| &*f.path)
        .collect();
    if !may_touch(app, &changed, args.yes, false)? {
        return Ok(Exit::Failed);
    }
    make_way(app, &manager, found.iter().all(|found| *found == Found::Same))?;
    if !matches!(manager.state().activity, Activity::Running | Activity::Waiting) {
        is_free(app, &plan)?;
    }
    let kept = changed.iter().map(|path| keep(app, path)).collect::<Outcome<Vec<PathBuf>>>()?;
    for file in &files {
        write(&file.path, &marker::encode(&file.path, &file.content))
            .map_err(|error| unwritten(app, &file.path, &error))?;
    }
    prepare_folders(&manager, &plan).map_err(|error| unwritten(app, &plan.state_dir, &error))?;
    start_or_stop(app, &manager, &steps)?;
    let status = wait_ready(app)?;
    if app.json {
        app.print_json(&json!({
            "installed": true,
            "manager": manager.name(),
            "files": files.iter().map(|file| &file.path).collect::<Vec<_>>(),
            "kept": kept,
            "commands": steps,
            "left_behind": plan.left_behind,
            "url": status.proxy.url,
            "pid": status.daemon.pid,
        }))?;
        return Ok(Exit::Ok);
    }
    let messages = &app.messages;
    let mut text = String::new();
    for file in &files {
        text.push_str(&format!(
            "{}\n",
            tr!(messages, "service-wrote", path = file.path.display().to_string())
        ));
    }
    for path in &kept {
        text.push_str(&format!("{}\n", tr!(messages, "service-kept", path = path.display().to_string())));
    }
    for step in &steps {
        text.push_str(&format!("{}\n", tr!(messages, "service-ran", command = step.to_string())));
    }
    let (url, pid) = (status.proxy.url.as_str(), status.daemon.pid.to_string());
    text.push_str(&format!("{}\n", tr!(messages, "service-installed", url = url, pid = pid)));
    if let Manager::Systemd(_) = manager {
        text.push_str(&format!("{}\n", tr!(messages, "service-linger")));
    }
    text.push_str(&format!("{}\n", tr!(messages, "service-undo")));
    app.print(&text)?;
    warn_left_behind(app, &plan);
    Ok(Exit::Ok)
}

pub(super) fn uninstall(app: &App, args: &InstallArgs) -> Outcome {
    let manager = manager(app)?;
    let files: Vec<PathBuf> =
        manager.paths().into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    if files.is_empty() {
        let failure = Failure::new(Exit::NotRunning, tr!(app.messages, "service-missing"));
        return Err(failure.into());
    }
    let steps = [manager.disable(), manager.forget()].concat();
    if args.dry_run {
        return show_uninstall(app, &manager, &files, &steps);
    }
    reachable(app, &manager)?;
    let changed: Vec<&Path> = files
        .iter()
        .filter(|path| marker::compare(path, "") == Found::Changed)
        .map(PathBuf::as_path)
        .collect();
    if !may_touch(app, &changed, args.yes, true)? {
        return Ok(Exit::Failed);
    }
    end_gently(app, &manager)?;
    carry_out(app, &manager.disable())?;
    let kept = changed.iter().map(|path| keep(app, path)).collect::<Outcome<Vec<PathBuf>>>()?;
    for path in files.iter().filter(|path| path.symlink_metadata().is_ok()) {
        std::fs::remove_file(path).map_err(|error| unwritten(app, path, &error))?;
    }
    carry_out(app, &manager.forget())?;
    if app.json {
        app.print_json(&json!({
            "installed": false, "manager": manager.name(), "files": files, "kept": kept, "commands": steps,
        }))?;
        return Ok(Exit::Ok);
    }
    let messages = &app.messages;
    let mut text = String::new();
    for step in &steps {
        text.push_str(&format!("{}\n", tr!(messages, "service-ran", command = step.to_string())));
    }
    for path in &files {
        text.push_str(&format!("{}\n", tr!(messages, "service-removed", path = path.display().to_string())));
    }
    for path in &kept {
        text.push_str(&format!("{}\n", tr!(messages, "service-kept", path = path.display().to_string())));
    }
    text.push_str(&format!("{}\n", tr!(messages, "service-uninstalled")));
    app.print(&text)?;
    Ok(Exit::Ok)
}

fn plan(app: &App, manager: &Manager) -> Outcome<Plan> {
    let kmid = connect::kmid(app)?;
    let version = if let Manager::Systemd(_) = manager { systemd::version() } else { None };
    plan::make(&kmid, app.socket_flag.as_deref(), version).map_err(|error| {
        match error {
            PlanError::Settings(bad) => bad_settings(app, &bad.said()),
            PlanError::Listen(listen, state_dir) => {
                let file = state_dir.join(".env").display().to_string();
                let what = tr!(app.messages, "service-listen", listen = listen.to_string());
                Failure::new(Exit::Usage, what).next(tr!(app.messages, "service-listen-next", file = file))
            }
            PlanError::Path(path) => {
                let path = crate::output::style::clean(&path.display().to_string()).into_owned();
                Failure::new(Exit::Usage, tr!(app.messages, "service-path", path = path))
            }
        }
        .into()
    })
}

/// Asks about files that somebody changed; where nobody can be asked, `--yes` has to say it.
fn may_touch(app: &App, changed: &[&Path], yes: bool, removed: bool) -> Outcome<bool> {
    if changed.is_empty() || yes {
        return Ok(true);
    }
    let list: Vec<String> = changed.iter().map(|path| path.display().to_string()).collect();
    let list = list.join(", ");
    if !ask::somebody() || app.json {
        let failure = Failure::new(Exit::Failed, tr!(app.messages, "service-changed", list = list));
        return Err(failure.next(tr!(app.messages, "service-changed-next", kept = KEPT)).into());
    }
    let question = match removed {
        true => tr!(app.messages, "service-ask-remove", list = list, kept = KEPT),
        false => tr!(app.messages, "service-ask-replace", list = list, kept = KEPT),
    };
    let agreed = ask::agreed(app, &question, false);
    if !agreed {
        app.note(&tr!(app.messages, "service-left"));
    }
    Ok(agreed)
}

/// What runs now makes way: the service with its old files, or a kmid that nobody manages and that would hold lock,
/// socket and port.
fn make_way(app: &App, manager: &Manager, same: bool) -> Outcome<()> {
    let state = manager.state();
    let managed = matches!(state.activity, Activity::Running | Activity::Starting | Activity::Waiting);
    if let Some(status) = daemon_status(app)?
        && (!managed || state.pid.is_some_and(|pid| pid != status.daemon.pid))
    {
        app.note(&tr!(app.messages, "service-makes-way", pid = status.daemon.pid.to_string()));
        let daemon = connect::require(app, Start::No)?;
        return proxy_stop::stop(app, daemon, &status, false);
    }
    if managed && !same { stop_by(app, manager, false) } else { Ok(()) }
}

/// Whether the proxy's address can be listened on, which a service manager would say less plainly.
fn is_free(app: &App, plan: &Plan) -> Outcome<()> {
    let listen = &plan.proxy;
    match std::net::TcpListener::bind((listen.host.trim_matches(['[', ']']), listen.port)) {
        Ok(_) => Ok(()),
        Err(error) => {
            let what = tr!(
                app.messages,
                "service-address",
                address = listen.to_string(),
                why = app.messages.io(&error)
            );
            let file = plan.state_dir.join(".env").display().to_string();
            Err(Failure::new(Exit::Failed, what)
                .next(tr!(app.messages, "service-address-next", file = file))
                .into())
        }
    }
}

/// Where a stop by the manager would not wait for requests, kmid is asked to end first.
fn end_gently(app: &App, manager: &Manager) -> Outcome<()> {
    if manager.stops_gently() {
        return Ok(());
    }
    match daemon_status(app)? {
        Some(status) => proxy_stop::stop(app, connect::require(app, Start::No)?, &status, false),
        None => Ok(()),
    }
}

/// A person's own file, under another name.
fn keep(app: &App, path: &Path) -> Outcome<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{KEPT}"));
    let kept = path.with_file_name(name);
    std::fs::rename(path, &kept).map_err(|error| unwritten(app, path, &error))?;
    Ok(kept)
}

/// A new file takes the place of the old one whole.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;

    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// launchd makes the files that it writes to, but not their folder.
fn prepare_folders(manager: &Manager, plan: &Plan) -> io::Result<()> {
    if !matches!(manager, Manager::Launchd(_)) {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(plan.state_dir.join("logs"))
}

fn unwritten(app: &App, path: &Path, error: &io::Error) -> Failure {
    let path = path.display().to_string();
    let what = tr!(app.messages, "service-unwritten", path = path, why = app.messages.io(error));
    Failure::new(Exit::Failed, what).next(tr!(app.messages, "next-doctor"))
}

fn warn_left_behind(app: &App, plan: &Plan) {
    if !plan.left_behind.is_empty() {
        let file = plan.state_dir.join(".env").display().to_string();
        let list = plan.left_behind.join(", ");
        app.warn(&tr!(app.messages, "service-left-behind", list = list, file = file));
    }
}

fn show(
    app: &App,
    manager: &Manager,
    files: &[ServiceFile],
    removed: &[PathBuf],
    steps: &[Step],
    plan: &Plan,
) -> Outcome {
    if app.json {
        app.print_json(&json!({
            "dry_run": true, "manager": manager.name(), "files": files, "removed": removed, "commands": steps,
            "left_behind": plan.left_behind,
        }))?;
        return Ok(Exit::Ok);
    }
    let messages = &app.messages;
    let mut text = String::new();
    for file in files {
        let path = file.path.display().to_string();
        text.push_str(&format!(
            "{}\n\n{}\n",
            tr!(messages, "service-would-write", path = path),
            file.content
        ));
    }
    text.push_str(&would_run(app, steps));
    app.print(&text)?;
    warn_left_behind(app, plan);
    if let Err(why) = manager.reachable() {
        app.warn(&super::unreachable(app, why).what);
    }
    Ok(Exit::Ok)
}

fn show_uninstall(app: &App, manager: &Manager, files: &[PathBuf], steps: &[Step]) -> Outcome {
    if app.json {
        app.print_json(&json!({
            "dry_run": true, "manager": manager.name(), "removed": files, "commands": steps,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = would_run(app, steps);
    for path in files {
        let path = path.display().to_string();
        text.push_str(&format!("{}\n", tr!(app.messages, "service-would-remove", path = path)));
    }
    app.print(&text)?;
    Ok(Exit::Ok)
}

fn would_run(app: &App, steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| format!("{}\n", tr!(app.messages, "service-would-run", command = step.to_string())))
        .collect()
}
