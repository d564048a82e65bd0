//! Why a key was chosen: what there was to choose from at that moment, and what each key had for or against it.

use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::affinity::Placement;
use super::choose::Obstacle;
use super::view::KeyState;
use super::{Demand, Mode, Pool};
use crate::json::Object;
use crate::ledger::Figure;
use crate::policy::{self, Policy, Ranked};
use crate::time::Time;

/// Keys that a record lists; of a larger pool the best and then the first.
const MOST_LISTED: usize = 16;
/// In manual mode only the active key serves, whatever the others could do.
const NOT_ACTIVE: &str = "not_active";
/// Figures shown in records are made anew after this; a thousand requests share one set.
const FIGURES_KEPT: Duration = Duration::from_secs(1);

/// One choice.
#[derive(Debug, Clone)]
pub struct Decision {
    /// When.
    pub at: Time,
    /// How keys are chosen.
    pub mode: Mode,
    /// The rule that ranked them.
    pub policy: Policy,
    /// What the request's session had to do with it.
    pub placement: Placement,
    /// The chosen one first, then in the order in which they would have been chosen, then those that could not.
    pub candidates: Vec<Considered>,
    /// Keys that are not listed.
    pub left_off: usize,
}

/// A key at the moment of the choice.
#[derive(Debug, Clone)]
pub struct Considered {
    /// Its label.
    pub label: Arc<str>,
    /// Whether it was chosen.
    pub chosen: bool,
    /// How it stood.
    pub state: KeyState,
    /// What kept it from being leased: the word of an [`Obstacle`], or `not_active` in manual mode.
    pub obstacle: Option<&'static str>,
    /// Of a key with an obstacle the state's reason, else why it has its rank.
    pub reason: Option<&'static str>,
    /// When the obstacle ends, where that is known.
    pub until: Option<Time>,
    /// What the policy ranked it by, higher is better; only of keys that could serve, and not where turns decide.
    pub score: Option<f64>,
    /// KMI_KEY_PRIORITY
    pub priority: i32,
    /// Attempts in flight of its account.
    pub in_flight: u32,
    /// The most there may be.
    pub cap: u32,
    /// What the account had left, as JSON.
    pub windows: Arc<RawValue>,
}

/// The figures of an account as records show them.
#[derive(Debug, Clone, Default)]
pub(super) struct ShownFigures(Option<(Time, Arc<RawValue>)>);

impl Default for Decision {
    fn default() -> Self {
        Self {
            at: Time::default(),
            mode: Mode::Manual,
            policy: Policy::default(),
            placement: Placement::NoSession,
            candidates: Vec::new(),
            left_off: 0,
        }
    }
}

impl Decision {
    /// The chosen key's part.
    #[must_use]
    pub fn chosen(&self) -> Option<&Considered> {
        self.candidates.iter().find(|considered| considered.chosen)
    }

    /// The short form of the response's `x-kmi-decision`: how it was chosen, what the session had to do with it, why
    /// this key, and how many of all could have served: `drain; new; expires_first; 2/3`.
    #[must_use]
    pub fn short(&self) -> String {
        let how = if self.mode == Mode::Auto { self.policy.name() } else { self.mode.name() };
        let why = self.chosen().and_then(|chosen| chosen.reason).unwrap_or("-");
        let all = self.candidates.len() + self.left_off;
        let mut numbers = [itoa::Buffer::new(), itoa::Buffer::new()];
        let [able, of] = &mut numbers;
        [how, "; ", self.placement.name(), "; ", why, "; ", able.format(self.able()), "/", of.format(all)]
            .concat()
    }

    /// About how many bytes it holds; what it shares with others counts for nothing.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        self.candidates.capacity() * size_of::<Considered>()
    }

    /// Keys that could have served.
    #[must_use]
    pub(crate) fn able(&self) -> usize {
        self.candidates.iter().filter(|considered| considered.obstacle.is_none()).count()
    }
}

impl Pool {
    /// Which key the next new session would get, and the order of the rest. Changes nothing.
    #[must_use]
    pub fn plan(&mut self, now: Time) -> Decision {
        let demand = Demand::default();
        let before = (self.rotation_index, self.current);
        self.gathered = false;
        let able = |pool: &mut Self, index: &usize| pool.obstacle(*index, &demand, now).is_none();
        let active = self.active_index();
        let chosen = match self.mode() {
            Mode::Auto => self.choose_auto(&demand, now),
            Mode::Manual => active.filter(|index| able(self, index)),
            Mode::Failover => {
                let next = |pool: &mut Self| pool.next_after(active?, &demand, now);
                active.filter(|index| able(self, index)).or_else(|| next(self))
            }
        };
        let decision = self.explain(chosen, Placement::New, &demand, now);
        (self.rotation_index, self.current) = before;
        decision
    }

    /// Why a demand gets no key now. Changes nothing.
    #[must_use]
    pub fn explain_refusal(&mut self, demand: &Demand<'_>, now: Time) -> Decision {
        self.gathered = false;
        let (placement, _) = self.place(demand, now);
        self.explain(None, placement, demand, now)
    }

    /// The record of a choice that was just made and not yet granted.
    pub(super) fn explain(
        &mut self,
        chosen: Option<usize>,
        placement: Placement,
        demand: &Demand<'_>,
        now: Time,
    ) -> Decision {
        let mode = self.mode();
        let mut candidates = std::mem::take(&mut self.candidates);
        if !std::mem::take(&mut self.gathered) {
            self.gather(demand, now, &mut candidates);
            self.standing = self.standing_now();
        }
        let mut ranked: Vec<Ranked> = std::mem::take(&mut self.ranked);
        policy::rank(self.rules.policy, &candidates, &self.standing, now, &mut ranked);
        let mut listed = Vec::with_capacity(self.entries.len().min(MOST_LISTED));
        if let Some(index) = chosen {
            let rank = ranked.iter().find(|rank| rank.index == index);
            let reason = match mode {
                Mode::Auto if placement == Placement::Stayed => Some("session"),
                Mode::Auto => rank.map(|rank| rank.reason),
                Mode::Manual => Some("active"),
                Mode::Failover if self.active_index() == Some(index) => Some("active"),
                Mode::Failover => Some("next"),
            };
            let score = rank.filter(|_| mode == Mode::Auto).map(|rank| rank.score);
            listed.push(self.considered(index, None, reason, score, demand, now));
            listed[0].chosen = true;
        }
        if mode != Mode::Manual {
            for rank in ranked.iter().filter(|rank| chosen != Some(rank.index)) {
                if listed.len() < MOST_LISTED {
                    let one =
                        self.considered(rank.index, None, Some(rank.reason), Some(rank.score), demand, now);
                    listed.push(one);
                }
            }
        }
        for index in 0..self.entries.len() {
            if listed.len() >= MOST_LISTED {
                break;
            }
            let able = chosen == Some(index) || ranked.iter().any(|rank| rank.index == index);
            if able && (mode != Mode::Manual || chosen == Some(index)) {
                continue;
            }
            let obstacle = self.obstacle(index, demand, now);
            let mut one = self.considered(index, obstacle, None, None, demand, now);
            one.obstacle = one.obstacle.or(Some(NOT_ACTIVE));
            listed.push(one);
        }
        let left_off = self.entries.len() - listed.len();
        (self.candidates, self.ranked) = (candidates, ranked);
        Decision { at: now, mode, policy: self.rules.policy, placement, candidates: listed, left_off }
    }

    fn considered(
        &mut self,
        index: usize,
        obstacle: Option<Obstacle>,
        rank: Option<&'static str>,
        score: Option<f64>,
        demand: &Demand<'_>,
        now: Time,
    ) -> Considered {
        let (reason, until) = match obstacle {
            None => (rank, None),
            Some(obstacle) => {
                let (reason, until) = self.reason_and_end(index, obstacle, demand, now);
                (reason.filter(|_| obstacle == Obstacle::State), until)
            }
        };
        let windows = self.shown_figures(index, now);
        let entry = &self.entries[index];
        let slots = self.slots_of(index, now);
        Considered {
            label: Arc::clone(&entry.key.label),
            chosen: false,
            state: entry.state(&self.ledger, now),
            obstacle: obstacle.map(Obstacle::name),
            reason,
            until,
            score: score.filter(|_| self.rules.policy.needs_windows()),
            priority: entry.key.priority,
            in_flight: slots.in_flight,
            cap: slots.cap,
            windows,
        }
    }

    /// Made once a second: a record holds what was known to within that.
    fn shown_figures(&mut self, index: usize, now: Time) -> Arc<RawValue> {
        let entry = &mut self.entries[index];
        if let Some((made, windows)) = &entry.shown.0
            && now.since(*made).max(made.since(now)) < FIGURES_KEPT
        {
            return Arc::clone(windows);
        }
        let figures: Vec<Figure> = self.ledger.figures(entry.account_id, now).collect();
        let shown: Vec<ShownWindow<'_>> =
            figures.iter().map(|figure| ShownWindow { figure, at: now }).collect();
        // Names and numbers always have a JSON form.
        let windows = to_raw_value(&shown).unwrap_or_default().into();
        entry.shown = ShownFigures(Some((now, Arc::clone(&windows))));
        windows
    }
}

impl Decision {
    /// Writes the JSON of the trace, of `requests.get` and of `rotation.plan`.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.word("mode", self.mode.name());
        object.word("policy", self.policy.name());
        object.word("placement", self.placement.name());
        object.list("candidates", &self.candidates, |object, considered| considered.write_fields(object));
        if self.left_off > 0 {
            object.number("left_off", self.left_off as u64);
        }
        object.end();
    }
}

impl Serialize for Decision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::new();
        self.write_json(&mut json);
        let json = String::from_utf8(json).map_err(S::Error::custom)?;
        RawValue::from_string(json).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Considered {
    fn write_fields(&self, object: &mut Object<'_>) {
        object.text("key_label", &*self.label);
        object.flag("chosen", self.chosen);
        object.word("state", self.state.name());
        if let Some(obstacle) = self.obstacle {
            object.word("obstacle", obstacle);
        }
        if let Some(reason) = self.reason {
            object.word("reason", reason);
        }
        if let Some(until) = &self.until {
            object.value("until", until);
        }
        if let Some(score) = self.score.filter(|score| score.is_finite()) {
            object.value("score", &rounded(score));
        }
        object.value("priority", &self.priority);
        object.number("in_flight", u64::from(self.in_flight));
        object.number("cap", u64::from(self.cap));
        object.name("windows").extend_from_slice(self.windows.get().as_bytes());
    }
}

struct ShownWindow<'a> {
    figure: &'a Figure,
    at: Time,
}

impl Serialize for ShownWindow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.figure.name)?;
        map.serialize_entry("percent_left", &rounded(self.figure.left_percent))?;
        map.serialize_entry("age_seconds", &self.at.since(self.figure.as_of).as_secs())?;
        map.serialize_entry("source", self.figure.source.name())?;
        if let Some(resets_at) = self.figure.resets_at {
            map.serialize_entry("resets_at", &resets_at)?;
        }
        map.end()
    }
}

/// Two digits say enough, and keep the lines short.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
