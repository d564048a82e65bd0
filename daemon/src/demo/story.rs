//! What happened between two requests: who was exhausted, who took over, who came back; pure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kmid_core::pool::view::{ErrorCounts, KeyState, KeyView, PoolView};
use kmid_core::time::Time;

use super::client::Shot;

/// Labels that are counted; more cannot be in a demo.
const MOST_LABELS: usize = 64;

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A key stopped serving.
    Stopped {
        /// The key.
        label: Arc<str>,
        /// How it stands now.
        state: KeyState,
        /// Why, a stable word.
        reason: Option<&'static str>,
        /// When it ends by itself.
        until: Option<Time>,
    },
    /// A key that had stopped serves again.
    Back {
        /// The key.
        label: Arc<str>,
        /// Another key that is active and serves: it goes on.
        active: Option<Arc<str>>,
    },
    /// A request that another key could not serve was answered by this one.
    TookOver {
        /// Who served.
        key: String,
        /// Who could not.
        from: Vec<Arc<str>>,
    },
    /// The client did not get what it asked for.
    Failed {
        /// In the answer's or the transport's words.
        message: String,
    },
}

/// One key's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTotal {
    /// The key.
    pub label: String,
    /// Requests that it answered.
    pub served: u64,
    /// Tokens of these answers, input and output.
    pub tokens: u64,
}

/// Everything so far.
#[derive(Debug, Clone)]
pub struct Story {
    before: BTreeMap<Arc<str>, (KeyState, ErrorCounts)>,
    /// Requests sent.
    pub requests: u64,
    /// Requests whose client got what it asked for.
    pub answered: u64,
    /// Times that a key stopped serving.
    pub stopped: u64,
    /// Times that a key which had stopped came back.
    pub came_back: u64,
    /// Requests that another key took over.
    pub took_over: u64,
    /// By key, in pool order.
    pub keys: Vec<KeyTotal>,
    /// From the first request to the end of the last.
    pub elapsed: Duration,
    began: Option<Time>,
}

impl Story {
    /// Begins with the pool as it stands before the first request.
    #[must_use]
    pub fn new(view: &PoolView) -> Self {
        let mut story = Self {
            before: BTreeMap::new(),
            requests: 0,
            answered: 0,
            stopped: 0,
            came_back: 0,
            took_over: 0,
            keys: Vec::new(),
            elapsed: Duration::ZERO,
            began: None,
        };
        for key in &view.keys {
            story.total(&key.label);
        }
        story.remember(view);
        story
    }

    /// Takes in one request and the pool as it stands after it.
    pub fn tell(&mut self, shot: &Shot, view: &PoolView) -> Vec<Event> {
        let mut events = Vec::new();
        let mut gave_way = Vec::new();
        for key in &view.keys {
            let Some((state, errors)) = self.before.get(&key.label) else { continue };
            match (state.serves(), key.state.serves()) {
                (true, false) => {
                    events.push(stopped(key));
                    self.stopped += 1;
                }
                (false, true) => {
                    self.came_back += 1;
                    let active = serving(view).filter(|active| active.label != key.label);
                    events.push(Event::Back {
                        label: Arc::clone(&key.label),
                        active: active.map(|active| Arc::clone(&active.label)),
                    });
                }
                _ => {}
            }
            let failed_meanwhile = sum(&key.errors) > sum(errors);
            if failed_meanwhile && shot.key.as_deref() != Some(&*key.label) {
                gave_way.push(Arc::clone(&key.label));
            }
        }
        self.remember(view);
        self.count(shot);
        match (&shot.key, &shot.error) {
            (Some(key), _) if shot.answered() && !gave_way.is_empty() => {
                self.took_over += 1;
                events.push(Event::TookOver { key: key.clone(), from: gave_way });
            }
            (_, Some(message)) => events.push(Event::Failed { message: message.clone() }),
            _ => {}
        }
        events
    }

    fn count(&mut self, shot: &Shot) {
        self.requests += 1;
        let began = *self.began.get_or_insert(shot.at);
        self.elapsed = (shot.at + shot.total).since(began);
        if !shot.answered() {
            return;
        }
        self.answered += 1;
        if let (Some(key), tokens) = (&shot.key, shot.tokens.unwrap_or_default())
            && let Some(total) = self.total(key)
        {
            total.served += 1;
            total.tokens = total.tokens.saturating_add(tokens.input).saturating_add(tokens.output);
        }
    }

    fn total(&mut self, label: &str) -> Option<&mut KeyTotal> {
        if let Some(place) = self.keys.iter().position(|total| total.label == label) {
            return self.keys.get_mut(place);
        }
        if self.keys.len() >= MOST_LABELS {
            return None;
        }
        self.keys.push(KeyTotal { label: label.to_owned(), served: 0, tokens: 0 });
        self.keys.last_mut()
    }

    fn remember(&mut self, view: &PoolView) {
        self.before = view.keys.iter().map(|key| (Arc::clone(&key.label), (key.state, key.errors))).collect();
    }
}

/// The active key, if it can serve.
pub(super) fn serving(view: &PoolView) -> Option<&KeyView> {
    view.active_key().filter(|key| key.state.serves())
}

fn stopped(key: &KeyView) -> Event {
    Event::Stopped { label: Arc::clone(&key.label), state: key.state, reason: key.reason, until: key.until }
}

fn sum(errors: &ErrorCounts) -> u64 {
    errors.e401 + errors.e403 + errors.e429 + errors.e5xx
}
