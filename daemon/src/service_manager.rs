//! What the service manager is told: ready, reloading, stopping, a line about how things are, and that kmid lives.
//!
//! systemd's protocol (sd_notify(3)): datagrams to the socket that `NOTIFY_SOCKET` names. Without that variable, and
//! on systems without the protocol, nothing is told.
//!
//! By default systemd listens to a service's main process only, and `WATCHDOG_PID` names the process that it started:
//! one that starts a successor tells the successor's number first (`MAINPID=`), and starts it without that variable.

use std::time::Duration;

/// A manager that reads its socket does so at once; one that does not must not hold the daemon up.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the manager waits for a sign of life before it kills the service; `None` when it does not watch.
#[must_use]
pub fn watchdog() -> Option<Duration> {
    imp::watchdog()
}

/// Whether anybody listens.
#[must_use]
pub fn is_there() -> bool {
    imp::is_there()
}

/// Proxy and control socket answer, at the start and after a reload.
pub async fn ready(status: String) {
    tell(move || imp::ready(&status)).await;
}

/// Settings are being read anew; [`ready`] ends it.
pub async fn reloading() {
    tell(imp::reloading).await;
}

/// No new requests are taken from here on. The manager is to wait `longest` for the end, also where its own stop timeout is
/// shorter: the settings may have changed since the service was installed.
pub async fn stopping(status: String, longest: Duration) {
    tell(move || imp::stopping(&status, longest)).await;
}

/// Another process does the work from here on: what it tells counts, and its end is the service's.
pub async fn main_process(pid: u32) {
    tell(move || imp::main_process(pid)).await;
}

/// One line about how things are, as `systemctl status` shows it.
pub async fn status(status: String) {
    tell(move || imp::status(&status)).await;
}

/// A sign of life, for [`watchdog`].
pub async fn alive() {
    tell(imp::alive).await;
}

/// Writing to the manager's socket may block, so a thread for such calls does it.
async fn tell(what: impl FnOnce() -> std::io::Result<()> + Send + 'static) {
    if !is_there() {
        return;
    }
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(what)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::debug!(%error, "service_manager_not_told"),
        Ok(Err(_)) | Err(_) => tracing::warn!("service_manager_not_told"),
    }
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::time::Duration;

    use sd_notify::NotifyState;

    pub(super) fn is_there() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some()
    }

    pub(super) fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero())
    }

    pub(super) fn ready(status: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
    }

    /// systemd 253 and newer compares the time with that of its own signal (Type=notify-reload); older ones skip it.
    pub(super) fn reloading() -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
    }

    pub(super) fn stopping(status: &str, longest: Duration) -> io::Result<()> {
        let longest = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
        let stopping = [NotifyState::Stopping, NotifyState::Status(status)];
        sd_notify::notify(&[&stopping[..], &[NotifyState::ExtendTimeoutUsec(longest)]].concat())
    }

    pub(super) fn main_process(pid: u32) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::MainPid(pid)])
    }

    pub(super) fn status(status: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Status(status)])
    }

    pub(super) fn alive() -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Watchdog])
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;
    use std::time::Duration;

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn watchdog() -> Option<Duration> {
        None
    }

    pub(super) fn ready(_status: &str) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn reloading() -> io::Result<()> {
        Ok(())
    }

    pub(super) fn stopping(_status: &str, _longest: Duration) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn main_process(_pid: u32) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn status(_status: &str) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn alive() -> io::Result<()> {
        Ok(())
    }
}
