//! `keys.*`

use std::sync::Arc;

use kmi_proto::error::RpcError;
use kmi_proto::methods::keys::{KeyList, LabelParams, ListParams, Rechecked, Unblocked};

use super::super::socket::Peer;
use super::super::{Context, convert};
use super::audit::{Change, audit, audit_unsaved};
use super::{ask, known_label, quota, refused};
use crate::client_config;
use crate::clock;
use crate::command::Command;

pub(in super::super) async fn list(
    context: &Context,
    peer: Peer,
    params: &ListParams,
) -> Result<KeyList, RpcError> {
    if params.refresh {
        // What failed stands at the keys themselves, as `refresh_error`.
        quota::refresh(context, peer, LabelParams { label: None }).await?;
    }
    let (files, own) = (Arc::clone(&context.client_files), context.own_address());
    let tokens = context.settings.load().proxy_tokens.clone();
    let clients =
        tokio::task::spawn_blocking(move || client_config::current_key(files.homes(), &own, &tokens));
    // Which key the clients hold is an extra: without it the list is still right.
    let clients = clients.await.unwrap_or_default();
    Ok(convert::key_list(&context.state.view(), clock::now(), context.state.issues(), clients))
}

pub(in super::super) async fn unblock(
    context: &Context,
    peer: Peer,
    params: &LabelParams,
) -> Result<Unblocked, RpcError> {
    let cleared = context.state.unblock(params.label.as_deref()).await.map_err(|why| {
        let change = Change { key: params.label.as_deref(), ..Change::of("key_unblocked") };
        audit_unsaved(context, peer, &why, change);
        refused(context, &why)
    })?;
    for label in &cleared {
        audit(context, peer, &Change { key: Some(label), ..Change::of("key_unblocked") });
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
        audit(context, peer, &Change { key: Some(label), ..Change::of("key_rechecked") });
    }
    Ok(Rechecked { cleared, still_blocked })
}
