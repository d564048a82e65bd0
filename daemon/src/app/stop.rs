//! How a running daemon stops: requests in flight finish, tasks end, files are written.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::App;
use super::restart::PREDECESSOR;
use crate::command::Command;
use crate::handover::Relay;
use crate::logging::Logging;
use crate::service_manager;
use crate::signal::Signal;
use crate::supervisor::Ended;

/// From the end of the last request to that of the process; as in the units' stop timeouts.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// What has to be closed last, in this order.
#[derive(Debug)]
pub struct Closing {
    logging: Logging,
    relay: Option<Relay>,
}

/// Requests that this process sends to its own proxy, as the demo does: refused ones would look like a fault.
#[derive(Debug, Clone, Default)]
pub struct OwnLoad {
    /// No new request from now on.
    pub stop: CancellationToken,
    /// The last answer has come.
    pub ended: CancellationToken,
}

impl Closing {
    /// Writes out the log, or tells the successor the rest of it. Blocks; events after this are lost.
    pub fn close(self) {
        self.logging.close();
        if let Some(relay) = self.relay {
            relay.close();
        }
    }
}

impl App {
    /// Lets requests in flight finish, also those of a predecessor, until the deadline, a second signal or a forced stop;
    /// for no `longest` at all the deadline is KMI_PROXY_DRAIN_SECONDS.
    pub(super) async fn drain(&mut self, longest: Option<Duration>) {
        let drain = self.settings.load().proxy_drain;
        let deadline = longest.map_or(drain, |longest| longest.min(drain));
        if let Some(load) = &self.own_load {
            load.stop.cancel();
            // One that takes longer is treated as anybody's.
            let _ = tokio::time::timeout(deadline, load.ended.cancelled()).await;
        }
        tracing::info!(
            in_flight = self.state.requests().in_flight,
            seconds = deadline.as_secs(),
            "kmid_stopping"
        );
        let in_flight = self.state.requests().in_flight;
        self.ending.drain.cancel();
        self.to_predecessor.stopping.cancel();
        // While a copy is open, the system goes on accepting.
        self.listeners.clear();
        self.control_share.close();
        self.state.end_waiting();
        let status = format!("stopping; requests in flight: {in_flight}");
        service_manager::stopping(status, deadline + LAST_WRITES).await;
        let mut hurry = deadline.is_zero();
        let mut out_of_time = std::pin::pin!(tokio::time::sleep(deadline));
        let (mut proxy, mut predecessor) = (true, self.behind.load(Ordering::Relaxed) > 0);
        while !hurry {
            if !proxy && !predecessor {
                return;
            }
            tokio::select! {
                Ended(name) = self.supervisor.watch() => match &*name {
                    "proxy" => proxy = false,
                    PREDECESSOR => predecessor = false,
                    // No other one was told to end.
                    _ => return,
                },
                () = &mut out_of_time => hurry = true,
                signal = self.signals.next() => hurry = signal != Signal::Reload,
                Some(command) = self.commands.recv() => hurry = matches!(command, Command::Stop { force: true }),
            }
        }
        self.ending.abort.cancel();
        self.to_predecessor.aborting.cancel();
    }

    /// Ends what still runs, and writes what is not yet on the disk. Returns what is still open, with the way to a
    /// successor, where there is one.
    pub(super) async fn end(self, relay: Option<Relay>) -> Closing {
        self.ending.drain.cancel();
        self.ending.abort.cancel();
        self.cancel.cancel();
        self.supervisor.finish().await;
        let settings_file = self.settings_file;
        // Waits for its thread.
        let _ = tokio::task::spawn_blocking(|| drop(settings_file)).await;
        self.upstream_tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.upstream_tasks.wait()).await;
        let state = self.state;
        state.say_late_lost();
        // Waits for the disk, which nothing else needs any more.
        let _ = tokio::task::spawn_blocking(move || state.close()).await;
        tracing::info!("kmid_stopped");
        Closing { logging: self.logging, relay }
    }
}
