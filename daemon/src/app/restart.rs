//! A restart without loss, on the side of the running daemon: `daemon.restart`.

use std::io::IsTerminal as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kmid_config::load;
use kmid_config::settings::Settings;
use kmid_core::said::Said;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::command::Command;
use crate::handover::{self, Files, Handle, Limits, Parts, RestartError, Succeeded};
use crate::inherited;
#[cfg(unix)]
use crate::inherited::Place;
use crate::proxy::listener;
use crate::signal::Signal;
use crate::supervisor::Ended;
use crate::{metrics, service_manager};

/// Requests that were under way at a handover end by themselves; a stream that never does is cut off after this. A
/// shorter time would cut off what a restart is there to spare.
const LONGEST_FINISH: Duration = Duration::from_secs(3600);
/// The task that listens to the predecessor.
pub(super) const PREDECESSOR: &str = "predecessor";
/// Tasks that end when a successor has taken their work over.
const HANDED_OVER: [&str; 6] = ["control", "metrics", "refresh", "keys", "service", "place"];

/// A restart under way.
pub(super) struct Restart {
    pub(super) work: Pin<Box<dyn Future<Output = Result<Succeeded, RestartError>> + Send>>,
    reply: Reply,
    give_up: CancellationToken,
}

type Reply = oneshot::Sender<Result<(u32, String), RestartError>>;

impl Restart {
    /// Gives it up, and returns when all is as before, or with the successor that serves already.
    async fn abandon(self, app: &App) -> Option<Succeeded> {
        self.give_up.cancel();
        let result = self.work.await;
        app.end_restart(result, self.reply).await
    }
}

impl App {
    /// Begins a restart, or says why not.
    pub(super) async fn begin_restart(&self, reply: Reply) -> Option<Restart> {
        match self.parts().await {
            Ok(parts) => {
                let give_up = parts.give_up.clone();
                Some(Restart { work: Box::pin(handover::hand_over(parts)), reply, give_up })
            }
            Err(error) => {
                self.control_share.take_back();
                tracing::error!(%error, "restart_failed");
                // Whoever asked may be gone.
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    /// Gives up the restart that is under way, if one is; returns the successor if that serves already.
    pub(super) async fn abandon_restart(&self, restart: Option<Restart>) -> Option<Succeeded> {
        match restart {
            Some(restart) => restart.abandon(self).await,
            None => None,
        }
    }

    /// Answers for the restart when it came to its end; returns the successor that serves.
    pub(super) async fn restart_ended(
        &self,
        restart: &mut Option<Restart>,
        result: Result<Succeeded, RestartError>,
    ) -> Option<Succeeded> {
        self.end_restart(result, restart.take()?.reply).await
    }

    async fn end_restart(&self, result: Result<Succeeded, RestartError>, reply: Reply) -> Option<Succeeded> {
        match result {
            Ok(succeeded) => {
                // Before the answer: whoever asked may ask the manager next.
                service_manager::main_process(succeeded.pid).await;
                let _ = reply.send(Ok((succeeded.pid, succeeded.version.clone())));
                Some(succeeded)
            }
            Err(error) => {
                self.control_share.take_back();
                tracing::error!(%error, "restart_failed");
                let _ = reply.send(Err(error));
                None
            }
        }
    }

    async fn parts(&self) -> Result<Parts, RestartError> {
        let Some(instance) = self.instance.clone() else { return Err(RestartError::Unsupported) };
        if self.starter.waits() {
            return Err(RestartError::Managed);
        }
        let behind = self.behind.load(Ordering::Relaxed);
        if behind >= handover::MOST_BEHIND {
            return Err(RestartError::TooManyBehind(behind));
        }
        let (launch, outside) = (self.launch.clone(), self.outside.clone());
        let wanted = tokio::task::spawn_blocking(move || load::load(&launch, &outside))
            .await
            .map_err(|error| RestartError::Failed(Said::plain(error.to_string())))?
            .map_err(|bad| RestartError::BadSettings(bad.said()))?
            .settings;
        handover::stays_put(&self.settings.load(), &wanted, self.held)?;
        let mut args = self.launch.to_args();
        if self.launch.folder.is_none() {
            args.push("--no-folder".into());
        }
        let mut listeners = self.listeners_for(&wanted)?;
        let (control, owns_socket) =
            self.control_share.give().map_err(|error| RestartError::Failed(Said::of_io(&error)))?;
        listeners.extend(control.map(|control| (inherited::CONTROL, control)));
        Ok(Parts {
            program: handover::program(&self.program),
            args,
            state_dir: wanted.state_dir.clone(),
            // A terminal belongs to whoever typed the command, and not to a process that he does not know.
            detached: self.detached || std::io::stderr().is_terminal(),
            listeners,
            instance,
            state: Arc::clone(&self.state),
            files: Files {
                trace: self.trace.lines(),
                app: self.logging.app().clone(),
                daemon: self.logging.daemon().clone(),
            },
            owns_socket,
            behind,
            held: self.held,
            limits: Limits::default(),
            give_up: CancellationToken::new(),
        })
    }

    /// The sockets that listen where the settings want them; the successor binds the others itself, where it can.
    #[cfg(unix)]
    fn listeners_for(&self, wanted: &Settings) -> Result<Vec<(&'static str, Handle)>, RestartError> {
        let io_failed = |error: std::io::Error| RestartError::Failed(Said::of_io(&error));
        let running = self.settings.load();
        let mut copies = Vec::new();
        for (name, handle) in &self.listeners {
            let (variable, was, wanted, held) = match *name {
                inherited::METRICS => (
                    "KMI_METRICS_LISTEN",
                    running.metrics_listen.as_ref(),
                    wanted.metrics_listen.as_ref(),
                    self.held.metrics,
                ),
                _ => {
                    let (was, wanted) = (&running.proxy_listen, &wanted.proxy_listen);
                    ("KMI_PROXY_LISTEN", Some(was), Some(wanted), self.held.proxy)
                }
            };
            match inherited::place(handle, was, wanted).map_err(io_failed)? {
                Place::Same => copies.push((*name, handle.try_clone().map_err(io_failed)?)),
                // It would go on taking connections that nobody answers.
                Place::InTheWay | Place::Other if held => return Err(RestartError::Held(variable)),
                Place::InTheWay => return Err(RestartError::Elsewhere(variable)),
                Place::Other => {}
            }
        }
        Ok(copies)
    }

    #[cfg(not(unix))]
    fn listeners_for(&self, _wanted: &Settings) -> Result<Vec<(&'static str, Handle)>, RestartError> {
        Ok(Vec::new())
    }

    /// A successor serves: this process takes nothing new, and returns when its last request has ended.
    pub(super) async fn finish(&mut self, successor: &Succeeded) {
        self.control_share.leave();
        self.ending.leave.cancel();
        self.retire.cancel();
        self.listeners.clear();
        tracing::info!(
            successor = successor.pid,
            in_flight = self.state.requests().in_flight,
            "kmid_handed_over"
        );
        let mut predecessor = self.behind.load(Ordering::Relaxed) > 0;
        let mut proxy = true;
        let drain = self.settings.load().proxy_drain;
        let mut out_of_time = std::pin::pin!(async {
            tokio::select! {
                () = tokio::time::sleep(LONGEST_FINISH) => {}
                // Whoever stops kmid means all of it.
                () = async { successor.stopping.cancelled().await; tokio::time::sleep(drain).await } => {}
                () = successor.aborting.cancelled() => {}
            }
        });
        while proxy || predecessor {
            tokio::select! {
                () = successor.stopping.cancelled(), if !self.to_predecessor.stopping.is_cancelled() =>
                    self.to_predecessor.stopping.cancel(),
                Ended(name) = self.supervisor.watch() => match &*name {
                    "proxy" => proxy = false,
                    // What it tells is passed on.
                    PREDECESSOR => predecessor = false,
                    name if HANDED_OVER.contains(&name) => {}
                    _ => break,
                },
                () = &mut out_of_time => break,
                signal = self.signals.next() => if signal != Signal::Reload { break },
                Some(command) = self.commands.recv() => if let Command::Stop { force: true } = command { break },
            }
        }
        self.ending.abort.cancel();
        self.to_predecessor.aborting.cancel();
    }
}

/// The end of a restart; never while there is none.
pub(super) async fn under_way(restart: &mut Option<Restart>) -> Result<Succeeded, RestartError> {
    match restart {
        Some(restart) => restart.work.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Copies of the listening sockets but the control socket, for a successor.
#[cfg(unix)]
pub(super) fn copies(
    proxy: &listener::Bound,
    metrics: Option<&metrics::listener::Bound>,
) -> std::io::Result<Vec<(&'static str, Handle)>> {
    let mut copies = vec![(inherited::PROXY, proxy.copy()?)];
    if let Some(metrics) = metrics {
        copies.push((inherited::METRICS, metrics.copy()?));
    }
    Ok(copies)
}

#[cfg(not(unix))]
pub(super) fn copies(
    _proxy: &listener::Bound,
    _metrics: Option<&metrics::listener::Bound>,
) -> std::io::Result<Vec<(&'static str, Handle)>> {
    Ok(Vec::new())
}
