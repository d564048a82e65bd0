//! `kmi service uninstall`

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::InstallArgs;
use super::install::{keep, may_touch, unwritten, would_run};
use super::{carry_out, manager, reachable, way};
use crate::app::App;
use crate::exit::{Exit, Failure, Outcome};
use crate::service::Manager;
use crate::service::marker::{self, Found};
use crate::service::step::Step;
use crate::tr;

pub(super) fn uninstall(app: &App, args: &InstallArgs) -> Outcome {
    let manager = manager(app)?;
    let files: Vec<PathBuf> =
        manager.paths().into_iter().filter(|path| path.symlink_metadata().is_ok()).collect();
    let shared = manager.shared_file();
    if files.is_empty() && shared.is_none() {
        let failure = Failure::new(Exit::NotRunning, tr!(app.messages, "service-missing"));
        return Err(failure.into());
    }
    let steps = [manager.disable(), manager.forget()].concat();
    let elsewhere = way::elsewhere(app, &manager);
    if args.dry_run {
        if let Some(what) = &elsewhere {
            app.warn(what);
        }
        return show(app, &manager, &files, shared.as_deref(), &steps);
    }
    reachable(app, &manager)?;
    if let Some(what) = &elsewhere
        && !way::may_go(app, what, args.yes)?
    {
        return Ok(Exit::Failed);
    }
    let changed: Vec<&Path> = files
        .iter()
        .filter(|path| marker::compare(path, "") == Found::Changed)
        .map(PathBuf::as_path)
        .collect();
    if !may_touch(app, &changed, args.yes, true)? {
        return Ok(Exit::Failed);
    }
    way::end_gently(app, &manager)?;
    carry_out(app, &manager.disable())?;
    let kept = changed.iter().map(|path| keep(app, path)).collect::<Outcome<Vec<PathBuf>>>()?;
    for path in files.iter().filter(|path| path.symlink_metadata().is_ok()) {
        std::fs::remove_file(path).map_err(|error| unwritten(app, path, &error))?;
    }
    carry_out(app, &manager.forget())?;
    let enabled = shared.is_some() && manager.state().enabled;
    if app.json {
        app.print_json(&json!({
            "installed": shared.is_some(), "enabled": enabled, "manager": manager.name(), "files": files,
            "kept": kept, "shared": shared, "commands": steps,
        }))?;
        return Ok(Exit::Ok);
    }
    let messages = &app.messages;
    let mut text = String::new();
    for step in &steps {
        text.push_str(&format!("{}\n", tr!(messages, "service-ran", command = step.to_string())));
    }
    for path in &files {
        text.push_str(&app.view().flowing(&tr!(
            messages,
            "service-removed",
            path = path.display().to_string()
        )));
    }
    for path in &kept {
        text.push_str(&app.view().flowing(&tr!(messages, "service-kept", path = path.display().to_string())));
    }
    match &shared {
        None => text.push_str(&app.view().flowing(&tr!(messages, "service-uninstalled"))),
        Some(_) if enabled => {}
        Some(_) => text.push_str(&app.view().flowing(&tr!(messages, "service-switched-off"))),
    }
    app.print(&text)?;
    say_shared(app, shared.as_deref());
    if enabled {
        app.warn(&tr!(messages, "service-enabled-for-all"));
    }
    Ok(Exit::Ok)
}

/// Files that every user of this machine has are not kmi's to remove.
fn say_shared(app: &App, shared: Option<&Path>) {
    if let Some(path) = shared {
        app.note(&tr!(app.messages, "service-shared", path = path.display().to_string()));
    }
}

fn show(app: &App, manager: &Manager, files: &[PathBuf], shared: Option<&Path>, steps: &[Step]) -> Outcome {
    if app.json {
        app.print_json(&json!({
            "dry_run": true, "manager": manager.name(), "removed": files, "shared": shared, "commands": steps,
        }))?;
        return Ok(Exit::Ok);
    }
    let mut text = would_run(app, steps);
    for path in files {
        let path = path.display().to_string();
        text.push_str(&app.view().flowing(&tr!(app.messages, "service-would-remove", path = path)));
    }
    app.print(&text)?;
    say_shared(app, shared);
    Ok(Exit::Ok)
}
