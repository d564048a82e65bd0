//! `requests.*`

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::requests::{GetParams, TailParams};
use kmid_core::say;
use serde_json::Value;

use super::super::Context;
use super::super::backlog::Backlog;
use super::super::feed::{Feed, Shape};
use super::{open_tail, unreadable};

pub(in super::super) async fn tail(context: &Context, params: TailParams) -> Result<Feed, RpcError> {
    let TailParams { since, limit, follow } = params;
    open_tail(context, &context.trace, Shape::Object, since.as_deref(), limit, follow).await
}

/// Looks a request up in the trace files, as far back as they go.
pub(in super::super) async fn get(context: &Context, params: &GetParams) -> Result<Value, RpcError> {
    let id = params.request_id.trim();
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message = "a request id is the hexadecimal number in a response's x-kmi-request-id header";
        return Err(RpcError::new(Kind::InvalidParams, message));
    }
    let tail = context.trace.tail().await.map_err(|error| unreadable(&error))?;
    drop(tail.live);
    let mut backlog = Backlog::new(tail.backlog);
    backlog.rewind().await.map_err(|error| unreadable(&error))?;
    let finder = memchr::memmem::Finder::new(id);
    while let Some(line) = backlog.next_line().await.map_err(|error| unreadable(&error))? {
        let Ok(line) = line else { continue };
        if finder.find(line.as_bytes()).is_none() {
            continue;
        }
        let entry: Option<Value> = serde_json::from_str(&line).ok();
        if let Some(entry) = entry.filter(|entry| entry["request_id"] == id) {
            return Ok(entry);
        }
    }
    Err(RpcError::said(Kind::UnknownRequest, say!(unknown_request, id = id)))
}
