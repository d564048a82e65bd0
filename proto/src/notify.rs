//! What the daemon sends without being asked again: the items of a stream.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Method of [`Item`].
pub const STREAM_ITEM: &str = "stream.item";
/// Method of [`Dropped`].
pub const STREAM_DROPPED: &str = "stream.dropped";
/// Method of [`End`].
pub const STREAM_END: &str = "stream.end";

/// End reason: all of a tail without `follow` was sent.
pub const COMPLETE: &str = "complete";
/// End reason: `stream.cancel` was called.
pub const CANCELLED: &str = "cancelled";
/// End reason: the daemon is about to end.
pub const STOPPING: &str = "stopping";
/// End reason: a file could not be read; the daemon's log says more.
pub const FAILED: &str = "failed";

/// One item of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// As in the result that opened the stream.
    pub subscription: u64,
    /// Counts up by one an item from 0; items that were dropped have their numbers, too.
    pub seq: u64,
    /// The trace entry or log line.
    pub item: Value,
}

/// The reader was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// As in the result that opened the stream.
    pub subscription: u64,
    /// How many items it missed here.
    pub count: u64,
}

/// Nothing more comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// As in the result that opened the stream.
    pub subscription: u64,
    /// [`COMPLETE`], [`CANCELLED`], [`STOPPING`] or [`FAILED`].
    pub reason: String,
}

/// Result of a method that opens a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Names the stream on this connection.
    pub subscription: u64,
}

/// Parameters of `stream.cancel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelParams {
    /// The stream to end.
    pub subscription: u64,
}

/// Result of `stream.cancel`; when it arrives, nothing more comes of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Whether it was still open.
    pub cancelled: bool,
}

/// A notification of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Notification {
    /// `stream.item`
    Item(Item),
    /// `stream.dropped`
    Dropped(Dropped),
    /// `stream.end`
    End(End),
}

impl Notification {
    /// Reads a notification; `None` for methods of newer versions and for parameters that do not fit.
    #[must_use]
    pub fn read(method: &str, params: Value) -> Option<Self> {
        match method {
            STREAM_ITEM => serde_json::from_value(params).ok().map(Self::Item),
            STREAM_DROPPED => serde_json::from_value(params).ok().map(Self::Dropped),
            STREAM_END => serde_json::from_value(params).ok().map(Self::End),
            _ => None,
        }
    }

    /// The stream it belongs to.
    #[must_use]
    pub fn subscription(&self) -> u64 {
        match self {
            Self::Item(item) => item.subscription,
            Self::Dropped(dropped) => dropped.subscription,
            Self::End(end) => end.subscription,
        }
    }
}
