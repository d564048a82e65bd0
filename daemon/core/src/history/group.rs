//! Rows of many hours added up: by key, model, day or hour.

use std::collections::{BTreeMap, HashMap};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Hour, OTHER, Subject, Sums};
use crate::key::Fingerprint;
use crate::time::Time;

/// Keys or models in an answer; the rest is added up. 90 days of hours are 2160.
const MOST_GROUPS: usize = 1000;

/// What is added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each key, with the label that it had last.
    Key,
    /// Each day of the zone. An hour counts to the day that it begins in.
    #[default]
    Day,
    /// Each hour with requests.
    Hour,
    /// Each model.
    Model,
    /// Each name of a token.
    Client,
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Label, model, name of a token, `2026-11-23` or `2026-11-23 12:00`; empty: no key, no model named, or a token without a name.
    pub name: String,
    /// Of a key.
    pub fingerprint: Option<Fingerprint>,
    /// When a day or an hour begins.
    pub start: Option<Time>,
    /// What was counted.
    pub sums: Sums,
}

/// Adds rows up. Days and hours come in their order, with the days without requests between two with some; keys and
/// models by their requests, most first.
pub fn group(rows: impl IntoIterator<Item = (Hour, Subject, Sums)>, by: By, zone: &TimeZone) -> Vec<Group> {
    match by {
        By::Hour => hours(rows, zone),
        By::Day => days(rows, zone),
        By::Key => keys(rows),
        By::Model => names(rows.into_iter().map(|(_, subject, sums)| (subject.model.into(), sums))),
        By::Client => names(rows.into_iter().map(|(_, subject, sums)| (subject.client.to_string(), sums))),
    }
}

fn names(rows: impl Iterator<Item = (String, Sums)>) -> Vec<Group> {
    let mut names: HashMap<String, Sums> = HashMap::new();
    for (name, sums) in rows {
        *names.entry(name).or_default() += sums;
    }
    most_first(names.into_iter().map(|(name, sums)| named(name, None, sums)).collect())
}

fn named(name: String, fingerprint: Option<Fingerprint>, sums: Sums) -> Group {
    Group { name, fingerprint, start: None, sums }
}

fn hours(rows: impl IntoIterator<Item = (Hour, Subject, Sums)>, zone: &TimeZone) -> Vec<Group> {
    let mut hours: BTreeMap<Hour, Sums> = BTreeMap::new();
    for (hour, _, sums) in rows {
        *hours.entry(hour).or_default() += sums;
    }
    let group = |(hour, sums): (Hour, Sums)| {
        let local = zone.to_datetime(hour.start().timestamp());
        let name = local.strftime("%Y-%m-%d %H:%M").to_string();
        Group { name, fingerprint: None, start: Some(hour.start()), sums }
    };
    hours.into_iter().map(group).collect()
}

fn days(rows: impl IntoIterator<Item = (Hour, Subject, Sums)>, zone: &TimeZone) -> Vec<Group> {
    let mut days: BTreeMap<Date, Sums> = BTreeMap::new();
    for (hour, _, sums) in rows {
        *days.entry(zone.to_datetime(hour.start().timestamp()).date()).or_default() += sums;
    }
    let (Some((&first, _)), Some((&last, _))) = (days.first_key_value(), days.last_key_value()) else {
        return Vec::new();
    };
    // A clock that was wrong by years must not fill an answer with empty days.
    let between = first.series(jiff::Span::new().days(1)).take(MOST_GROUPS);
    between.take_while(|date| *date <= last).for_each(|date| {
        days.entry(date).or_default();
    });
    let group = |(date, sums): (Date, Sums)| {
        let start = zone.to_ambiguous_timestamp(date.at(0, 0, 0, 0)).compatible().ok();
        let start = start.map(|start| Time::from_millis(start.as_millisecond()));
        Group { name: date.to_string(), fingerprint: None, start, sums }
    };
    days.into_iter().map(group).collect()
}

fn keys(rows: impl IntoIterator<Item = (Hour, Subject, Sums)>) -> Vec<Group> {
    // A key without a fingerprint is none, or `other`.
    let mut keys: HashMap<(Option<Fingerprint>, String), (Hour, String, Sums)> = HashMap::new();
    for (hour, subject, sums) in rows {
        let label = subject.key.to_string();
        let id =
            (subject.fingerprint, if subject.fingerprint.is_some() { String::new() } else { label.clone() });
        let (latest, name, sum) = keys.entry(id).or_insert_with(|| (hour, label.clone(), Sums::default()));
        if hour > *latest {
            (*latest, *name) = (hour, label);
        }
        *sum += sums;
    }
    let groups = keys.into_iter().map(|((fingerprint, _), (_, name, sums))| named(name, fingerprint, sums));
    most_first(groups.collect())
}

fn most_first(mut groups: Vec<Group>) -> Vec<Group> {
    groups.sort_by(|one, other| {
        let order = other.sums.requests.cmp(&one.sums.requests);
        order.then_with(|| (&one.name, one.fingerprint).cmp(&(&other.name, other.fingerprint)))
    });
    if groups.len() > MOST_GROUPS {
        let mut rest = Sums::default();
        groups.drain(MOST_GROUPS - 1..).for_each(|group| rest += group.sums);
        match groups.iter_mut().find(|group| group.name == OTHER && group.fingerprint.is_none()) {
            Some(other) => other.sums += rest,
            None => groups.push(named(OTHER.to_owned(), None, rest)),
        }
    }
    groups
}
