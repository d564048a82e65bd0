//! Figures about the running daemon in the OpenMetrics text format, which Prometheus reads
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>, 2026-11.

pub mod listener;
mod live;
pub mod process;

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use self::process::ProcessFigures;
use crate::line_log::LineLog;
use crate::state::State;

/// The text's media type.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What stands before every name.
const PREFIX: &str = "kmid";

/// All figures.
pub struct Metrics {
    state: Arc<State>,
    logs: [(&'static str, LineLog); 3],
    counted: Registry,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Figures of `state`; `logs` are the files whose lost lines are told.
    #[must_use]
    pub fn new(state: Arc<State>, logs: [(&'static str, LineLog); 3]) -> Arc<Self> {
        let mut counted = Registry::with_prefix(PREFIX);
        state.counted().register(&mut counted);
        Arc::new(Self { state, logs, counted })
    }

    /// The text as it is now.
    pub async fn text(&self) -> String {
        let process = ProcessFigures::read().await;
        let mut live = Registry::with_prefix(PREFIX);
        live::register(&mut live, &self.state, &self.logs);
        let mut own = Registry::default();
        process.register(&mut own);
        let mut text = String::new();
        let written = [&self.counted, &live, &own]
            .into_iter()
            .try_for_each(|registry| encode_registry(&mut text, registry))
            .and_then(|()| encode_eof(&mut text));
        if let Err(error) = written {
            // A String takes everything; a figure that cannot be written would be a mistake of ours.
            tracing::error!(%error, "metrics_failed");
        }
        text
    }
}
