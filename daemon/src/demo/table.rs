//! What the demo shows: a live table on a terminal, lines in a pipe, a summary at the end; pure.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use jiff::tz::TimeZone;
use kmid_core::pool::view::{KeyState, KeyView, PoolView};
use kmid_core::time::Time;

use super::client::Shot;
use super::story::{Event, KeyTotal, Story, serving};
use super::text::{cell, fit, harmless, width, wrapped};

/// A line of the table's lower half.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A request.
    Shot(Shot),
    /// What came of it.
    Event(Event),
}

/// How to draw.
#[derive(Debug, Clone)]
pub struct Look {
    /// Columns of the terminal; without end in a pipe.
    pub width: usize,
    /// Rows of the terminal, without those of the introduction.
    pub height: usize,
    /// Paint states and statuses.
    pub colour: bool,
    /// For the times shown.
    pub timezone: TimeZone,
}

#[derive(Debug, Clone, Copy)]
enum Paint {
    Plain,
    Dim,
    Good,
    Notice,
    Bad,
}

impl Look {
    fn paint(&self, text: &str, paint: Paint) -> String {
        let code = match paint {
            _ if !self.colour => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Dim => "2",
            Paint::Good => "32",
            Paint::Notice => "33",
            Paint::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    fn clock(&self, time: Time) -> String {
        time.timestamp().to_zoned(self.timezone.clone()).strftime("%H:%M:%S").to_string()
    }

    /// One column stays free: a terminal may wrap a line that fills it.
    fn room(&self) -> usize {
        self.width.saturating_sub(1).clamp(20, 160)
    }

    /// Sentences outside of the table, broken between words.
    fn sentences(&self, text: &str) -> String {
        wrapped(text, self.width.saturating_sub(1).max(20)).join("\n") + "\n"
    }
}

/// What stands above the table: what this is, and how to try it. Commands stay whole, so that they can be copied.
#[must_use]
pub fn intro(url: &str, look: &Look) -> String {
    let what = "kmid demo: three demo keys, a simulated Kimi API; nothing leaves this machine.";
    let how = format!("Try the proxy at {url} from another terminal:");
    let rows = "The answer's x-kmi-key header says which key served. Shown below are the demo's own requests, not \
                yours. Ctrl-C ends the demo.";
    format!(
        "{}{}\n  curl -i {url}/models\n  curl -i {url}/chat/completions -d \"{{}}\"\n\n{}\n",
        look.sentences(what),
        look.sentences(&how),
        look.sentences(rows),
    )
}

/// Rows of the terminal that a text takes.
#[must_use]
pub fn rows(text: &str, look: &Look) -> usize {
    text.lines().map(|line| width(line).div_ceil(look.width.max(1)).max(1)).sum()
}

/// The live part: keys above, requests below, the newest last. No line is wider than the terminal.
#[must_use]
pub fn frame(entries: &VecDeque<Entry>, view: &PoolView, story: &Story, look: &Look) -> Vec<String> {
    let mut lines = vec![look.paint(&fit(&keys_header(look), look.room()), Paint::Dim)];
    lines.extend(view.keys.iter().enumerate().map(|(place, key)| {
        let active = view.active == Some(place);
        key_line(key, active, story.keys.iter().find(|total| *total.label == *key.label), look)
    }));
    lines.push(String::new());
    lines.push(look.paint(&fit(&Columns::of(look).header(), look.room()), Paint::Dim));
    // The key lines, three lines around the table, and one for the cursor are not the table's.
    let rows = look.height.saturating_sub(lines.len() + 2).clamp(3, 16);
    let mut table: Vec<String> = Vec::new();
    for entry in entries {
        match entry {
            Entry::Shot(shot) => table.push(shot_line(shot, look)),
            Entry::Event(event) => table.extend(event_lines(event, look)),
        }
    }
    let newest = table.len().saturating_sub(rows);
    lines.extend(table.drain(newest..));
    lines
}

/// How many entries a frame can show at most.
pub const MOST_ENTRIES: usize = 16;

const LABEL: usize = 10;

fn keys_header(look: &Look) -> String {
    match look.room() {
        0..60 => format!("  {:<LABEL$} {:<8} {:>6}", "key", "state", "served"),
        _ => format!("  {:<LABEL$} {:>6} {:>8}  {:<10} {}", "key", "served", "tokens", "quota left", "state"),
    }
}

fn key_line(key: &KeyView, active: bool, total: Option<&KeyTotal>, look: &Look) -> String {
    let mark = if active { '*' } else { ' ' };
    let (served, tokens) = total.map_or((0, 0), |total| (total.served, total.tokens));
    let label = cell(&key.label, LABEL);
    let paint = match key.state {
        KeyState::Ready => Paint::Good,
        KeyState::Warn => Paint::Notice,
        KeyState::Cooling | KeyState::Blocked => Paint::Bad,
        KeyState::Disabled => Paint::Dim,
    };
    if look.room() < 60 {
        let state = look.paint(&cell(key.state.name(), 8), paint);
        return format!("{mark} {label} {state} {served:>6}");
    }
    let worst =
        key.figures.iter().map(|view| &view.figure).min_by(|a, b| a.left_percent.total_cmp(&b.left_percent));
    let left = worst.map_or_else(|| "-".to_owned(), |f| format!("{} {:.0} %", f.name, f.left_percent));
    let start = format!("{mark} {label} {served:>6} {tokens:>8}  {} ", cell(&left, 10));
    let state =
        fit(&standing(key.state, key.reason, key.until, look), look.room().saturating_sub(width(&start)));
    format!("{start}{}", look.paint(&state, paint))
}

fn standing(state: KeyState, reason: Option<&str>, until: Option<Time>, look: &Look) -> String {
    let mut text = state.name().to_owned();
    if let Some(reason) = reason {
        let _ = write!(text, ": {reason}");
    }
    if let Some(until) = until {
        let _ = write!(text, ", until {}", look.clock(until));
    }
    text
}

/// Which columns of the request table there is room for.
struct Columns {
    time: bool,
    first_byte: bool,
    tokens: bool,
    request_id: bool,
}

impl Columns {
    fn of(look: &Look) -> Self {
        let room = look.room();
        Self { time: room >= 50, tokens: room >= 58, first_byte: room >= 70, request_id: room >= 110 }
    }

    fn header(&self) -> String {
        self.line("#", "time", "request", "served by", "status", "first ms", "ms", "tokens", "request id")
    }

    #[allow(clippy::too_many_arguments, reason = "one argument a column")]
    fn line(
        &self,
        number: &str,
        time: &str,
        request: &str,
        key: &str,
        status: &str,
        first_byte: &str,
        total: &str,
        tokens: &str,
        request_id: &str,
    ) -> String {
        let mut line = format!("{number:>4} ");
        if self.time {
            let _ = write!(line, "{time:<8} ");
        }
        let _ = write!(line, "{request:<8} {} {status:>6}", cell(key, LABEL));
        if self.first_byte {
            let _ = write!(line, " {first_byte:>8}");
        }
        let _ = write!(line, " {total:>6}");
        if self.tokens {
            let _ = write!(line, " {tokens:>7}");
        }
        if self.request_id {
            let _ = write!(line, "  {request_id}");
        }
        line
    }
}

fn shot_line(shot: &Shot, look: &Look) -> String {
    let line = Columns::of(look).line(
        &shot.number.to_string(),
        &look.clock(shot.at),
        shot.ask.name(),
        server(shot),
        &status(shot),
        &millis(shot.first_byte),
        &millis(shot.total),
        &shot.tokens.map_or_else(|| "-".to_owned(), |tokens| (tokens.input + tokens.output).to_string()),
        shot.request_id.as_deref().unwrap_or("-"),
    );
    look.paint(&fit(&line, look.room()), if shot.answered() { Paint::Plain } else { Paint::Bad })
}

fn event_lines(event: &Event, look: &Look) -> Vec<String> {
    let paint = match event {
        Event::Stopped { .. } => Paint::Notice,
        Event::Failed { .. } => Paint::Bad,
        Event::Back { .. } | Event::TookOver { .. } => Paint::Good,
    };
    let lines = wrapped(&sentence(event, look), look.room().saturating_sub(5));
    lines.iter().map(|line| look.paint(&fit(&format!("     {line}"), look.room()), paint)).collect()
}

fn sentence(event: &Event, look: &Look) -> String {
    match event {
        Event::Stopped { label, state, reason, until } => {
            let what = if *state == KeyState::Cooling { "exhausted" } else { state.name() };
            let mut text = format!("{label} is {what}");
            if let Some(reason) = reason {
                let _ = write!(text, " ({reason})");
            }
            if let Some(until) = until {
                let _ = write!(text, " until {}", look.clock(*until));
            }
            text
        }
        Event::Back { label, active: None } => format!("{label} is back"),
        Event::Back { label, active: Some(active) } => {
            format!("{label} is back; {}", stays(active))
        }
        Event::TookOver { key, from } => format!("{key} took over from {}", from.join(", ")),
        Event::Failed { message } => format!("failed: {message}"),
    }
}

/// One request as a line of text, for pipes.
#[must_use]
pub fn shot_text(shot: &Shot, look: &Look) -> String {
    let mut line = format!(
        "#{} {} {} key={} status={} first_ms={} ms={}",
        shot.number,
        look.clock(shot.at),
        shot.ask.name(),
        server(shot),
        status(shot),
        millis(shot.first_byte),
        millis(shot.total),
    );
    if let Some(tokens) = shot.tokens {
        let _ = write!(line, " tokens={}", tokens.input + tokens.output);
    }
    if let Some(id) = &shot.request_id {
        let _ = write!(line, " id={id}");
    }
    line
}

/// One event as a line of text, for pipes.
#[must_use]
pub fn event_text(number: u64, event: &Event, look: &Look) -> String {
    format!("#{number} {}", harmless(&sentence(event, look)))
}

/// What came of it all.
#[must_use]
pub fn summary(story: &Story, view: &PoolView, look: &Look) -> String {
    let failed = story.requests - story.answered;
    let all = format!(
        "{} in {:.1} s: {} answered, {failed} failed",
        count(story.requests, "request"),
        story.elapsed.as_secs_f64(),
        story.answered,
    );
    let mut text = format!("\n{}", look.sentences(&all));
    for total in &story.keys {
        let key = view.keys.iter().find(|key| *key.label == *total.label);
        let standing = key.map_or_else(String::new, |key| standing(key.state, key.reason, key.until, look));
        let sums =
            format!("  {} {:>4} served {:>7} tokens", cell(&total.label, LABEL), total.served, total.tokens);
        let fits = width(&sums) + 2 + width(&standing) < look.width;
        let between = if fits { "  " } else { "\n      " };
        let _ = writeln!(text, "{}", [&sums, between, &standing].concat().trim_end());
    }
    let mut end = format!(
        "Keys stopped serving {}; another key took over {}.",
        count(story.stopped, "time"),
        count(story.took_over, "time")
    );
    if failed == 0 && story.took_over > 0 {
        end.push_str(" The client noticed nothing.");
    }
    if let Some(active) = serving(view).filter(|_| story.came_back > 0) {
        let _ = write!(end, " Keys that are back wait their turn: {}.", stays(&active.label));
    }
    text + &look.sentences(&end)
}

/// Failover does not switch back: that would cost the prompt cache and win nothing.
fn stays(active: &str) -> String {
    format!("{active} stays active as long as it can serve")
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn server(shot: &Shot) -> &str {
    match &shot.key {
        Some(key) if !shot.by_kmid => key,
        _ if shot.by_kmid => "kmid",
        _ => "-",
    }
}

fn status(shot: &Shot) -> String {
    shot.status.map_or_else(|| "-".to_owned(), |status| status.to_string())
}

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}
