//! Settings and keys read anew while serving.

use std::sync::Arc;

use kmid_config::load;
use kmid_config::settings::Settings;
use kmid_config::show;

use super::{App, rules};
use crate::command::{Issue, Reloaded};
use crate::logging;
use crate::state::Origin;

/// An issue of the settings as people see it.
pub(super) fn issue(issue: &kmid_config::issue::Issue) -> Issue {
    Issue {
        kind: "settings",
        error: issue.error,
        subject: issue.subject.clone(),
        message: match &issue.source {
            Some(source) => format!("{} (from {source})", issue.message),
            None => issue.message.clone(),
        },
    }
}

impl App {
    /// Reads settings and keys anew. With bad settings the old ones stay in force.
    pub(super) async fn reload(&mut self) -> Reloaded {
        let (launch, outside) = (self.launch.clone(), self.outside.clone());
        let loaded = match tokio::task::spawn_blocking(move || load::load(&launch, &outside)).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(bad)) => {
                tracing::error!(issues = bad.issues.len(), "reload_refused");
                let issues = bad.issues.iter().map(issue).collect();
                return Reloaded { issues, ..Reloaded::default() };
            }
            Err(error) => {
                tracing::error!(%error, "reload_failed");
                return Reloaded::default();
            }
        };
        let old = self.settings.load_full();
        let changes = show::changes(&old, &loaded.settings);
        let settings = with_restart_bound_of(&old, loaded.settings);
        let locked_out = locked_out(&settings);
        if let Err(error) = self.logging.apply(&logging::Options::of(&settings)) {
            let bad = Issue {
                kind: "settings",
                error: true,
                subject: "KMI_LOG_LEVEL".to_owned(),
                message: error.to_string(),
            };
            return Reloaded { issues: vec![bad], ..Reloaded::default() };
        }
        self.trace.lines().set_limit(settings.trace_files);
        self.state.set_rules(rules(&settings));
        let moved = old.auths_dir != settings.auths_dir;
        self.settings.store(Arc::new(settings));
        let mut issues: Vec<Issue> = loaded.warnings.iter().map(issue).collect();
        issues.extend(locked_out);
        self.state.set_issues(Origin::Settings, issues);
        if moved {
            self.keys.watch_instead(loaded.auths_candidates).await;
        }
        let mut changed: Vec<String> = changes.now.iter().map(|&name| name.to_owned()).collect();
        if self.keys.load().await {
            changed.push("keys".to_owned());
        }
        let needs_restart: Vec<String> = changes.needs_restart.iter().map(|&name| name.to_owned()).collect();
        tracing::info!(changed = changed.join(","), needs_restart = needs_restart.join(","), "kmid_reloaded");
        Reloaded { changed, needs_restart, issues: self.state.issues() }
    }
}

/// The new settings may want no token, because they listen elsewhere; until the restart the old address is in use.
fn locked_out(settings: &Settings) -> Option<Issue> {
    let reachable = settings.proxy_tls_terminated || !settings.proxy_listen.is_loopback();
    (reachable && settings.proxy_tokens.is_empty()).then(|| Issue {
        kind: "settings",
        error: true,
        subject: "KMI_PROXY_TOKEN".to_owned(),
        message: "no token is left while others can still reach the proxy, so every request is refused; set one, or \
                  restart kmid with its new address"
            .to_owned(),
    })
}

/// What was bound, opened or built at start stays as it was, so that what is shown is what is.
fn with_restart_bound_of(old: &Settings, new: Settings) -> Settings {
    Settings {
        env_file: old.env_file.clone(),
        state_dir: old.state_dir.clone(),
        socket: old.socket.clone(),
        dry_run: old.dry_run,
        upstream_http: old.upstream_http,
        proxy_listen: old.proxy_listen.clone(),
        proxy_base_path: old.proxy_base_path.clone(),
        proxy_allow_remote: old.proxy_allow_remote,
        proxy_tls: old.proxy_tls.clone(),
        proxy_tls_terminated: old.proxy_tls_terminated,
        proxy_require_tls: old.proxy_require_tls,
        proxy_replay_total: old.proxy_replay_total,
        proxy_max_connections: old.proxy_max_connections,
        https_proxy: old.https_proxy.clone(),
        no_proxy: old.no_proxy.clone(),
        ..new
    }
}
