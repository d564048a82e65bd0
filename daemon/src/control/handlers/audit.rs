//! Who changed what through the control socket. Every method for which `Method::changes` holds leaves its mark here.

use super::super::Context;
use super::super::socket::Peer;
use crate::logging::AUDIT;
use crate::state::Refused;

/// A change that somebody made through the control socket.
#[derive(Debug, Default)]
pub(super) struct Change<'a> {
    /// A stable word.
    pub(super) action: &'a str,
    /// The key that it is about.
    pub(super) key: Option<&'a str>,
    /// What was: of a rotation, the key.
    pub(super) from: Option<&'a str>,
    /// What is now.
    pub(super) to: Option<&'a str>,
    /// The file that was written.
    pub(super) file: Option<&'a str>,
    /// It is in force, but could not be saved.
    pub(super) unsaved: bool,
}

impl<'a> Change<'a> {
    /// A change of which only this is to be said.
    pub(super) fn of(action: &'a str) -> Self {
        Self { action, ..Self::default() }
    }
}

/// Writes the change down with who made it.
pub(super) fn audit(context: &Context, peer: Peer, change: &Change<'_>) {
    tracing::info!(
        target: AUDIT,
        action = change.action,
        actor = context.settings.load().audit_actor.as_str(),
        peer_uid = peer.uid,
        key = change.key,
        from = change.from,
        to = change.to,
        file = change.file,
        unsaved = change.unsaved.then_some(true),
        "audit_event"
    );
}

/// Also a change that could not be saved is one.
pub(super) fn audit_unsaved(context: &Context, peer: Peer, why: &Refused, change: Change<'_>) {
    if matches!(why, Refused::NotSaved(_)) {
        audit(context, peer, &Change { unsaved: true, ..change });
    }
}
