//! `kmid demo`: a load on the real proxy, and a live table of what happens.
//!
//! The composition root starts the proxy over the simulator with [`keys`] and then calls [`run`].

pub mod client;
pub mod keys;
pub mod story;
pub mod table;
#[cfg(test)]
mod tests;
mod text;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use jiff::tz::TimeZone;
use kmid_config::zone_files;
use kmid_core::pool::view::PoolView;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::client::Shot;
use self::story::{Event, KeyTotal, Story};
use self::table::{Entry, Look};

/// Requests in a pipe unless told otherwise: enough for both quotas to run out.
const PIPED_REQUESTS: u64 = 20;
/// From one request's start to the next one's, unless the first takes longer.
const EVERY: Duration = Duration::from_millis(350);
/// From Ctrl-C to the end of the request under way, which takes about a quarter of a second.
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// A reader that takes nothing for so long does not get the summary.
const LONGEST_WRITE: Duration = Duration::from_secs(1);
/// Where the terminal does not tell its size.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// How the demo runs.
#[derive(Debug)]
pub struct Options<W> {
    /// `--requests`; without it a terminal goes on until Ctrl-C, a pipe gets 20.
    pub requests: Option<u64>,
    /// Where it is shown.
    pub out: W,
    /// `out` is a terminal: a live table instead of lines.
    pub terminal: bool,
    /// Paint it; only looked at on a terminal (`NO_COLOR` and KMI_NO_COLOR are the caller's to read).
    pub colour: bool,
    /// For the times shown.
    pub timezone: TimeZone,
    /// Pause between requests.
    pub every: Duration,
}

impl<W> Options<W> {
    /// The usual pace onto `out`.
    pub fn new(out: W, terminal: bool, colour: bool) -> Self {
        Self { requests: None, out, terminal, colour, timezone: zone_files::local(), every: EVERY }
    }
}

/// Why the demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As many requests as asked for.
    Enough,
    /// Ctrl-C.
    Cancelled,
    /// Nobody reads the output any more.
    OutputClosed,
    /// The output takes nothing: a full disk.
    OutputFailed(io::ErrorKind),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Requests sent.
    pub requests: u64,
    /// Requests whose client got what it asked for.
    pub answered: u64,
    /// Times that a key stopped serving.
    pub stopped: u64,
    /// Requests that another key took over.
    pub took_over: u64,
    /// By key, in pool order.
    pub keys: Vec<KeyTotal>,
    /// Why it ended.
    pub end: End,
}

/// Sends requests to the proxy at `url` (`http://127.0.0.1:PORT/kmi-rotor/v1`) and shows what happens, until the
/// number of requests is reached or it is cancelled. A request under way when cancelled ends, unless that takes
/// more than two seconds.
pub async fn run<W: AsyncWrite + Unpin>(
    url: &str,
    view: impl Fn() -> PoolView,
    options: Options<W>,
    cancel: CancellationToken,
) -> Summary {
    let most = options.requests.or((!options.terminal).then_some(PIPED_REQUESTS));
    let mut ticks = interval(options.every.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut story = Story::new(&view());
    let mut screen = Screen::new(options);
    let work = async {
        screen.introduce(url).await?;
        while most.is_none_or(|most| story.requests < most) {
            if cancel.run_until_cancelled(ticks.tick()).await.is_none() {
                return Ok(End::Cancelled);
            }
            let shot = client::ask(url, story.requests + 1).await;
            let now = view();
            let events = story.tell(&shot, &now);
            screen.show(shot, events, &now, &story).await?;
        }
        Ok::<_, io::Error>(End::Enough)
    };
    let out_of_time = async {
        cancel.cancelled().await;
        sleep(LAST_REQUEST).await;
    };
    let end = tokio::select! {
        end = work => end.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => End::OutputClosed,
            kind => End::OutputFailed(kind),
        }),
        () = out_of_time => End::Cancelled,
    };
    if !matches!(end, End::OutputClosed | End::OutputFailed(_)) {
        let text = table::summary(&story, &view(), &screen.look());
        // A reader that is gone by now loses only the summary, which the caller still gets.
        let _ = timeout(LONGEST_WRITE, screen.write(&text)).await;
    }
    Summary {
        requests: story.requests,
        answered: story.answered,
        stopped: story.stopped,
        took_over: story.took_over,
        keys: story.keys,
        end,
    }
}

/// Draws onto a terminal or writes lines.
struct Screen<W> {
    options: Options<W>,
    entries: VecDeque<Entry>,
    drawn: usize,
    /// Rows of the introduction, which stays in sight where there is room for both.
    head: usize,
}

impl<W: AsyncWrite + Unpin> Screen<W> {
    fn new(options: Options<W>) -> Self {
        Self { options, entries: VecDeque::new(), drawn: 0, head: 0 }
    }

    fn look(&self) -> Look {
        let (width, height) = match terminal_size::terminal_size() {
            _ if !self.options.terminal => (usize::MAX, usize::MAX),
            Some((width, height)) => (usize::from(width.0), usize::from(height.0)),
            None => USUAL_SIZE,
        };
        let colour = self.options.terminal && self.options.colour;
        let timezone = self.options.timezone.clone();
        Look { width, height: height.saturating_sub(self.head), colour, timezone }
    }

    async fn introduce(&mut self, url: &str) -> io::Result<()> {
        let look = self.look();
        let text = table::intro(url, &look);
        self.head = table::rows(&text, &look);
        self.write(&text).await
    }

    async fn show(
        &mut self,
        shot: Shot,
        events: Vec<Event>,
        view: &PoolView,
        story: &Story,
    ) -> io::Result<()> {
        let look = self.look();
        if !self.options.terminal {
            let mut text = table::shot_text(&shot, &look) + "\n";
            for event in &events {
                text += &(table::event_text(shot.number, event, &look) + "\n");
            }
            return self.write(&text).await;
        }
        self.entries.push_back(Entry::Shot(shot));
        self.entries.extend(events.into_iter().map(Entry::Event));
        let old = self.entries.len().saturating_sub(table::MOST_ENTRIES);
        self.entries.drain(..old);
        let lines = table::frame(&self.entries, view, story, &look);
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}F\x1b[J", self.drawn);
        }
        self.drawn = lines.len();
        text += &(lines.join("\n") + "\n");
        self.write(&text).await
    }

    async fn write(&mut self, text: &str) -> io::Result<()> {
        self.options.out.write_all(text.as_bytes()).await?;
        self.options.out.flush().await
    }
}
