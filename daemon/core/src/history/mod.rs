//! What was used, hour by hour: requests, errors and tokens by key and model. Bounded in rows, pure.

mod group;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::group::{By, Group, group};
use crate::key::Fingerprint;
use crate::kimi::usage::Tokens;
use crate::time::Time;

/// So many of the last days with requests are kept.
pub const DAYS_KEPT: usize = 90;
/// Models that are told apart in an hour: what a client calls a model is not ours to limit.
pub const MOST_MODELS: usize = 50;
/// Rows of an hour; what comes on top is counted without its key and model.
pub const MOST_ROWS: usize = 500;
/// Stands for the models, or the keys, that are one too many.
pub const OTHER: &str = "other";
/// Hours that wait to be written: a disk that is full for longer costs the oldest.
const MOST_HOURS: usize = 48;
const HOUR_MILLIS: i64 = 3_600_000;

/// An hour, counted from the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that a moment lies in.
    #[must_use]
    pub fn of(time: Time) -> Self {
        Self(time.as_millis().div_euclid(HOUR_MILLIS))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Time {
        Time::from_millis(self.0.saturating_mul(HOUR_MILLIS))
    }

    /// Its day in UTC, counted from the Unix epoch.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(24)
    }
}

/// What a row is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The key of the last attempt; none when kmid answered by itself.
    pub fingerprint: Option<Fingerprint>,
    /// Its label at that time; empty without a key.
    pub key: Arc<str>,
    /// The model that the request named; empty when it named none.
    pub model: Box<str>,
    /// The name of the token that let it in; empty when that has none.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub client: Arc<str>,
}

/// What is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Finished requests.
    pub requests: u64,
    /// Of these: failed. A client that left is no failure.
    pub errors: u64,
    /// As the responses counted them.
    #[serde(flatten)]
    pub tokens: Tokens,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.tokens = self.tokens.plus(other.tokens);
    }
}

/// Hours with their rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History(BTreeMap<Hour, BTreeMap<Subject, Sums>>);

impl History {
    /// Counts, within the bounds of an hour.
    pub fn add(&mut self, hour: Hour, subject: Subject, sums: Sums) {
        let rows = self.0.entry(hour).or_default();
        let subject = if rows.contains_key(&subject) { subject } else { bounded(rows, subject) };
        *rows.entry(subject).or_default() += sums;
        while self.0.len() > MOST_HOURS {
            self.0.pop_first();
        }
    }

    /// Counts all of another one.
    pub fn add_all(&mut self, other: Self) {
        for (hour, subject, sums) in other.into_rows() {
            self.add(hour, subject, sums);
        }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The UTC days in it.
    #[must_use]
    pub fn days(&self) -> BTreeSet<i64> {
        self.0.keys().map(|hour| hour.day()).collect()
    }

    /// A part of it: one UTC day.
    #[must_use]
    pub fn day(&self, day: i64) -> Self {
        Self(self.0.range(Hour(day * 24)..Hour((day + 1) * 24)).map(|(h, rows)| (*h, rows.clone())).collect())
    }

    /// Every row, by hour.
    pub fn rows(&self) -> impl Iterator<Item = (Hour, &Subject, &Sums)> {
        self.0.iter().flat_map(|(hour, rows)| rows.iter().map(|(subject, sums)| (*hour, subject, sums)))
    }

    /// Every row, by hour.
    pub fn into_rows(self) -> impl Iterator<Item = (Hour, Subject, Sums)> {
        self.0
            .into_iter()
            .flat_map(|(hour, rows)| rows.into_iter().map(move |(subject, sums)| (hour, subject, sums)))
    }
}

/// A new row's subject, or what stands for it when the hour is full.
fn bounded(rows: &BTreeMap<Subject, Sums>, mut subject: Subject) -> Subject {
    if rows.len() >= MOST_ROWS {
        return Subject { fingerprint: None, key: OTHER.into(), model: OTHER.into(), client: OTHER.into() };
    }
    let models: BTreeSet<&str> = rows.keys().map(|row| &*row.model).collect();
    // `other` itself is one of them.
    if models.len() + 1 >= MOST_MODELS && !models.contains(&*subject.model) {
        subject.model = OTHER.into();
    }
    subject
}
