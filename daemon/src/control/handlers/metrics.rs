//! `metrics.*`

use kmi_proto::methods::metrics::Metrics;

use super::super::Context;
use crate::metrics;

pub(in super::super) async fn get(context: &Context) -> Metrics {
    Metrics { content_type: metrics::CONTENT_TYPE.to_owned(), text: context.metrics.text().await }
}
