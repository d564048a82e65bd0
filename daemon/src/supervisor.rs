//! Tasks with names: the end of one that should not end is noticed.

use std::time::Duration;

use tokio::task::JoinSet;

/// How long tasks get to end by themselves once they are told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon's long-running tasks.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<&'static str>,
}

/// A task ended though nobody had told it to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {0} task ended by itself, which is a bug; kmid ends, so that its service manager can start it anew"
)]
pub struct Ended(pub String);

impl Supervisor {
    /// Starts a task.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            task.await;
            name
        });
    }

    /// Returns when a task has ended or panicked; never while all run.
    pub async fn watch(&mut self) -> Ended {
        match self.tasks.join_next().await {
            Some(Ok(name)) => Ended(name.to_owned()),
            Some(Err(error)) => {
                Ended(if error.is_panic() { "panicked".to_owned() } else { "cancelled".to_owned() })
            }
            None => std::future::pending().await,
        }
    }

    /// Waits for all tasks, which have been told to end; what still runs after a while is aborted.
    pub async fn finish(mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            tracing::warn!(count = self.tasks.len(), "tasks_aborted");
            self.tasks.shutdown().await;
        }
    }
}
