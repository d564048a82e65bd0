//! `kmi keys remove`, `enable` and `disable`.

use std::fs;

use kmi_proto::method::{Empty, typed};
use serde_json::json;

use super::args::RemoveArgs;
use super::{ask, directory, file, find, listed, path_of, unwritten, wait};
use crate::app::App;
use crate::connect::{self, Start};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::style::clean;
use crate::tr;

pub(super) fn remove(app: &App, args: &RemoveArgs) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let list = listed(app, &mut daemon)?;
    let key = find(app, &list, &args.label)?;
    let path = path_of(app, &directory(app, Some(&status)), key)?;
    let label = clean(&key.label).into_owned();
    if !args.yes {
        if !ask::somebody() {
            return Err(Failure::new(Exit::Usage, tr!(app.messages, "keys-remove-unasked")).into());
        }
        let source = clean(&key.source).into_owned();
        if !ask::agreed(app, &tr!(app.messages, "keys-remove-ask", label = label, source = source), false) {
            app.note(&tr!(app.messages, "keys-remove-kept"));
            return Ok(Exit::Failed);
        }
    }
    let backup = file::removed_path(&path, &app.view().now.strftime("%Y%m%dT%H%M%SZ").to_string());
    fs::rename(&path, &backup).map_err(|error| unwritten(app, &path, &error))?;
    let gone = wait(app, &mut daemon, |list| {
        let still =
            list.keys.iter().any(|other| other.fingerprint == key.fingerprint && other.source == key.source);
        (!still).then(|| list.keys.iter().find(|other| other.fingerprint == key.fingerprint).cloned())
    })?;
    let backup = backup.display().to_string();
    if app.json {
        app.print_json(
            &json!({"label": key.label, "removed": true, "backup": backup, "seen": gone.is_some()}),
        )?;
    } else {
        let done = tr!(app.messages, "keys-removed", label = clean(&key.label).into_owned(), backup = backup);
        app.print(&app.view().flowing(&done))?;
    }
    if let Some(Some(twin)) = &gone {
        app.warn(&tr!(app.messages, "keys-twin", source = clean(&twin.source).into_owned()));
    }
    Ok(said_whether_seen(app, gone.is_some()))
}

pub(super) fn switch(app: &App, label: &str, disabled: bool) -> Outcome {
    let mut daemon = connect::require(app, Start::OnDemand)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    let list = listed(app, &mut daemon)?;
    let key = find(app, &list, label)?;
    let path = path_of(app, &directory(app, Some(&status)), key)?;
    let shown = clean(&key.label).into_owned();
    let already = (key.state == "disabled") == disabled;
    let mut seen = true;
    if !already {
        let by_hand = |id: Failure| {
            id.next(tr!(app.messages, "keys-switch-next", label = clean(&key.label).into_owned()))
        };
        if !file::is_env(&path) {
            let what = tr!(app.messages, "keys-switch-foreign", path = path.display().to_string());
            return Err(by_hand(Failure::new(Exit::Failed, what)).into());
        }
        let text = fs::read_to_string(&path).map_err(|error| unwritten(app, &path, &error))?;
        let Some(new) = file::switched(&text, disabled) else {
            let what = tr!(app.messages, "keys-switch-unclear", path = path.display().to_string());
            return Err(by_hand(Failure::new(Exit::Failed, what)).into());
        };
        file::replace(&path, &new).map_err(|error| unwritten(app, &path, &error))?;
        seen = wait(app, &mut daemon, |list| {
            let now = list.keys.iter().find(|other| other.fingerprint == key.fingerprint)?;
            ((now.state == "disabled") == disabled).then_some(())
        })?
        .is_some();
    }
    if app.json {
        app.print_json(
            &json!({"label": key.label, "disabled": disabled, "changed": !already, "seen": seen}),
        )?;
    } else {
        let done = match (disabled, already) {
            (true, false) => tr!(app.messages, "keys-switched-off", label = shown),
            (true, true) => tr!(app.messages, "keys-switched-off-already", label = shown),
            (false, false) => tr!(app.messages, "keys-switched-on", label = shown),
            (false, true) => tr!(app.messages, "keys-switched-on-already", label = shown),
        };
        app.print(&app.view().flowing(&done))?;
    }
    Ok(said_whether_seen(app, seen))
}

/// The file is as it should be; whether kmid has seen it is another matter.
fn said_whether_seen(app: &App, seen: bool) -> Exit {
    if seen {
        return Exit::Ok;
    }
    app.warn(&tr!(app.messages, "keys-unseen"));
    Exit::Failed
}
