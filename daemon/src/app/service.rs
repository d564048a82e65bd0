//! The daemon as a service: what its manager is told while it runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kmid_core::pool::view::KeyState;
use tokio_util::sync::CancellationToken;

use super::App;
use crate::command::Reloaded;
use crate::pulse::Pulse;
use crate::service_manager;
use crate::state::State;

/// The line about how things are is looked at this often, and told when it differs.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The loops without which the daemon is of no use.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulses {
    pub(super) proxy: Pulse,
    pub(super) control: Pulse,
    pub(super) refresh: Pulse,
}

impl Pulses {
    /// The first loop that does not answer.
    async fn hung(&self, patience: Duration) -> Option<&'static str> {
        let (proxy, control, refresh) = tokio::join!(
            self.proxy.asked(patience),
            self.control.asked(patience),
            self.refresh.asked(patience)
        );
        [("proxy", proxy), ("control", control), ("refresh", refresh)]
            .into_iter()
            .find_map(|(name, answered)| (!answered).then_some(name))
    }
}

/// What the manager's status line is made of.
#[derive(Debug, Clone)]
pub(super) struct Report {
    state: Arc<State>,
    proxy: SocketAddr,
    dry_run: bool,
}

impl Report {
    pub(super) fn new(state: &Arc<State>, proxy: SocketAddr, dry_run: bool) -> Self {
        Self { state: Arc::clone(state), proxy, dry_run }
    }

    pub(super) fn line(&self) -> String {
        let states: Vec<KeyState> = self.state.view().keys.iter().map(|key| key.state).collect();
        line(&states, self.proxy, self.dry_run)
    }
}

fn line(keys: &[KeyState], proxy: SocketAddr, dry_run: bool) -> String {
    let count = |wanted: &[KeyState]| keys.iter().filter(|key| wanted.contains(key)).count();
    let ready = count(&[KeyState::Ready, KeyState::Warn]);
    let mut text = format!("{ready} {} ready", if ready == 1 { "key" } else { "keys" });
    for (word, number) in [
        ("cooling", count(&[KeyState::Cooling])),
        ("blocked", count(&[KeyState::Blocked])),
        ("disabled", count(&[KeyState::Disabled])),
    ] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    let mode = if dry_run { "; dry-run" } else { "" };
    format!("{text}; proxy on {proxy}{mode}")
}

/// Keeps the manager's line up to date, and feeds its watchdog while every loop answers. A loop that hangs is named in
/// the log, nothing is fed any more, and the manager kills and restarts the service. While the daemon drains, its
/// listener answers no more: then the manager's stop timeout watches in its place.
pub(super) async fn tell(
    report: Report,
    pulses: Pulses,
    drain: CancellationToken,
    cancel: CancellationToken,
) {
    let watchdog = service_manager::watchdog();
    if !service_manager::is_there() {
        return cancel.cancelled().await;
    }
    // A third, so that one late answer does no harm.
    let every = watchdog.map_or(LOOK_EVERY, |limit| (limit / 3).min(LOOK_EVERY));
    let mut told = String::new();
    loop {
        if drain.is_cancelled() {
            service_manager::alive().await;
        } else {
            match pulses.hung(every).await {
                None if watchdog.is_some() => service_manager::alive().await,
                None => {}
                Some(_) if drain.is_cancelled() => {}
                Some(part) => tracing::error!(part, "watchdog_not_fed"),
            }
            let line = report.line();
            if line != told && !drain.is_cancelled() {
                service_manager::status(line.clone()).await;
                told = line;
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

impl App {
    /// [`App::reload`], with the manager knowing of it.
    pub(super) async fn reload_told(&mut self) -> Reloaded {
        service_manager::reloading().await;
        let reloaded = self.reload().await;
        service_manager::ready(self.report.line()).await;
        reloaded
    }
}

#[cfg(test)]
mod tests {

    use KeyState::{Blocked, Cooling, Disabled, Ready, Warn};

    use super::*;

    #[test]
    fn the_line_counts_what_serves_and_what_does_not() {
        let proxy = "127.0.0.1:54123".parse().unwrap();
        assert_eq!(line(&[], proxy, true), "0 keys ready; proxy on 127.0.0.1:54123; dry-run");
        let keys = [Ready, Warn, Cooling, Ready];
        assert_eq!(line(&keys, proxy, false), "3 keys ready, 1 cooling; proxy on 127.0.0.1:54123");
        let keys = [Blocked, Ready, Disabled];
        assert_eq!(line(&keys, proxy, false), "1 key ready, 1 blocked, 1 disabled; proxy on 127.0.0.1:54123");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hung_loop_is_named() {
        let pulses = Pulses::default();
        let turn = |pulse: &Pulse| {
            let pulse = pulse.clone();
            tokio::spawn(async move {
                loop {
                    pulse.beat().await;
                }
            })
        };
        let patience = Duration::from_secs(1);
        assert_eq!(pulses.hung(patience).await, Some("proxy"));
        let _proxy = turn(&pulses.proxy);
        let _refresh = turn(&pulses.refresh);
        assert_eq!(pulses.hung(patience).await, Some("control"));
        let control = turn(&pulses.control);
        assert_eq!(pulses.hung(patience).await, None);
        control.abort();
        assert!(control.await.is_err());
        assert_eq!(pulses.hung(patience).await, Some("control"));
    }
}
