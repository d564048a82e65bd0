//! `requests.*`

use kmi_proto::error::RpcError;
use kmi_proto::methods::requests::TailParams;

use super::super::Context;
use super::super::feed::{Feed, Shape};
use super::open_tail;

pub(in super::super) async fn tail(context: &Context, params: TailParams) -> Result<Feed, RpcError> {
    let TailParams { since, limit, follow } = params;
    open_tail(context, &context.trace, Shape::Object, since.as_deref(), limit, follow).await
}
