//! Settings and keys read anew while serving.

use std::sync::Arc;

use kmid_config::load::{self, Loaded};
use kmid_config::settings::Settings;
use kmid_config::show;
use kmid_core::said::Said;

use super::{App, rules};
use crate::command::{Issue, Reloaded};
use crate::keys::Watcher;
use crate::state::Origin;
use crate::{instance, logging};

/// An issue of the settings as people see it.
pub(super) fn issue(issue: &kmid_config::issue::Issue) -> Issue {
    Issue { kind: "settings", error: issue.error, subject: issue.subject.clone(), message: issue.said() }
}

/// Watches the settings file in use, or the place where one would be found.
pub(super) async fn watch_settings(loaded: &Loaded<Settings>) -> std::io::Result<Watcher> {
    let file = loaded.settings.env_file.clone().or_else(|| loaded.restart.found_env_file.clone());
    let files = file.into_iter().collect();
    tokio::task::spawn_blocking(|| Watcher::new(files)).await.map_err(std::io::Error::other)?
}

impl App {
    /// Reads settings and keys anew. With bad settings the old ones stay in force.
    pub(super) async fn reload(&mut self) -> Reloaded {
        let (launch, outside, raw) = (self.launch.clone(), self.outside.clone(), self.raw.clone());
        let loaded = match tokio::task::spawn_blocking(move || load::reload(&launch, &outside, &raw)).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(bad)) => {
                return self.refuse(bad.issues.iter().map(issue).collect());
            }
            Err(error) => {
                tracing::error!(%error, "reload_failed");
                return Reloaded { refused: true, ..Reloaded::default() };
            }
        };
        let old = self.settings.load_full();
        let new = &loaded.in_force.settings;
        let changed = show::changes(&old, new).now;
        let needs_restart = show::changes(new, &loaded.wanted).needs_restart;
        if let Err(error) = self.logging.apply(&logging::Options::of(new)) {
            let bad = Issue {
                kind: "settings",
                error: true,
                subject: "KMI_LOG_LEVEL".to_owned(),
                message: Said::plain(error.to_string()),
            };
            return self.refuse(vec![bad]);
        }
        self.trace.lines().set_limit(new.trace_files);
        self.state.set_rules(rules(new));
        if new.enforce_file_perms && !old.enforce_file_perms {
            tighten(new).await;
        }
        self.watch_settings_instead(&old, &loaded.in_force).await;
        let moved = old.auths_dir != new.auths_dir;
        self.settings.store(Arc::new(new.clone()));
        self.needs_restart.store(Arc::new(needs_restart.clone()));
        self.state.set_issues(Origin::Settings, loaded.in_force.warnings.iter().map(issue).collect());
        if moved {
            self.keys.watch_instead(loaded.in_force.auths_candidates).await;
        }
        let mut changed: Vec<String> = changed.into_iter().map(str::to_owned).collect();
        if self.keys.load().await {
            changed.push("keys".to_owned());
        }
        let needs_restart: Vec<String> = needs_restart.into_iter().map(str::to_owned).collect();
        tracing::info!(changed = changed.join(","), needs_restart = needs_restart.join(","), "kmid_reloaded");
        Reloaded { refused: false, changed, needs_restart, issues: self.state.issues() }
    }

    fn refuse(&self, issues: Vec<Issue>) -> Reloaded {
        tracing::error!(issues = issues.len(), "reload_refused");
        // Nobody reads an answer when a file was edited.
        self.state.set_issues(Origin::Settings, issues.clone());
        Reloaded { refused: true, issues, ..Reloaded::default() }
    }

    /// The settings file may be another one now: which `.env` is found depends on where the keys are.
    async fn watch_settings_instead(&mut self, old: &Settings, loaded: &Loaded<Settings>) {
        if old.env_file == loaded.settings.env_file {
            return;
        }
        match watch_settings(loaded).await {
            Ok(watcher) => {
                let old = std::mem::replace(&mut self.settings_file, watcher);
                // A watcher waits for its thread when it ends.
                let _ = tokio::task::spawn_blocking(|| drop(old)).await;
            }
            Err(error) => tracing::error!(%error, "settings_watch_failed"),
        }
    }
}

async fn tighten(settings: &Settings) {
    let state_dir = settings.state_dir.clone();
    match tokio::task::spawn_blocking(move || instance::prepare(&state_dir, true)).await {
        Ok(Ok(prepared)) => prepared.log(),
        Ok(Err(error)) => tracing::warn!(%error, "insecure_permissions"),
        Err(error) => tracing::error!(%error, "insecure_permissions"),
    }
}
