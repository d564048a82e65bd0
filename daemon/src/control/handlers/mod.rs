//! What the methods do, by noun: ask the state or the rest of the daemon, and convert.

mod audit;
pub(super) mod clients;
pub(super) mod daemon;
pub(super) mod keys;
pub(super) mod logs;
pub(super) mod metrics;
pub(super) mod quota;
pub(super) mod requests;
pub(super) mod rotation;
pub(super) mod usage;

use kmi_proto::error::{Kind, RpcError};
use kmid_core::pool::view::PoolView;
use kmid_core::time::Time;
use tokio::sync::oneshot;

use super::feed::{Feed, Shape, Wanted};
use super::{Context, convert, since};
use crate::clock;
use crate::command::Command;
use crate::line_log::LineLog;
use crate::state::Refused;

/// Hands a command to the rest of the daemon and waits for what came of it.
async fn ask<T>(
    context: &Context,
    command: impl FnOnce(oneshot::Sender<T>) -> Command,
) -> Result<T, RpcError> {
    let stopping =
        || RpcError::new(Kind::Stopping, "kmid is about to end; start it again and repeat the request");
    let (reply, answer) = oneshot::channel();
    context.commands.send(command(reply)).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())
}

/// A refused change, with the time from which it may work where the view knows one.
fn refused(context: &Context, why: &Refused) -> RpcError {
    convert::refusal(why, &context.state.view())
}

/// Checks that a label exists before the rest of the daemon is asked about it.
fn known_label(view: &PoolView, label: Option<&str>) -> Result<(), RpcError> {
    let Some(label) = label else { return Ok(()) };
    if view.keys.iter().any(|key| &*key.label == label) {
        return Ok(());
    }
    let refused = Refused::unknown_label(label, view.keys.iter().map(|key| &*key.label));
    Err(convert::refusal(&refused, view))
}

/// Opens a tail of one of the daemon's files.
async fn open_tail(
    context: &Context,
    log: &LineLog,
    shape: Shape,
    since: Option<&str>,
    newest: Option<usize>,
    follow: bool,
) -> Result<Feed, RpcError> {
    let zone = context.settings.load().timezone.clone();
    let from = since.map(|text| read_since(text, clock::now(), &zone)).transpose()?;
    let tail = log.tail().await.map_err(|error| unreadable(&error))?;
    Ok(Feed::new(tail, shape, Wanted { from, newest, follow, zone }))
}

fn unreadable(error: &std::io::Error) -> RpcError {
    RpcError::new(Kind::LogUnreadable, format!("the log cannot be read: {error}; check its permissions"))
}

fn read_since(text: &str, now: Time, zone: &jiff::tz::TimeZone) -> Result<Time, RpcError> {
    since::parse(text, now, zone).map_err(|error| RpcError::new(Kind::InvalidParams, error.to_string()))
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn a_bad_since_says_what_is_allowed() {
        let error = read_since("soon", Time::from_millis(0), &jiff::tz::TimeZone::UTC).unwrap_err();
        assert_eq!(error.code, -32602);
        assert!(error.message.contains("30s, 10m, 1h, 2d"), "{error}");
    }

    #[test]
    fn labels_are_checked() {
        let view = convert::tests::view();
        assert!(known_label(&view, None).is_ok() && known_label(&view, Some("alpha")).is_ok());
        let error = known_label(&view, Some("Alpha")).unwrap_err();
        assert!(error.is(Kind::UnknownLabel) && error.message.contains("alpha, beta"), "{error}");
        let error = known_label(&view, Some(&"я".repeat(500_000))).unwrap_err();
        assert!(error.is(Kind::UnknownLabel) && error.message.contains("alpha, beta"), "{error}");
        assert!(serde_json::to_string(&error).unwrap().len() < 2000, "it is repeated briefly");
    }
}
