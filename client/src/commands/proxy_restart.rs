//! `kmi proxy-restart`

use std::path::PathBuf;

use kmi_proto::method::{Empty, typed};
use kmi_proto::methods::daemon::Status;

use crate::app::App;
use crate::commands::proxy_stop::stop;
use crate::connect::{self, Start};
use crate::exit::{Exit, Outcome};
use crate::tr;

pub(crate) fn run(app: &App) -> Outcome {
    let Some(mut daemon) = connect::find(app, Start::No)? else {
        connect::require(app, Start::OnDemand)?;
        return report(app);
    };
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    // The program is looked for before the old one ends, so that a missing one does not leave nothing running.
    connect::kmid(app)?;
    stop(app, daemon, &status, false)?;
    let paths = paths(&status);
    let variables: Vec<(&str, PathBuf)> = paths.iter().map(|(name, path)| (*name, path.clone())).collect();
    connect::launch(app, &["--no-folder"], &variables)?;
    report(app)
}

/// The paths that the old daemon resolved, for the new one to keep.
fn paths(status: &Status) -> Vec<(&'static str, PathBuf)> {
    let daemon = &status.daemon;
    let mut paths = vec![("KMI_STATE_DIR", PathBuf::from(&daemon.state_dir))];
    paths.extend(daemon.env_file.as_ref().map(|path| ("KMI_ENV_PATH", path.into())));
    paths.extend(daemon.auths_dir.as_ref().map(|path| ("KMI_AUTHS_DIR", path.into())));
    paths
}

fn report(app: &App) -> Outcome {
    let mut daemon = connect::require(app, Start::No)?;
    let status =
        daemon.ask::<typed::DaemonStatus>(&Empty {}).map_err(|error| connect::failure(app, error))?;
    if app.json {
        app.print_json(
            &serde_json::json!({"restarted": true, "pid": status.daemon.pid, "url": status.proxy.url}),
        )?;
    } else {
        let pid = status.daemon.pid.to_string();
        let url = status.proxy.url.as_str();
        app.print(&format!("{}\n", tr!(app.messages, "restart-done", pid = pid, url = url)))?;
    }
    Ok(Exit::Ok)
}
