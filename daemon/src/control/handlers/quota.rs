//! `quota.*`

use kmi_proto::error::RpcError;
use kmi_proto::methods::keys::LabelParams;
use kmi_proto::methods::quota::Refreshed;

use super::super::socket::Peer;
use super::super::{Context, convert};
use super::audit::{Change, audit};
use super::{ask, known_label};
use crate::command::Command;

pub(in super::super) async fn refresh(
    context: &Context,
    peer: Peer,
    params: LabelParams,
) -> Result<Refreshed, RpcError> {
    known_label(&context.state.view(), params.label.as_deref())?;
    let change = Change { key: params.label.as_deref(), ..Change::of("quota_refreshed") };
    audit(context, peer, &change);
    let results = ask(context, |reply| Command::RefreshQuota { label: params.label, reply }).await?;
    Ok(convert::refreshed(results))
}
