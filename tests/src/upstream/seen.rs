//! What the upstream saw.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::watch;

use super::BASE_PATH;
use crate::http1::RequestHead;

/// One request as it arrived.
#[derive(Debug)]
pub struct Seen {
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// Whether that connection speaks HTTP/2 (then names are in lower case and the target is the `:path`).
    pub http2: bool,
    /// First line and fields, as sent.
    pub head: RequestHead,
    /// When all of its head had come.
    pub arrived: Instant,
    progress: Mutex<Progress>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Progress {
    body: Option<Bytes>,
    ended: Option<Ended>,
}

/// How a request ended, seen from the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The whole answer was sent.
    Answered,
    /// The script broke it off.
    BrokenOff,
    /// The other side left before the end.
    ClientLeft,
}

impl Seen {
    /// The endpoint: the path below the base path, without the query.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        let path = self.head.target.split('?').next().unwrap_or_default();
        path.strip_prefix(BASE_PATH).unwrap_or(path)
    }

    /// The key that it carries, in either form.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let bearer = self.head.fields.get("authorization").and_then(|v| v.strip_prefix("Bearer "));
        bearer.or_else(|| self.head.fields.get("x-api-key")).map(str::to_owned)
    }

    /// The body, once all of it has arrived.
    #[must_use]
    pub fn body(&self) -> Option<Bytes> {
        self.progress.lock().unwrap().body.clone()
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.progress.lock().unwrap().ended
    }

    pub(super) fn body_arrived(&self, body: Bytes) {
        self.progress.lock().unwrap().body = Some(body);
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn end(&self, ended: Ended) {
        self.progress.lock().unwrap().ended.get_or_insert(ended);
        self.changed.send_modify(|n| *n += 1);
    }
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    seen: Mutex<Vec<Arc<Seen>>>,
    connections: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Record {
    pub(super) fn all(&self) -> Vec<Arc<Seen>> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn connected(&self) -> u64 {
        let number = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        self.changed.send_modify(|n| *n += 1);
        number
    }

    pub(super) fn arrived(&self, connection: u64, http2: bool, head: RequestHead) -> Arc<Seen> {
        let changed = self.changed.clone();
        let seen = Arc::new(Seen {
            connection,
            http2,
            head,
            arrived: Instant::now(),
            progress: Mutex::default(),
            changed,
        });
        self.seen.lock().unwrap().push(seen.clone());
        self.changed.send_modify(|n| *n += 1);
        seen
    }

    /// Returns as soon as `check` finds what it looks for.
    pub(super) async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = check() {
                return found;
            }
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }
}
