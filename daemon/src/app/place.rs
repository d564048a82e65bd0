//! The state directory while the daemon runs: still there, and still its own.

use std::sync::Arc;
use std::time::Duration;

use kmid_core::say;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::command::{Command, Issue};
use crate::instance::{Instance, InstanceError};
use crate::state::{Origin, State};

/// How often it is looked for. Logs and traces make the directory anew with their next line; a second daemon must not
/// take it for free for much longer.
const EVERY: Duration = Duration::from_secs(10);

/// Looks until `cancel`. What was removed is made anew; when another daemon has taken the directory meanwhile, this one
/// drains and ends, because two writers would destroy each other's state.
pub(super) async fn keep(
    instance: Arc<Instance>,
    state: Arc<State>,
    commands: mpsc::Sender<Command>,
    cancel: CancellationToken,
) {
    let mut failing = false;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let instance = Arc::clone(&instance);
        let looked = tokio::task::spawn_blocking(move || instance.keep()).await;
        let Ok(looked) = looked else { continue };
        match looked {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(reason = "it was removed while kmid ran", "state_dir_restored");
                state.save_soon();
            }
            Err(error @ InstanceError::Held { .. }) => {
                tracing::error!(%error, "state_dir_taken");
                // Nobody to tell: then it ends already.
                let _ = commands.send(Command::Stop { force: false }).await;
                return cancel.cancelled().await;
            }
            Err(error) => {
                if !failing {
                    tracing::error!(%error, "state_dir_lost");
                    state.set_issues(Origin::Place, vec![issue(&error)]);
                }
                failing = true;
                continue;
            }
        }
        if std::mem::take(&mut failing) {
            state.set_issues(Origin::Place, Vec::new());
        }
    }
}

fn issue(error: &InstanceError) -> Issue {
    Issue {
        kind: "state",
        error: true,
        subject: "KMI_STATE_DIR".to_owned(),
        message: say!(nothing_is_remembered, why = error.said()),
    }
}
