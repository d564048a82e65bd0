//! `metrics.*`: figures about the running daemon.

use serde::{Deserialize, Serialize};

/// Result of `metrics.get`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// The media type of `text`.
    pub content_type: String,
    /// All figures, as `GET /metrics` on KMI_METRICS_LISTEN gives them.
    pub text: String,
}
