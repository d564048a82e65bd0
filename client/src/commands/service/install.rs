//! `kmi service install`

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::InstallArgs;
use super::{manager, reachable, start_or_stop, wait_ready, way};
use crate::app::App;
use crate::commands::bad_settings;
use crate::commands::keys::ask;
use crate::connect;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::View;
use crate::service::marker::{self, Found};
use crate::service::plan::{self, Plan, PlanError};
use crate::service::step::Step;
use crate::service::{Manager, ServiceFile, systemd};
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
    let another = way::another(&manager, &plan);
    if args.dry_run {
        return show(app, &manager, &files, another.as_deref(), &steps, &plan);
    }
    if let Some(another) = &another
        && !way::may_go(app, &way::replaced(app, another, &plan), args.yes)?
    {
        return Ok(Exit::Failed);
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
    way::make_way(app, &manager, found.iter().all(|found| *found == Found::Same))?;
    way::is_free(app, &manager.state(), &plan.proxy, &plan.state_dir)?;
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
    let done = Done {
        files: files.iter().map(|file| file.path.as_path()).collect(),
        kept: &kept,
        steps: &steps,
        url: &status.proxy.url,
        pid: status.daemon.pid,
        ends_at_log_out: manager.ends_at_log_out(),
    };
    app.print(&render(&app.view(), &done))?;
    warn_left_behind(app, &manager, &plan);
    Ok(Exit::Ok)
}

/// What an install did.
#[derive(Debug)]
struct Done<'a> {
    files: Vec<&'a Path>,
    kept: &'a [PathBuf],
    steps: &'a [Step],
    url: &'a str,
    pid: u32,
    ends_at_log_out: bool,
}

fn render(view: &View<'_>, done: &Done<'_>) -> String {
    let messages = view.messages;
    let shown = |path: &Path| path.display().to_string();
    let mut text = String::new();
    for path in &done.files {
        text.push_str(&view.flowing(&tr!(messages, "service-wrote", path = shown(path))));
    }
    for path in done.kept {
        text.push_str(&view.flowing(&tr!(messages, "service-kept", path = shown(path))));
    }
    for step in done.steps {
        // A command stays a line, to be copied.
        text.push_str(&format!("{}\n", tr!(messages, "service-ran", command = step.to_string())));
    }
    let (url, pid) = (done.url, done.pid.to_string());
    text.push_str(&view.flowing(&tr!(messages, "service-installed", url = url, pid = pid)));
    if done.ends_at_log_out {
        text.push_str(&view.flowing(&tr!(messages, "service-linger")));
    }
    text.push_str(&view.flowing(&tr!(messages, "service-undo")));
    text
}

fn plan(app: &App, manager: &Manager) -> Outcome<Plan> {
    let kmid = connect::kmid(app)?;
    let version = if let Manager::Systemd(_) = manager { systemd::version() } else { None };
    let installed = manager.written().unwrap_or_default();
    plan::make(&kmid, app.socket_flag.as_deref(), version, &installed).map_err(|error| {
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
pub(super) fn may_touch(app: &App, changed: &[&Path], yes: bool, removed: bool) -> Outcome<bool> {
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

/// A person's own file, under another name.
pub(super) fn keep(app: &App, path: &Path) -> Outcome<PathBuf> {
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

pub(super) fn unwritten(app: &App, path: &Path, error: &io::Error) -> Failure {
    let path = path.display().to_string();
    let what = tr!(app.messages, "service-unwritten", path = path, why = app.messages.io(error));
    Failure::new(Exit::Failed, what).next(tr!(app.messages, "next-doctor"))
}

fn warn_left_behind(app: &App, manager: &Manager, plan: &Plan) {
    let (settings, others) = plan.left_behind();
    let messages = &app.messages;
    if !settings.is_empty() {
        let file = plan.state_dir.join(".env").display().to_string();
        let (count, list) = (settings.len(), settings.join(", "));
        app.warn(&tr!(messages, "service-left-behind", count = count, list = list, file = file));
    }
    if !others.is_empty() {
        let (count, list) = (others.len(), others.join(", "));
        app.warn(&tr!(messages, "service-left-outside", count = count, list = list));
        let file = manager.file().unwrap_or_default().display().to_string();
        app.note(&match manager {
            Manager::Systemd(_) => tr!(messages, "service-left-outside-systemd", name = others[0]),
            Manager::Launchd(_) => tr!(messages, "service-left-outside-launchd", file = file),
            Manager::TaskScheduler(_) => {
                tr!(messages, "service-left-outside-task-scheduler", name = others[0])
            }
        });
    }
}

fn show(
    app: &App,
    manager: &Manager,
    files: &[ServiceFile],
    another: Option<&str>,
    steps: &[Step],
    plan: &Plan,
) -> Outcome {
    if app.json {
        app.print_json(&json!({
            "dry_run": true, "manager": manager.name(), "files": files, "replaces": another, "commands": steps,
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
    if let Some(another) = another {
        app.warn(&way::replaced(app, another, plan));
    }
    warn_left_behind(app, manager, plan);
    if let Err(why) = manager.reachable() {
        app.warn(&super::unreachable(app, why).what);
    }
    Ok(Exit::Ok)
}

pub(super) fn would_run(app: &App, steps: &[Step]) -> String {
    steps
        .iter()
        .map(|step| format!("{}\n", tr!(app.messages, "service-would-run", command = step.to_string())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn what_was_done_and_how_long_it_lasts() {
        let steps = [Step::new(
            "systemctl",
            ["--user", "start", "kmid-control.socket", "kmid.socket", "kmid.service"],
        )];
        let kept = [PathBuf::from("/home/me/.config/systemd/user/kmid.service.before-kmi")];
        let done = |ends_at_log_out| Done {
            files: vec![Path::new("/home/me/.config/systemd/user/kmid.service")],
            kept: &kept,
            steps: &steps,
            url: "http://127.0.0.1:54123/kmi-rotor/v1",
            pid: 4711,
            ends_at_log_out,
        };
        insta::assert_snapshot!(fixtures::looks(|view| render(view, &done(true))));
        let lasting = fixtures::show(crate::output::locale::Locale::En, fixtures::PIPED, |view| {
            render(view, &done(false))
        });
        assert!(!lasting.contains("log out"), "{lasting}");
    }
}
