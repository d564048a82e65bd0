//! `kmid demo`: the daemon itself over the simulator, in a temporary folder, with a load on it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kmid_config::load::{self, Launch};
use kmid_config::outside::Outside;
use tokio_util::sync::CancellationToken;

use super::{App, AppError, Start};
use crate::demo::{End, Options, keys, run};
use crate::inherited::Inherited;
use crate::instance::{self, Instance};
use crate::{logging, private};

/// A folder that goes when the demo ends.
#[derive(Debug)]
pub struct DemoFolder(PathBuf);

impl DemoFolder {
    /// Makes it, with the demo's keys.
    ///
    /// # Errors
    /// When the system's folder for temporary files cannot be written.
    pub fn make() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("kmid-demo-{:016x}", fastrand::u64(..)));
        private::create_dir_all(&path.join("_auths"))?;
        let folder = Self(path);
        for (name, content) in keys::files() {
            std::fs::write(folder.0.join("_auths").join(name), content)?;
        }
        Ok(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for DemoFolder {
    fn drop(&mut self) {
        // Nothing in it matters to anyone.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What `kmid demo` starts with: nothing of the person's own settings counts, so that it works everywhere.
///
/// # Errors
/// Never in practice: the settings are the demo's own.
pub fn start(
    folder: &DemoFolder,
    outside: &Outside,
) -> Result<(Start, Arc<Instance>), Box<dyn std::error::Error + Send + Sync>> {
    let mut own = outside.clone();
    own.vars.retain(|name, _| !name.starts_with("KMI_") && !name.starts_with("KIMI_"));
    own.vars.insert("KMI_STATE_DIR".to_owned(), folder.path().into());
    own.vars.insert("KMI_AUTHS_DIR".to_owned(), folder.path().join("_auths").into());
    own.vars.insert("KMI_PROXY_LISTEN".to_owned(), "127.0.0.1:0".into());
    own.vars.insert("KMI_AUTO_ROTATE_ALLOWED".to_owned(), "1".into());
    own.vars.insert("KMI_DRY_RUN".to_owned(), "1".into());
    own.home = Some(folder.path().to_owned());
    let launch = Launch::default();
    let loaded = load::load(&launch, &own)?;
    instance::prepare(folder.path(), true)?;
    let instance = Arc::new(Instance::acquire(folder.path())?);
    let logging = logging::start(&logging::Options::of(&loaded.settings), false)?;
    let start = Start {
        loaded,
        launch,
        outside: own,
        logging,
        issues: Vec::new(),
        script: keys::script(),
        instance: None,
        program: std::path::PathBuf::new(),
        detached: true,
        predecessor: None,
        inherited: Inherited::default(),
    };
    Ok((start, instance))
}

/// Runs the demo on a started daemon.
///
/// # Errors
/// When the daemon could not start or failed.
pub async fn show(start: Start, requests: Option<u64>) -> Result<(), AppError> {
    let no_color = start.loaded.settings.no_color;
    let timezone = start.loaded.settings.timezone.clone();
    // What cannot be drawn over gets lines, as a file does.
    let takes_drawing = !start.outside.has_dumb_terminal();
    let mut app = App::start(start).await?;
    let url = app.proxy_url().to_owned();
    let state = Arc::clone(app.state());
    let load = app.with_own_load();
    let terminal = std::io::stdout().is_terminal() && takes_drawing;
    let mut options = Options::new(tokio::io::stdout(), terminal, terminal && !no_color);
    options.requests = requests;
    options.timezone = timezone;
    let stop = CancellationToken::new();
    // Ctrl-C reaches the daemon's signal handler, which ends the load before it drains.
    let serving = async {
        let ended = app.run(stop.clone()).await;
        load.stop.cancel();
        ended
    };
    let loading = async {
        let summary = run(&url, || state.view(), options, load.stop.clone()).await;
        load.ended.cancel();
        stop.cancel();
        summary.end
    };
    let ((closing, result), end) = tokio::join!(serving, loading);
    closing.close();
    match end {
        End::OutputFailed(kind) => result.and(Err(AppError::Output(kind))),
        _ => result,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn the_daemon_drains_only_when_its_own_load_has_ended() {
        let folder = DemoFolder::make().unwrap();
        let (start, _instance) = super::start(&folder, &Outside::capture()).unwrap();
        let mut app = App::start(start).await.unwrap();
        let address = app.proxy_url().split('/').nth(2).unwrap().to_owned();
        let (load, drain, stop) = (app.with_own_load(), app.ending.drain.clone(), CancellationToken::new());
        let daemon = app.run(stop.clone());
        let loading = async {
            stop.cancel();
            load.stop.cancelled().await;
            assert!(!drain.is_cancelled(), "it drains while the load still sends");
            TcpStream::connect(&address).await.unwrap();
            assert!(!drain.is_cancelled(), "it did not wait");
            load.ended.cancel();
        };
        let ((closing, result), ()) = tokio::join!(daemon, loading);
        closing.close();
        result.unwrap();
        assert!(drain.is_cancelled());
        TcpStream::connect(&address).await.unwrap_err();
    }
}
