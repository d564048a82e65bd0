//! Resolved settings as text, and what differs between two of them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::env::{self, TakesEffect};
use crate::resolve::{RawValues, Source};
use crate::settings::Settings;

/// One line of `kmid --check-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The variable.
    pub name: &'static str,
    /// The resolved value; of a secret only `set` or `unset`.
    pub value: String,
    /// `flag`, `file`, `environment`, `found file` or `default`
    pub source: &'static str,
    /// The file it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Every variable with its resolved value and where it came from.
#[must_use]
pub fn explain(settings: &Settings, raw: &RawValues) -> Vec<Row> {
    let row = |variable: &&'static env::Variable| {
        let source = raw.source(variable);
        Row {
            name: variable.name,
            value: (variable.show)(settings),
            source: source.word(),
            file: match source {
                Source::EnvFile(file) | Source::FoundEnvFile(file) => Some(path(file)),
                Source::Flag | Source::Environment | Source::Default => None,
            },
        }
    };
    env::ALL.iter().map(row).collect()
}

/// Names of settings that differ, by when the difference counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In force with the reload.
    pub now: Vec<&'static str>,
    /// Waiting for a restart.
    pub needs_restart: Vec<&'static str>,
}

/// What a reload from `old` to `new` changes.
#[must_use]
pub fn changes(old: &Settings, new: &Settings) -> Changes {
    let mut changes = Changes::default();
    // A `.env` found by default that comes or goes is read with a reload; a name given in flags or environment cannot
    // change while a process runs.
    for variable in env::ALL.iter().filter(|variable| variable.name != env::ENV_PATH.name) {
        let (shown, tokens) = ((variable.show)(old), (&old.proxy_tokens, &new.proxy_tokens));
        // What is shown of a secret does not say whether it changed.
        let same = shown == (variable.show)(new)
            && match variable.name {
                "KMI_PROXY_TOKEN" => tokens.0.same_unnamed(tokens.1),
                "KMI_PROXY_TOKENS" => tokens.0.same_named(tokens.1),
                _ => true,
            };
        match variable.takes_effect {
            _ if same => {}
            TakesEffect::Now | TakesEffect::NextCommand => changes.now.push(variable.name),
            TakesEffect::Restart => changes.needs_restart.push(variable.name),
        }
    }
    changes
}

/// All that is shown of a secret.
pub(crate) fn set(is_set: bool) -> String {
    if is_set { "set" } else { "unset" }.to_owned()
}

pub(crate) fn flag(on: bool) -> String {
    if on { "1" } else { "0" }.to_owned()
}

pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn addresses(addresses: &BTreeSet<IpAddr>) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

pub(crate) fn optional_path(found: Option<&PathBuf>) -> String {
    found.map(|found| path(found)).unwrap_or_default()
}

pub(crate) fn seconds(duration: Option<Duration>) -> String {
    duration.map_or(0, |duration| duration.as_secs()).to_string()
}

pub(crate) fn rate(limit: Option<u32>) -> String {
    limit.unwrap_or(0).to_string()
}

pub(crate) fn megabytes(bytes: usize) -> String {
    (bytes >> 20).to_string()
}

/// The zone's IANA name, else its offset, else `local`.
pub(crate) fn zone(zone: &TimeZone) -> String {
    match (zone.iana_name(), zone.to_fixed_offset()) {
        (Some(name), _) => name.to_owned(),
        (None, Ok(offset)) => {
            let sign = if offset.is_negative() { '-' } else { '+' };
            let minutes = offset.seconds().unsigned_abs() / 60;
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        }
        (None, Err(_)) => "local".to_owned(),
    }
}
