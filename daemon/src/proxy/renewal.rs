//! Follows the proxy's certificate: read anew when its files change, and its end told ahead.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kmid_config::settings::TlsFiles;
use kmid_core::door::validity::{Standing, Validity};
use kmid_core::said::Said;
use kmid_core::say;
use kmid_core::time::Time;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::server_tls::{Certificate, TlsError};
use crate::clock;
use crate::command::Issue;
use crate::state::{Origin, State};

/// Certificate and key are written one after the other: this long must nothing happen.
const QUIET: Duration = Duration::from_millis(200);
/// A change that made no event (another machine's file system, a link's far end) counts after this long.
const POLL: Duration = Duration::from_secs(30);

/// Follows the files until cancelled.
pub async fn follow(certificate: Arc<Certificate>, state: Arc<State>, cancel: CancellationToken) {
    let changed = Arc::new(Notify::new());
    let _watcher = {
        let (files, changed) = (certificate.files().clone(), Arc::clone(&changed));
        // Setting watches asks the file system; without them, the poll has to do.
        tokio::task::spawn_blocking(move || watch(&files, changed).ok()).await.ok().flatten()
    };
    let mut last = None;
    loop {
        look(&certificate, &state, &mut last).await;
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
            () = changed.notified() => tokio::select! {
                () = cancel.cancelled() => return,
                () = settled(&changed) => {}
            }
        }
    }
}

/// Returns when nothing has changed for a moment.
async fn settled(changed: &Notify) {
    // Whoever writes for longer is read again with the next event.
    for _ in 0..10 {
        if tokio::time::timeout(QUIET, changed.notified()).await.is_err() {
            return;
        }
    }
}

/// Reads the files anew, logs what is new about them, and tells what a person should know.
async fn look(certificate: &Arc<Certificate>, state: &State, last: &mut Option<TlsError>) {
    let reading = Arc::clone(certificate);
    let Ok(read) = tokio::task::spawn_blocking(move || reading.reload()).await else { return };
    let validity = certificate.validity();
    match &read {
        Ok(true) => {
            let until = validity.map(|validity| validity.not_after.to_string());
            tracing::info!(until, "proxy_certificate_renewed");
        }
        Ok(false) => {}
        Err(error) if last.as_ref() != Some(error) => {
            tracing::error!(%error, "proxy_certificate_refused");
        }
        Err(_) => {}
    }
    *last = read.err();
    state.set_issues(
        Origin::Certificate,
        issues(&certificate.files().cert, last.as_ref(), validity, clock::now()),
    );
}

/// What a person should know about the certificate: pure.
fn issues(cert: &Path, refused: Option<&TlsError>, validity: Option<Validity>, now: Time) -> Vec<Issue> {
    let issue = |error: bool, message: Said| Issue {
        kind: "certificate",
        error,
        subject: cert.display().to_string(),
        message,
    };
    let kept = refused.map(|why| issue(true, say!(certificate_kept, why = why.said())));
    let end = validity.and_then(|validity| match validity.standing(now) {
        Standing::Good => None,
        Standing::EndsSoon(days) => {
            let until = validity.not_after.to_string();
            let said = match days {
                1 => say!(certificate_ends_tomorrow, until = until),
                days => say!(certificate_ends_soon, days = days, until = until),
            };
            Some(issue(false, said))
        }
        Standing::Ended => Some(issue(true, say!(certificate_ended, since = validity.not_after.to_string()))),
        Standing::NotYet => {
            Some(issue(true, say!(certificate_not_yet, from = validity.not_before.to_string())))
        }
    });
    kept.into_iter().chain(end).collect()
}

fn watch(files: &TlsFiles, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let names: Vec<_> =
        [&files.cert, &files.key].iter().filter_map(|file| file.file_name()).map(Into::into).collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // An error may mean that events were lost.
        if event.map_or(true, |event| concerns(&event, &names)) {
            changed.notify_one();
        }
    })?;
    let mut folders: Vec<&Path> = [&files.cert, &files.key].iter().filter_map(|file| file.parent()).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// Whether an event may have changed one of the files: not mere reading, which kmid itself does, and not what others
/// write beside them. A folder of links (`..data` of Kubernetes) is replaced by a rename of its own.
fn concerns(event: &notify::Event, names: &[PathBuf]) -> bool {
    if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write)) {
        return false;
    }
    let renamed = matches!(event.kind, EventKind::Modify(ModifyKind::Name(_)) | EventKind::Create(_));
    event.paths.is_empty()
        || event.paths.iter().filter_map(|path| path.file_name()).any(|name| {
            names.iter().any(|known| known.as_os_str() == name)
                || (renamed && name.to_string_lossy().starts_with(".."))
        })
}

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;
