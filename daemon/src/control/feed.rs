//! A tail as the items of a stream: the backlog, then what happens next.

use std::sync::Arc;

use jiff::tz::TimeZone;
use kmi_proto::notify;
use kmid_core::time::Time;
use serde::de::IgnoredAny;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::backlog::Backlog;
use super::since::Filter;
use crate::line_log::{Line, Tail};

/// What an item of the stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The JSON object that the line is; lines that are none are left out.
    Object,
    /// The line itself.
    Text,
}

/// What the caller asked to see.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Nothing older.
    pub(super) from: Option<Time>,
    /// At most so many of the backlog, the newest.
    pub(super) newest: Option<usize>,
    /// Go on with what happens next.
    pub(super) follow: bool,
    /// For lines that name no zone.
    pub(super) zone: TimeZone,
}

/// A tail that is ready to run.
#[derive(Debug)]
pub(super) struct Feed {
    backlog: Backlog,
    live: tokio::sync::broadcast::Receiver<Arc<Line>>,
    filter: Filter,
    shape: Shape,
    newest: Option<usize>,
    follow: bool,
}

/// The other side is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// Where a feed puts what it finds. `item` waits while the reader is slow; meanwhile new lines pile up in the log's
/// own bounded buffer, and what falls out of that is reported as dropped. So no reader ever slows the writer.
pub(super) trait Sink: Send {
    /// One item, as JSON text.
    fn item(&mut self, json: &str) -> impl Future<Output = Result<(), Gone>> + Send;
    /// So many items were missed here.
    fn dropped(&mut self, count: u64) -> impl Future<Output = Result<(), Gone>> + Send;
}

impl Feed {
    pub(super) fn new(tail: Tail, shape: Shape, wanted: Wanted) -> Self {
        Self {
            backlog: Backlog::new(tail.backlog),
            live: tail.live,
            filter: Filter::new(wanted.from, wanted.zone),
            shape,
            newest: wanted.newest,
            follow: wanted.follow,
        }
    }

    /// Runs to the end and returns its reason. `last_call` ends only the waiting for new lines.
    pub(super) async fn run(mut self, sink: &mut impl Sink, last_call: &CancellationToken) -> &'static str {
        match self.send_backlog(sink).await {
            Ok(()) => {}
            Err(Stopped::Gone) => return notify::CANCELLED,
            Err(Stopped::Io(error)) => {
                tracing::warn!(%error, "a log file could not be read for a tail");
                return notify::FAILED;
            }
        }
        if self.follow { self.send_live(sink, last_call).await } else { notify::COMPLETE }
    }

    async fn send_backlog(&mut self, sink: &mut impl Sink) -> Result<(), Stopped> {
        let mut skip = match self.newest {
            Some(newest) => self.count().await?.saturating_sub(newest as u64),
            None => 0,
        };
        self.backlog.rewind().await?;
        self.filter.rewind();
        while let Some(line) = self.backlog.next_line().await? {
            let Ok(line) = line else {
                sink.dropped(1).await?;
                continue;
            };
            if !self.admits(&line) {
                continue;
            }
            if skip > 0 {
                skip -= 1;
                continue;
            }
            self.send(&line, sink).await?;
        }
        Ok(())
    }

    /// How many lines of the backlog are wanted at all. A pass of its own, so that the newest N cost no memory
    /// whatever N is.
    async fn count(&mut self) -> Result<u64, Stopped> {
        self.backlog.rewind().await?;
        let mut count = 0;
        while let Some(line) = self.backlog.next_line().await? {
            count += u64::from(line.is_ok_and(|line| self.admits(&line)));
        }
        Ok(count)
    }

    async fn send_live(&mut self, sink: &mut impl Sink, last_call: &CancellationToken) -> &'static str {
        loop {
            let received = tokio::select! {
                received = self.live.recv() => received,
                () = last_call.cancelled() => return notify::COMPLETE,
            };
            let sent = match received {
                Ok(line) if self.admits(&line.text) => self.send(&line.text, sink).await,
                Ok(_) => Ok(()),
                Err(RecvError::Lagged(missed)) => sink.dropped(missed).await,
                Err(RecvError::Closed) => return notify::STOPPING,
            };
            if sent.is_err() {
                return notify::CANCELLED;
            }
        }
    }

    fn admits(&mut self, line: &str) -> bool {
        self.filter.admits(line) && (self.shape == Shape::Text || is_object(line))
    }

    async fn send(&self, line: &str, sink: &mut impl Sink) -> Result<(), Gone> {
        match self.shape {
            Shape::Object => sink.item(line.trim()).await,
            Shape::Text => sink.item(&serde_json::Value::from(line).to_string()).await,
        }
    }
}

/// Whether a line can stand as it is where an item stands: a line torn by a crash cannot.
fn is_object(line: &str) -> bool {
    line.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(line).is_ok()
}

enum Stopped {
    Gone,
    Io(std::io::Error),
}

impl From<Gone> for Stopped {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
pub(super) mod tests {

    use std::io::Write;

    use tokio::sync::{broadcast, mpsc};

    use super::*;

    /// A tail over files with these contents, and the sender of its live lines.
    pub(in super::super) fn tail(contents: &[&str], capacity: usize) -> (Tail, broadcast::Sender<Arc<Line>>) {
        let (sender, live) = broadcast::channel(capacity);
        let backlog = contents.iter().map(|content| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            (file, content.len() as u64)
        });
        (Tail { backlog: backlog.collect(), live }, sender)
    }

    pub(in super::super) fn line(seq: u64, text: &str) -> Arc<Line> {
        Arc::new(Line { seq, text: text.to_owned() })
    }

    pub(in super::super) fn wanted(from: Option<&str>, newest: Option<usize>, follow: bool) -> Wanted {
        Wanted { from: from.map(|text| Time::parse(text).unwrap()), newest, follow, zone: TimeZone::UTC }
    }

    struct Collect(mpsc::Sender<String>);

    impl Sink for Collect {
        async fn item(&mut self, json: &str) -> Result<(), Gone> {
            self.0.send(json.to_owned()).await.map_err(|_| Gone)
        }

        async fn dropped(&mut self, count: u64) -> Result<(), Gone> {
            self.0.send(format!("dropped {count}")).await.map_err(|_| Gone)
        }
    }

    /// Items of a tail that is not followed.
    async fn items(contents: &[&str], shape: Shape, wanted: Wanted) -> Vec<String> {
        let (tail, _sender) = tail(contents, 4);
        let (out, mut items) = mpsc::channel(100);
        let reason = Feed::new(tail, shape, wanted).run(&mut Collect(out), &CancellationToken::new()).await;
        assert_eq!(reason, notify::COMPLETE);
        let mut all = Vec::new();
        while let Some(item) = items.recv().await {
            all.push(item);
        }
        all
    }

    const FILES: [&str; 3] = [
        "2026-01-01 10:00:00 a\n  continued\n2026-01-01 11:00:00 b\n",
        "2026-01-01 12:00:00 c \"q\"\n  continued\n",
        "2026-01-01 13:00:00 d\n",
    ];

    #[tokio::test]
    async fn the_backlog_comes_in_order_and_is_cut_by_time_and_number() {
        let all = items(&FILES, Shape::Text, wanted(None, None, false)).await;
        assert_eq!(all.len(), 6);
        assert_eq!(all[3], r#""2026-01-01 12:00:00 c \"q\"""#);
        let since = |from, newest| items(&FILES, Shape::Text, wanted(from, newest, false));
        assert_eq!(since(Some("2026-01-01T11:30:00Z"), None).await, all[3..]);
        assert_eq!(since(Some("2026-01-01T11:30:00Z"), Some(2)).await, all[4..]);
        assert_eq!(since(Some("2027-01-01T00:00:00Z"), Some(2)).await, all[6..]);
        assert_eq!(since(None, Some(4)).await, all[2..]);
        assert_eq!(since(None, Some(0)).await, all[6..]);
        assert_eq!(since(None, Some(usize::MAX)).await, all);
    }

    #[tokio::test]
    async fn objects_go_out_as_they_are_and_torn_lines_do_not_count() {
        let files = ["{\"z\":1,\"a\":2}\n{\"torn\":", "[]\n \n{\"ts\":\"x\"}\r\n"];
        let all = items(&files, Shape::Object, wanted(None, None, false)).await;
        assert_eq!(all, [r#"{"z":1,"a":2}"#, r#"{"ts":"x"}"#]);
        assert_eq!(items(&files, Shape::Object, wanted(None, Some(2), false)).await, all);
    }

    #[tokio::test]
    async fn live_lines_follow_the_backlog_and_lost_ones_are_counted() {
        let (tail, sender) = tail(&["old\n"], 2);
        for seq in 1..=5 {
            sender.send(line(seq, &format!("new {seq}"))).unwrap();
        }
        let (out, mut items) = mpsc::channel(1);
        let mut sink = Collect(out);
        let last_call = CancellationToken::new();
        let feed = Feed::new(tail, Shape::Text, wanted(None, None, true));
        let reading = async {
            let mut seen = Vec::new();
            while let Some(item) = items.recv().await {
                let last = item.contains("new 5");
                seen.push(item);
                if last {
                    last_call.cancel();
                    break;
                }
            }
            seen
        };
        let (reason, seen) = tokio::join!(feed.run(&mut sink, &last_call), reading);
        assert_eq!(seen, ["\"old\"", "dropped 3", "\"new 4\"", "\"new 5\""]);
        assert_eq!(reason, notify::COMPLETE);
    }

    #[tokio::test]
    async fn the_end_of_the_log_and_of_the_reader_end_the_feed() {
        let (ending, sender) = tail(&[], 2);
        drop(sender);
        let (out, _items) = mpsc::channel(1);
        let feed = Feed::new(ending, Shape::Text, wanted(None, None, true));
        assert_eq!(feed.run(&mut Collect(out), &CancellationToken::new()).await, notify::STOPPING);

        let (unread, _sender) = tail(&["a\nb\n"], 2);
        let (out, items) = mpsc::channel(1);
        drop(items);
        let feed = Feed::new(unread, Shape::Text, wanted(None, None, true));
        assert_eq!(feed.run(&mut Collect(out), &CancellationToken::new()).await, notify::CANCELLED);
    }
}
