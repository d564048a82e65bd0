//! `clients.*`

use std::sync::Arc;

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::clients::{ClientChange, ConnectParams, DisconnectParams, Disconnected, Value};
use kmid_core::key::Secret;
use kmid_core::say;

use super::super::Context;
use super::super::socket::Peer;
use super::audit::{Change, audit};
use crate::client_config::{self, Client, Outcome, PLACEHOLDER, Wiring};

pub(in super::super) async fn connect(
    context: &Context,
    peer: Peer,
    params: &ConnectParams,
) -> Result<ClientChange, RpcError> {
    let client = known(&params.client)?;
    may_write(context, params.dry_run)?;
    let settings = context.settings.load();
    let key = settings.proxy_tokens.own().cloned().unwrap_or_else(|| Secret::new(PLACEHOLDER));
    let wiring = Wiring { url: context.proxy_url(), key };
    let listen = settings.proxy_listen.clone();
    drop(settings);
    let (files, dry_run) = (Arc::clone(&context.client_files), params.dry_run);
    let connect = move || files.change(|homes| client_config::connect(homes, client, &wiring, dry_run));
    let mut done = blocking(connect).await?;
    if listen.port == 0 && done.outcome != Outcome::LeftAlone {
        done.warnings.push(say!(port_changes, listen = listen.to_string(), client = client.name()));
    }
    Ok(told(context, peer, client, done, dry_run))
}

pub(in super::super) async fn disconnect(
    context: &Context,
    peer: Peer,
    params: &DisconnectParams,
) -> Result<Disconnected, RpcError> {
    let clients = match &params.client {
        Some(name) => vec![known(name)?],
        None => Client::ALL.to_vec(),
    };
    may_write(context, params.dry_run)?;
    let mut told_of = Vec::new();
    for client in clients {
        let (files, dry_run) = (Arc::clone(&context.client_files), params.dry_run);
        let disconnect = move || files.change(|homes| client_config::disconnect(homes, client, dry_run));
        let done = blocking(disconnect).await?;
        told_of.push(told(context, peer, client, done, dry_run));
    }
    Ok(Disconnected { clients: told_of })
}

fn known(name: &str) -> Result<Client, RpcError> {
    Client::from_name(name).ok_or_else(|| {
        let names = Client::ALL.map(Client::name).join(", ");
        RpcError::new(Kind::InvalidParams, format!("no client has this name; there are: {names}"))
    })
}

fn may_write(context: &Context, dry_run: bool) -> Result<(), RpcError> {
    if dry_run || context.settings.load().write_config {
        return Ok(());
    }
    Err(RpcError::said(Kind::Policy, say!(config_writing_off)))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RpcError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        RpcError::new(Kind::Internal, "writing the client's config file failed inside; kmid's log says more")
    })
}

/// Writes down what was changed, and puts it into the contract's words.
fn told(
    context: &Context,
    peer: Peer,
    client: Client,
    done: client_config::ClientChange,
    dry_run: bool,
) -> ClientChange {
    let path = done.path.display().to_string();
    let action = match done.outcome {
        Outcome::Connected => Some("client_connected"),
        Outcome::Disconnected | Outcome::TakenBack => Some("client_disconnected"),
        _ => None,
    };
    if let Some(action) = action.filter(|_| !dry_run) {
        audit(context, peer, &Change { action, file: Some(&path), ..Change::default() });
    }
    let value = |change: client_config::ValueChange| Value {
        place: change.place,
        line: change.line,
        from: change.from,
        to: change.to,
    };
    ClientChange {
        client: client.name().to_owned(),
        path,
        outcome: done.outcome.name().to_owned(),
        changes: done.changes.into_iter().map(value).collect(),
        original: done.original.map(|path| path.display().to_string()),
        warnings: done.warnings.iter().map(ToString::to_string).collect(),
        warnings_said: done.warnings,
    }
}
