//! The key directory's place in the daemon: loaded, watched, brought into the pool.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use kmid_config::settings::Settings;
use kmid_core::say;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::command::Issue;
use crate::keys::{self, Rules, Watcher};
use crate::state::{Origin, State};

/// When files could not be seen because too many are open.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Brings keys from files into the pool.
#[derive(Debug)]
pub(super) struct KeyRoom {
    state: Arc<State>,
    settings: Arc<ArcSwap<Settings>>,
    /// The watcher that takes over next; the one at work belongs to the watching task.
    next: Mutex<Option<Watcher>>,
    moved: Notify,
    /// After how long the files are read again, although they have not changed: the last load could not see all of them.
    again: Mutex<Option<Duration>>,
    /// One load at a time, so that an older reading of the files never comes last.
    loading: tokio::sync::Mutex<()>,
}

impl KeyRoom {
    /// Watches the directories and loads the keys. The watch comes first: a change in between is not missed.
    pub(super) async fn open(
        state: Arc<State>,
        settings: Arc<ArcSwap<Settings>>,
        candidates: Vec<PathBuf>,
    ) -> io::Result<Arc<Self>> {
        let watcher =
            tokio::task::spawn_blocking(|| Watcher::new(candidates)).await.map_err(io::Error::other)??;
        let room = Arc::new(Self {
            state,
            settings,
            next: Mutex::new(Some(watcher)),
            moved: Notify::new(),
            again: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        });
        room.load().await;
        Ok(room)
    }

    /// Watches other directories from now on.
    pub(super) async fn watch_instead(&self, candidates: Vec<PathBuf>) {
        match tokio::task::spawn_blocking(|| Watcher::new(candidates)).await {
            Ok(Ok(watcher)) => {
                *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
                self.moved.notify_one();
            }
            Ok(Err(error)) => tracing::error!(%error, "key_watch_failed"),
            Err(error) => tracing::error!(%error, "key_watch_failed"),
        }
    }

    /// Reads the key directory into the pool. Whether keys or issues changed.
    pub(super) async fn load(&self) -> bool {
        let _one_at_a_time = self.loading.lock().await;
        let settings = self.settings.load_full();
        let Some(dir) = settings.auths_dir.clone() else {
            self.state.set_keys(Vec::new());
            self.state.set_issues(Origin::Keys, vec![no_directory(&settings)]);
            return false;
        };
        let rules = Rules::from(&*settings);
        let mut loaded = match tokio::task::spawn_blocking(move || keys::load(&dir, &rules)).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%error, "keys_not_loaded");
                return false;
            }
        };
        // Files that nobody could open for a moment are no reason to be without keys.
        let again = if loaded.is_shortage { Some(READ_AGAIN) } else { loaded.again };
        let before = std::mem::replace(&mut *self.lock_again(), again);
        if again.is_some() && before != again {
            // The watching task may sleep without an end.
            self.moved.notify_one();
        }
        if loaded.is_shortage {
            if before != again {
                tracing::error!(reason = "too many open files; the keys stay as they were", "keys_not_read");
            }
            return false;
        }
        let known = self.state.keys();
        loaded.keep(&known);
        // Each is told once, and not again with every change of another file.
        let told = self.state.issues();
        for issue in loaded.issues.iter().filter(|issue| !told.contains(issue)) {
            tracing::warn!(file = %issue.subject, reason = %issue.message, "key_file_issue");
        }
        let summary = |keys: &[Arc<kmid_core::key::Key>]| {
            keys.iter()
                .map(|key| {
                    (key.label.clone(), key.fingerprint, key.disabled, key.priority, key.base_url.clone())
                })
                .collect::<Vec<_>>()
        };
        let before = summary(&known);
        // A keyring may stay locked for days: what is tried again and again writes no state each time.
        if again.is_none() || !loaded.is_as(&known) {
            self.state.set_keys(loaded.keys);
        }
        self.state.set_issues(Origin::Keys, loaded.issues);
        let now = self.state.keys();
        let changed = before != summary(&now);
        if changed {
            tracing::info!(count = now.len(), "keys_loaded");
        }
        changed
    }

    /// Loads anew whenever files change, until cancelled. While no key directory exists, looks for it in the same
    /// way as at start.
    pub(super) async fn watch(self: Arc<Self>, launch: Launch, outside: Outside, cancel: CancellationToken) {
        let Some(mut watcher) = self.take_next() else { return };
        loop {
            let again = *self.lock_again();
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.moved.notified() => if let Some(next) = self.take_next() {
                    end(std::mem::replace(&mut watcher, next)).await;
                },
                () = watcher.changed() => {}
                () = read_again(again) => {}
            }
            if self.settings.load().auths_dir.is_none() {
                self.find_directory(launch.clone(), outside.clone()).await;
            }
            self.load().await;
        }
        end(watcher).await;
    }

    fn lock_again(&self) -> MutexGuard<'_, Option<Duration>> {
        self.again.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_next(&self) -> Option<Watcher> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn find_directory(&self, launch: Launch, outside: Outside) {
        let found = tokio::task::spawn_blocking(move || load::load(&launch, &outside)).await;
        if let Ok(Ok(loaded)) = found
            && let Some(dir) = loaded.settings.auths_dir
        {
            let mut settings = Settings::clone(&self.settings.load());
            settings.auths_dir = Some(dir);
            self.settings.store(Arc::new(settings));
        }
    }
}

async fn read_again(after: Option<Duration>) {
    match after {
        Some(after) => tokio::time::sleep(after).await,
        None => std::future::pending().await,
    }
}

/// A watcher waits for its thread when it ends.
async fn end(watcher: Watcher) {
    let _ = tokio::task::spawn_blocking(|| drop(watcher)).await;
}

fn no_directory(settings: &Settings) -> Issue {
    let dir = settings.state_dir.join("_auths");
    Issue {
        kind: "key_file",
        error: true,
        subject: dir.display().to_string(),
        message: say!(no_key_directory),
    }
}
