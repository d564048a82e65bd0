//! `logs.*`

use kmi_proto::error::RpcError;
use kmi_proto::methods::logs::{Source, TailParams};

use super::super::Context;
use super::super::feed::{Feed, Shape};
use super::open_tail;

pub(in super::super) async fn tail(context: &Context, params: TailParams) -> Result<Feed, RpcError> {
    let TailParams { source, since, lines, follow } = params;
    let log = match source {
        Source::App => &context.app_log,
        Source::Daemon => &context.daemon_log,
    };
    open_tail(context, log, Shape::Text, since.as_deref(), lines, follow).await
}
