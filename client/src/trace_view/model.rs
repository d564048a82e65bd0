//! What the screen shows, without a screen: requests, filters, pause, selection. Pure.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use jiff::Timestamp;
use kmi_proto::methods::keys::Key;
use kmi_proto::methods::requests::TraceEntry;

use super::feed::{Figures, Lost, Update};
use super::input::Action;

/// Requests kept, the newest.
pub(crate) const KEPT: usize = 1000;

/// Characters that the text to look for may have.
const LONGEST_TEXT: usize = 60;

/// Rows that a page moves by.
const PAGE: usize = 10;

/// Parts of the last minute that a sparkline shows.
pub(crate) const PARTS: usize = 12;

/// Seconds of one part.
const PART_SECONDS: i64 = 5;

/// A finished request.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The trace's line.
    pub(crate) entry: TraceEntry,
    /// When it ended, where its line says so.
    at: Option<Timestamp>,
}

/// Where the stream of requests stands.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not open yet.
    #[default]
    Connecting,
    /// Open.
    Live,
    /// Lost, and tried again.
    Lost(Lost),
}

/// Statuses to show.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statuses {
    /// All.
    #[default]
    All,
    /// Under 400.
    Good,
    /// 400 to 499.
    Refused,
    /// From 500, or none at all.
    Broken,
}

impl Statuses {
    fn next(self) -> Self {
        match self {
            Self::All => Self::Good,
            Self::Good => Self::Refused,
            Self::Refused => Self::Broken,
            Self::Broken => Self::All,
        }
    }

    fn has(self, status: u16) -> bool {
        match self {
            Self::All => true,
            Self::Good => (1..400).contains(&status),
            Self::Refused => (400..500).contains(&status),
            Self::Broken => status == 0 || status >= 500,
        }
    }
}

/// Which requests are shown.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Those of this key.
    pub(crate) key: Option<String>,
    /// Those with these statuses.
    pub(crate) statuses: Statuses,
    /// Those that hold this text, in any case.
    pub(crate) text: String,
}

impl Filter {
    fn has(&self, entry: &TraceEntry) -> bool {
        self.statuses.has(entry.status)
            && self.key.as_ref().is_none_or(|key| entry.key_label.as_ref() == Some(key))
            && (self.text.is_empty() || holds(entry, &self.text.to_lowercase()))
    }
}

fn holds(entry: &TraceEntry, text: &str) -> bool {
    let fixed = [&entry.request_id, &entry.method, &entry.endpoint, &entry.outcome, &entry.prompt_hint];
    let optional = [&entry.key_label, &entry.session, &entry.client_name, &entry.error_code];
    let attempts = entry.attempts.iter().flat_map(|attempt| [&attempt.key_label, &attempt.outcome]);
    fixed
        .into_iter()
        .chain(optional.into_iter().flatten())
        .chain(attempts)
        .any(|field| field.to_lowercase().contains(text))
        || entry.status.to_string() == text
}

/// What lies on top of the list.
#[derive(Debug, Default)]
pub(crate) enum Over {
    /// Nothing.
    #[default]
    Nothing,
    /// The keys to press, scrolled down by so many lines.
    Help(u16),
    /// One request, scrolled down by so many lines.
    Detail(Rc<Shown>, u16),
}

/// A key's row.
#[derive(Debug)]
pub(crate) struct KeyRow<'a> {
    /// The key.
    pub(crate) key: &'a Key,
    /// The part of the kept requests that it served, in percent.
    pub(crate) share: f64,
    /// Requests of the last minute.
    pub(crate) rate: u64,
    /// The same in its parts, the newest last.
    pub(crate) parts: [u64; PARTS],
}

/// All that the screen shows.
#[derive(Debug, Default)]
pub(crate) struct Model {
    requests: VecDeque<Rc<Shown>>,
    ids: HashSet<String>,
    /// The list as it stood when it was paused.
    frozen: Option<VecDeque<Rc<Shown>>>,
    /// How many came since.
    pub(crate) unseen: u64,
    /// Keys and status, once they came.
    pub(crate) figures: Option<Figures>,
    /// Whether they are from before the daemon was lost.
    pub(crate) stale: bool,
    /// The stream.
    pub(crate) link: Link,
    /// Requests that could not be shown.
    pub(crate) missed: u64,
    /// Which requests are shown.
    pub(crate) filter: Filter,
    /// Whether the text to look for is being typed.
    pub(crate) typing: bool,
    /// What lies on top.
    pub(crate) over: Over,
    /// The chosen request; without one the list follows the newest.
    selected: Option<Rc<Shown>>,
    /// Whether the person is done.
    pub(crate) done: bool,
}

impl Model {
    /// Takes in what the daemon said.
    pub(crate) fn update(&mut self, update: Update) {
        match update {
            Update::Live => self.link = Link::Live,
            Update::Lost(lost) => (self.link, self.stale) = (Link::Lost(lost), true),
            Update::Missed(count) => self.missed += count,
            Update::Figures(figures) => (self.figures, self.stale) = (Some(*figures), false),
            Update::Entry(entry) => self.add(*entry),
        }
    }

    fn add(&mut self, entry: TraceEntry) {
        // After a loss the stream begins with requests that are here already.
        if !self.ids.insert(entry.request_id.clone()) {
            return;
        }
        let at = jiff::Zoned::strptime("%Y-%m-%d %H:%M:%S%.f %z", &entry.ts).ok();
        self.requests.push_back(Rc::new(Shown { at: at.map(|at| at.timestamp()), entry }));
        if self.requests.len() > KEPT
            && let Some(oldest) = self.requests.pop_front()
        {
            self.ids.remove(&oldest.entry.request_id);
        }
        self.unseen += u64::from(self.frozen.is_some());
    }

    /// Does what a person asked for.
    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Quit => self.done = true,
            Action::Help => {
                self.over = if matches!(self.over, Over::Help(_)) { Over::Nothing } else { Over::Help(0) }
            }
            Action::Back => self.back(),
            Action::Open => self.open(),
            Action::Pause if self.paused() => (self.frozen, self.unseen) = (None, 0),
            Action::Pause => self.frozen = Some(self.requests.clone()),
            Action::Up => self.go(-1),
            Action::Down => self.go(1),
            Action::PageUp => self.go(-PAGE.cast_signed()),
            Action::PageDown => self.go(PAGE.cast_signed()),
            Action::First => self.go(isize::MIN),
            Action::Last => self.go(isize::MAX),
            Action::NextKey => self.filter.key = self.key_after(self.filter.key.as_deref()),
            Action::NextStatuses => self.filter.statuses = self.filter.statuses.next(),
            Action::Clear => self.filter = Filter::default(),
            Action::Type => self.typing = true,
            Action::Letter(letter) if self.filter.text.chars().count() < LONGEST_TEXT => {
                self.filter.text.push(letter);
            }
            Action::Letter(_) => {}
            Action::Rubout => drop(self.filter.text.pop()),
            Action::Keep => self.typing = false,
            Action::Forget => {
                self.typing = false;
                self.filter.text.clear();
            }
        }
    }

    /// From the innermost thing outwards: what lies on top, the selection, the filters.
    fn back(&mut self) {
        if !matches!(self.over, Over::Nothing) {
            self.over = Over::Nothing;
        } else if self.selected.is_some() {
            self.selected = None;
        } else {
            self.filter = Filter::default();
        }
    }

    fn open(&mut self) {
        if let Some(request) = self.selected.clone().or_else(|| self.visible().into_iter().next()) {
            self.selected = Some(Rc::clone(&request));
            self.over = Over::Detail(request, 0);
        }
    }

    fn go(&mut self, rows: isize) {
        if let Over::Detail(_, scroll) | Over::Help(scroll) = &mut self.over {
            let rows = i16::try_from(rows).unwrap_or(if rows < 0 { i16::MIN } else { i16::MAX });
            *scroll = scroll.saturating_add_signed(rows);
            return;
        }
        let visible = self.visible();
        let Some(last) = visible.len().checked_sub(1) else { return };
        let place = match self.place(&visible) {
            Some(place) => place.saturating_add_signed(rows).min(last),
            // The first step chooses the newest; a longer one starts from it.
            None if rows.abs() == 1 => 0,
            None => 0_usize.saturating_add_signed(rows).min(last),
        };
        // Back at the top by a jump, the list follows again.
        self.selected = (rows != isize::MIN).then(|| Rc::clone(&visible[place]));
    }

    /// Keeps what lies on top from being scrolled past its end, which only the screen knows.
    pub(crate) fn scroll_at_most(&mut self, bottom: u16) {
        if let Over::Detail(_, scroll) | Over::Help(scroll) = &mut self.over {
            *scroll = (*scroll).min(bottom);
        }
    }

    /// Whether the list stands still.
    pub(crate) fn paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// Requests that are kept.
    pub(crate) fn kept(&self) -> usize {
        self.frozen.as_ref().unwrap_or(&self.requests).len()
    }

    /// The requests that pass the filter, the newest first.
    pub(crate) fn visible(&self) -> Vec<Rc<Shown>> {
        let list = self.frozen.as_ref().unwrap_or(&self.requests);
        list.iter().rev().filter(|shown| self.filter.has(&shown.entry)).cloned().collect()
    }

    /// Where the chosen request stands among the visible ones.
    pub(crate) fn place(&self, visible: &[Rc<Shown>]) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        visible.iter().position(|shown| Rc::ptr_eq(shown, selected))
    }

    /// The keys of the pool, and what the kept requests say of them.
    pub(crate) fn key_rows(&self, now: Timestamp) -> Vec<KeyRow<'_>> {
        let Some(figures) = &self.figures else { return Vec::new() };
        let served = self.requests.iter().filter(|shown| shown.entry.key_label.is_some()).count().max(1);
        let row = |key| {
            let mut row = KeyRow { key, share: 0.0, rate: 0, parts: [0; PARTS] };
            let its = self.requests.iter().filter(|shown| shown.entry.key_label.as_ref() == Some(&key.label));
            for shown in its {
                row.share += 100.0 / served as f64;
                // A clock that is a little ahead puts a request into the newest part.
                let age = shown.at.map(|at| (now.as_second() - at.as_second()).max(0) / PART_SECONDS);
                let part = age.and_then(|age| usize::try_from(age).ok()).filter(|part| *part < PARTS);
                if let Some(part) = part {
                    row.parts[PARTS - 1 - part] += 1;
                    row.rate += 1;
                }
            }
            row
        };
        figures.keys.keys.iter().map(row).collect()
    }

    /// The labels in pool order, then none.
    fn key_after(&self, label: Option<&str>) -> Option<String> {
        let keys = &self.figures.as_ref()?.keys.keys;
        let next = match label {
            None => 0,
            Some(label) => keys.iter().position(|key| key.label == label)? + 1,
        };
        keys.get(next).map(|key| key.label.clone())
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(super) mod tests;
