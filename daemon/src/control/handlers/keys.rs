//! `keys.*`

use std::sync::Arc;

use kmi_proto::error::RpcError;
use kmi_proto::methods::keys::{KeyList, LabelParams, ListParams, Rechecked, Unblocked};

use super::super::socket::Peer;
use super::super::{Context, convert};
use super::{Change, ask, audit, known_label, refused};
use crate::client_config;
use crate::clock;
use crate::command::Command;

pub(in super::super) async fn list(context: &Context, params: &ListParams) -> Result<KeyList, RpcError> {
    if params.refresh {
        // What failed stands at the keys themselves, as `refresh_error`.
        ask(context, |reply| Command::RefreshQuota { label: None, reply }).await?;
    }
    let (homes, own) = (Arc::clone(&context.homes), context.own_address());
    let clients = tokio::task::spawn_blocking(move || client_config::current_key(&homes, &own));
    // Which key the clients hold is an extra: without it the list is still right.
    let clients = clients.await.unwrap_or_default();
    Ok(convert::key_list(&context.state.view(), clock::now(), context.state.issues(), clients))
}

pub(in super::super) async fn unblock(
    context: &Context,
    peer: Peer,
    params: &LabelParams,
) -> Result<Unblocked, RpcError> {
    let cleared =
        context.state.unblock(params.label.as_deref()).await.map_err(|why| refused(context, &why))?;
    for label in &cleared {
        audit(context, peer, &Change { action: "key_unblocked", key: Some(label), ..Change::default() });
    }
    Ok(Unblocked { cleared: cleared.iter().map(|label| label.to_string()).collect() })
}

pub(in super::super) async fn recheck(
    context: &Context,
    peer: Peer,
    params: LabelParams,
) -> Result<Rechecked, RpcError> {
    known_label(&context.state.view(), params.label.as_deref())?;
    let (cleared, still_blocked) =
        ask(context, |reply| Command::Recheck { label: params.label, reply }).await?;
    for label in &cleared {
        audit(context, peer, &Change { action: "key_rechecked", key: Some(label), ..Change::default() });
    }
    Ok(Rechecked { cleared, still_blocked })
}
