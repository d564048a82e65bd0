//! `rotation.*`

use std::sync::Arc;

use kmi_proto::error::{Kind, RpcError};
use kmi_proto::methods::rotation::{Auto, AutoParams, RotateParams, Rotated};
use kmid_config::settings::Settings;
use kmid_core::key::Key;
use kmid_core::said::Said;
use kmid_core::say;

use super::super::Context;
use super::super::socket::Peer;
use super::audit::{Change, audit, audit_unsaved};
use super::refused;
use crate::client_config::{self, Written};

pub(in super::super) async fn rotate(
    context: &Context,
    peer: Peer,
    params: &RotateParams,
) -> Result<Rotated, RpcError> {
    let active_label = || context.state.view().active_key().map(|key| Arc::clone(&key.label));
    let before = active_label();
    let rotation = context.state.rotate(params.to.as_deref()).await.map_err(|why| {
        let now = active_label();
        let change = Change { from: before.as_deref(), to: now.as_deref(), ..Change::of("key_rotated") };
        audit_unsaved(context, peer, &why, change);
        refused(context, &why)
    })?;
    let active = rotation.active.label.to_string();
    if rotation.rotated {
        let change = Change {
            action: "key_rotated",
            from: rotation.previous.as_deref(),
            to: Some(&active),
            ..Change::default()
        };
        audit(context, peer, &change);
    }
    let (key, written) = update_client_config(context, rotation.active).await?;
    let config_written: Vec<String> = written.written.iter().map(|path| path.display().to_string()).collect();
    for file in &config_written {
        let change = Change { to: Some(&key.label), file: Some(file), ..Change::of("config_written") };
        audit(context, peer, &change);
    }
    let mut warnings = rotation.warnings;
    warnings.extend(written.warnings);
    let texts = warnings.iter().map(ToString::to_string).collect();
    Ok(Rotated {
        active,
        previous: rotation.previous.map(|label| label.to_string()),
        rotated: rotation.rotated,
        reason: rotation.reason.to_owned(),
        config_written,
        warnings: texts,
        warnings_said: warnings,
    })
}

pub(in super::super) async fn auto(
    context: &Context,
    peer: Peer,
    params: &AutoParams,
) -> Result<Auto, RpcError> {
    let word = |on| if on { "on" } else { "off" };
    let before = context.state.view().auto;
    let action = if params.enabled { "auto_rotate_enabled" } else { "auto_rotate_disabled" };
    let change = Change { from: Some(word(before)), to: Some(word(params.enabled)), ..Change::of(action) };
    if let Err(why) = context.state.set_auto(params.enabled).await {
        audit_unsaved(context, peer, &why, change);
        return Err(refused(context, &why));
    }
    audit(context, peer, &change);
    Ok(Auto { enabled: params.enabled, reason: None })
}

/// Brings the active key into the clients' config files, unless the settings keep them as they are. Returns that key
/// and what came of it.
async fn update_client_config(context: &Context, chosen: Arc<Key>) -> Result<(Arc<Key>, Written), RpcError> {
    if let Some(why) = config_stays(&context.settings.load()) {
        return Ok((chosen, Written { warnings: vec![why], ..Written::default() }));
    }
    let (files, own, state) =
        (Arc::clone(&context.client_files), context.own_address(), Arc::clone(&context.state));
    let write = move || {
        files.change(|homes| {
            // Somebody else may have switched meanwhile: what is written last has to be what is active.
            let key = state.active_key().unwrap_or(chosen);
            let written = client_config::write(homes, &key, &own);
            (key, written)
        })
    };
    tokio::task::spawn_blocking(write).await.map_err(|_| {
        RpcError::new(
            Kind::Internal,
            "the key was switched, but writing the clients' config files failed inside; kmid's log says more",
        )
    })
}

/// Why no config file may be written.
fn config_stays(settings: &Settings) -> Option<Said> {
    stays(settings.dry_run, settings.write_config)
}

fn stays(dry_run: bool, write_config: bool) -> Option<Said> {
    match (dry_run, write_config) {
        (true, _) => Some(say!(config_dry_run)),
        (_, false) => Some(say!(config_kept)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_and_the_setting_keep_the_clients_config() {
        assert!(stays(true, true).is_some_and(|why| why.contains("KMI_DRY_RUN")));
        assert!(stays(false, false).is_some_and(|why| why.contains("KMI_WRITE_CONFIG")));
        assert_eq!(stays(false, true), None);
    }
}
