//! The edit that points a client at kmid for good, and its undoing. No IO.

use kmid_core::key::Secret;
use serde::{Deserialize, Serialize};
use toml_edit::{Item, TableLike};

use super::document::Config;
use super::edit::{LeftAlone, Part, Splice, apply, check_part, check_provider, replacement, url_for};

/// What a client sends as its key when the proxy wants no token: kmid replaces it.
pub const PLACEHOLDER: &str = "kmi";

/// What is written into a client's config.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The proxy's URL.
    pub url: String,
    /// The proxy's token, or [`PLACEHOLDER`].
    pub key: Secret,
}

/// A value that was replaced; part of the record beside the file, which is readable for its owner only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Replaced {
    /// Names of tables, then of the value.
    place: Vec<String>,
    /// The old value as the file spelled it, with its quotes.
    old: String,
    /// The new value, without quotes: a client may spell it anew when it saves its file.
    new: String,
}

/// A value that changes, fit to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueChange {
    /// Such as `providers.p.base_url`.
    pub place: String,
    /// Counted from 1.
    pub line: usize,
    /// The value before; a key is masked.
    pub from: String,
    /// The value after; a key is masked.
    pub to: String,
}

/// A text that points at kmid.
pub(super) struct Wired {
    pub(super) text: String,
    /// The name of the provider in use.
    pub(super) provider: String,
    pub(super) replaced: Vec<Replaced>,
    pub(super) changes: Vec<ValueChange>,
    /// Services that stay as they were.
    pub(super) left_alone: Vec<(Part, LeftAlone)>,
}

/// A text with our values taken back.
pub(super) struct Undone {
    pub(super) text: String,
    pub(super) changes: Vec<ValueChange>,
    /// Values that are somebody else's by now and stay.
    pub(super) stays: Vec<String>,
}

/// Points the provider in use, and the search and fetch services beside it, at kmid. All other bytes stay. When the
/// provider cannot be pointed there, nothing is changed at all.
pub(super) fn wire(text: &str, wiring: &Wiring) -> Result<Wired, (Part, LeftAlone)> {
    let bom = bom(text);
    let config = Config::parse(&text[bom..]).map_err(|why| (Part::File, why))?;
    let in_use = config.in_use().map_err(|why| (Part::File, why))?;
    let of_provider = |why| (Part::Provider, why);
    if in_use
        .model
        .is_some_and(|model| ["api_key", "oauth", "base_url"].iter().any(|name| model.contains_key(name)))
    {
        return Err(of_provider(LeftAlone::ModelOverrules));
    }
    check_provider(&in_use, |_| false).map_err(of_provider)?;
    let mut edit = Editor { text, bom, splices: Vec::new(), replaced: Vec::new(), changes: Vec::new() };
    let url = url_for(in_use.provider, &wiring.url);
    edit.part(&["providers", in_use.name], in_use.provider, &url, wiring).map_err(of_provider)?;
    let mut left_alone = Vec::new();
    for (part, name, endpoint) in
        [(Part::Search, "moonshot_search", "/search"), (Part::Fetch, "moonshot_fetch", "/fetch")]
    {
        let Some(service) = config.service(name) else { continue };
        let url = format!("{}{endpoint}", wiring.url);
        if let Err(why) = edit.part(&["services", name], service, &url, wiring) {
            left_alone.push((part, why));
        }
    }
    edit.changes.sort_by_key(|change| change.line);
    Ok(Wired {
        text: apply(text, bom, edit.splices),
        provider: in_use.name.to_owned(),
        replaced: edit.replaced,
        changes: edit.changes,
        left_alone,
    })
}

/// Puts back every value that is still ours.
pub(super) fn undo(text: &str, replaced: &[Replaced]) -> Result<Undone, LeftAlone> {
    let bom = bom(text);
    let config = Config::parse(&text[bom..])?;
    let (mut splices, mut changes, mut stays) = (Vec::new(), Vec::new(), Vec::new());
    for one in replaced {
        let ours = config.find(&one.place).filter(|item| item.as_str() == Some(one.new.as_str()));
        match ours.and_then(Item::span) {
            Some(at) => {
                let old: Option<toml_edit::Value> = one.old.parse().ok();
                let old = old.as_ref().and_then(toml_edit::Value::as_str).unwrap_or_default();
                changes.push(shown(&text[bom..], at.start, &one.place, &one.new, old));
                splices.push(Splice { at, with: one.old.clone() });
            }
            None => stays.push(spelled(&one.place)),
        }
    }
    changes.sort_by_key(|change| change.line);
    Ok(Undone { text: apply(text, bom, splices), changes, stays })
}

struct Editor<'a> {
    text: &'a str,
    bom: usize,
    splices: Vec<Splice>,
    replaced: Vec<Replaced>,
    changes: Vec<ValueChange>,
}

impl Editor<'_> {
    /// Both values of a part, or neither.
    fn part(
        &mut self,
        table: &[&str],
        part: &dyn TableLike,
        url: &str,
        wiring: &Wiring,
    ) -> Result<(), LeftAlone> {
        let (key, old_url) = check_part(part)?;
        let new_url = replacement(old_url, url).ok_or(LeftAlone::NoBaseUrl)?;
        let new_key = replacement(key, wiring.key.expose()).ok_or(LeftAlone::KeyIsNoText)?;
        for (name, item, new, splice) in
            [("base_url", old_url, url, new_url), ("api_key", key, wiring.key.expose(), new_key)]
        {
            let Some(splice) = splice else { continue };
            let place: Vec<String> = table.iter().chain(&[name]).map(|&part| part.to_owned()).collect();
            let text = &self.text[self.bom..];
            let old = item.as_str().unwrap_or_default();
            self.changes.push(shown(text, splice.at.start, &place, old, new));
            self.replaced.push(Replaced {
                place,
                old: text[splice.at.clone()].to_owned(),
                new: new.to_owned(),
            });
            self.splices.push(splice);
        }
        Ok(())
    }
}

fn bom(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

fn shown(text: &str, at: usize, place: &[String], from: &str, to: &str) -> ValueChange {
    let is_key = place.last().is_some_and(|name| name == "api_key");
    let fit = |value: &str| {
        if !is_key {
            shown_url(value)
        } else if value == PLACEHOLDER || value.is_empty() {
            value.to_owned()
        } else {
            Secret::new(value).masked()
        }
    };
    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    ValueChange { place: spelled(place), line, from: fit(from), to: fit(to) }
}

/// An address without what may be a secret in it: a password before an @, and anything behind the path.
fn shown_url(url: &str) -> String {
    let end = url.find(['?', '#']).map_or(url.len(), |mark| mark + 1);
    let (address, rest) = url.split_at(end);
    let address = if address.contains('@') { Secret::new(address).masked() } else { address.to_owned() };
    if rest.is_empty() { address } else { address + "..." }
}

/// A place as TOML spells it.
fn spelled(place: &[String]) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let one = |name: &String| {
        if !name.is_empty() && name.chars().all(bare) { name.clone() } else { format!("{name:?}") }
    };
    place.iter().map(one).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
