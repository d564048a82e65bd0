//! The edit itself, without IO: which values of a config file change, and their bytes.

use std::fmt;
use std::ops::Range;

use kmid_core::door::Tokens;
use kmid_core::key::{BaseUrl, Fingerprint, Secret};
use kmid_core::said::Said;
use kmid_core::{say, show_as_said};
use toml_edit::{Item, TableLike};

use super::address::{Address, OwnAddress};
use super::document::{Config, InUse, table, text};

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// The chosen key.
    pub secret: &'a Secret,
    /// Where it may be sent.
    pub base_url: &'a BaseUrl,
    /// kmid's own address, which is never written over.
    pub own: &'a OwnAddress,
}

/// A config file's text after the edit.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    /// The whole text; holds the key.
    pub text: String,
    /// Whether it differs from before.
    pub changed: bool,
    /// Parts that stay as they were, and why.
    pub left_alone: Vec<(Part, LeftAlone)>,
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("changed", &self.changed)
            .field("left_alone", &self.left_alone)
            .finish_non_exhaustive()
    }
}

/// A part of a config file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    File,
    /// The provider in use.
    Provider,
    /// `services.moonshot_search`
    Search,
    /// `services.moonshot_fetch`
    Fetch,
}

impl Part {
    fn said(self) -> Said {
        match self {
            Self::File => say!(part_file),
            Self::Provider => say!(part_provider),
            Self::Search => Said::plain("services.moonshot_search"),
            Self::Fetch => Said::plain("services.moonshot_fetch"),
        }
    }
}

/// Why a file or a part of it stays as it was. The text follows the name of the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeftAlone {
    /// It does not parse.
    NotToml {
        /// Where the parser stopped.
        line: usize,
    },
    /// It has no provider, or several and no word about which one is used.
    NoProvider,
    /// `default_model` leads nowhere.
    DanglingModel,
    /// It is kmid.
    PointsAtKmid,
    /// It signs in with OAuth.
    OAuth,
    /// Its key comes from the environment.
    FromEnvironment,
    /// It has no key to change.
    NoKey,
    /// The key is no text.
    KeyIsNoText,
    /// Where the client would send the key is not known.
    NoBaseUrl,
    /// The model overrules the provider.
    ModelOverrules,
    /// It belongs to somebody else.
    NotKimi,
}

impl LeftAlone {
    /// What follows the name of the part.
    fn said(self) -> Said {
        match self {
            Self::NotToml { line } => say!(left_not_toml, line = line),
            Self::NoProvider => say!(left_no_provider),
            Self::DanglingModel => say!(left_dangling_model),
            Self::PointsAtKmid => say!(left_points_at_kmid),
            Self::OAuth => say!(left_oauth),
            Self::FromEnvironment => say!(left_from_environment),
            Self::NoKey => say!(left_no_key),
            Self::KeyIsNoText => say!(left_key_is_no_text),
            Self::NoBaseUrl => say!(left_no_base_url),
            Self::ModelOverrules => say!(left_model_overrules),
            Self::NotKimi => say!(left_not_kimi),
        }
    }

    /// The whole sentence.
    pub(super) fn of(self, part: Part) -> Said {
        say!(of_part, part = part.said(), why = self.said())
    }
}

show_as_said!(LeftAlone);

/// Puts the key into a config file's text: `api_key` of the provider in use and of the two services, and their
/// `base_url` where the host differs. All other bytes stay.
///
/// Nothing is added: a part without an `api_key` or a `base_url` is left alone, because where a new line belongs
/// and where the client would send the key cannot be told for sure.
///
/// # Errors
/// When the text as a whole is left alone.
pub fn edit(text: &str, change: &Change<'_>) -> Result<Edit, LeftAlone> {
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let config = Config::parse(&text[bom..])?;
    let mut splices = Vec::new();
    let mut left_alone = Vec::new();
    let mut note = |part, outcome: Result<Vec<Splice>, LeftAlone>| match outcome {
        Ok(found) => splices.extend(found),
        Err(why) => left_alone.push((part, why)),
    };
    match config.in_use() {
        Ok(in_use) => note(Part::Provider, provider_splices(&in_use, change)),
        Err(why) => note(Part::File, Err(why)),
    }
    for (part, name, endpoint) in
        [(Part::Search, "moonshot_search", "/search"), (Part::Fetch, "moonshot_fetch", "/fetch")]
    {
        if let Some(service) = config.service(name) {
            note(part, splices_of(service, change, &format!("{}{endpoint}", change.base_url)));
        }
    }
    let edited = apply(text, bom, splices);
    let changed = edited != text;
    Ok(Edit { text: edited, changed, left_alone })
}

/// The text with new bytes at those places, which count from behind the byte order mark.
pub(super) fn apply(text: &str, bom: usize, mut splices: Vec<Splice>) -> String {
    splices.sort_by_key(|splice| splice.at.start);
    let mut edited = text.to_owned();
    for splice in splices.iter().rev() {
        edited.replace_range(bom + splice.at.start..bom + splice.at.end, &splice.with);
    }
    edited
}

/// What a config file is set to.
pub(super) struct Current {
    pub(super) provider: String,
    /// The upstream's name of the model in use, unless the provider is somebody else's.
    pub(super) model: Option<String>,
    pub(super) max_context_size: Option<u64>,
    /// The `type` of the provider that the default model leads to.
    pub(super) provider_type: Option<String>,
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) points_at_kmid: bool,
    /// Whether the proxy takes that key for a token, when it is kmid.
    pub(super) token_accepted: Option<bool>,
}

/// Reads which key a client is configured with.
pub(super) fn current(text_of_file: &str, own: &OwnAddress, tokens: &Tokens) -> Result<Current, LeftAlone> {
    let config = Config::parse(text_of_file.trim_start_matches('\u{feff}'))?;
    let InUse { name, provider, model } = config.in_use()?;
    let key = model
        .and_then(|model| text(model, "api_key"))
        .or_else(|| text(provider, "api_key"))
        .or_else(|| text(table(provider, "env")?, "KIMI_API_KEY"));
    let points_at_kmid = model.is_some_and(|model| points_at(model, own)) || points_at(provider, own);
    let ours = points_at_kmid || check_provider(&InUse { name, provider, model }, |_| false).is_ok();
    let provider_type = model.and_then(|_| text(provider, "type")).map(str::to_owned);
    let model = model.filter(|_| ours);
    Ok(Current {
        model: model.and_then(|model| text(model, "model")).map(str::to_owned),
        max_context_size: model
            .and_then(|model| model.get("max_context_size")?.as_integer())
            .and_then(|size| u64::try_from(size).ok()),
        provider: name.to_owned(),
        provider_type,
        fingerprint: key.map(|key| Fingerprint::of(&Secret::new(key))),
        points_at_kmid,
        token_accepted: key
            .filter(|_| points_at_kmid)
            .map(|key| tokens.is_empty() || tokens.find(&[Some(key.as_bytes())]).is_some()),
    })
}

/// New bytes for a place in the text.
pub(super) struct Splice {
    pub(super) at: Range<usize>,
    pub(super) with: String,
}

fn provider_splices(in_use: &InUse<'_>, change: &Change<'_>) -> Result<Vec<Splice>, LeftAlone> {
    let InUse { provider, model, .. } = *in_use;
    if let Some(model) = model {
        if points_at(model, change.own) {
            return Err(LeftAlone::PointsAtKmid);
        }
        let elsewhere = address(model).is_some_and(|address| !address.same_host(change.base_url));
        if model.contains_key("api_key") || model.contains_key("oauth") || elsewhere {
            return Err(LeftAlone::ModelOverrules);
        }
    }
    check_provider(in_use, |address| address.same_host(change.base_url) || address.is_kmid(change.own))?;
    splices_of(provider, change, &url_for(provider, &change.base_url.to_string()))
}

/// Whether the provider is Kimi's: by its host, its type, or its name where it has no type; `known` is asked about
/// other hosts.
pub(super) fn check_provider(in_use: &InUse<'_>, known: impl Fn(&Address) -> bool) -> Result<(), LeftAlone> {
    let kind = text(in_use.provider, "type");
    let host = address(in_use.provider).is_some_and(|address| address.is_kimi() || known(&address));
    let name = kind.is_none() && ["kimi", "moonshot"].iter().any(|word| in_use.name.contains(word));
    if host || name || kind == Some("kimi") { Ok(()) } else { Err(LeftAlone::NotKimi) }
}

/// The URL as this provider wants it: clients of the Anthropic wire add /v1/messages themselves.
pub(super) fn url_for(provider: &dyn TableLike, full: &str) -> String {
    let bare = address(provider).is_some_and(|address| !address.path().ends_with("/v1"));
    let anthropic = text(provider, "type") == Some("anthropic") && bare;
    let shorter = full.strip_suffix("/v1").filter(|_| anthropic);
    shorter.unwrap_or(full).to_owned()
}

/// The same for a provider and a service: key, and URL where the host differs.
fn splices_of(part: &dyn TableLike, change: &Change<'_>, url: &str) -> Result<Vec<Splice>, LeftAlone> {
    if points_at(part, change.own) {
        return Err(LeftAlone::PointsAtKmid);
    }
    let (key, old_url) = check_part(part)?;
    let old_address = old_url.as_str().and_then(Address::parse).ok_or(LeftAlone::NoBaseUrl)?;
    let mut splices = Vec::new();
    splices.extend(replacement(key, change.secret.expose()).ok_or(LeftAlone::KeyIsNoText)?);
    if !old_address.same_host(change.base_url) {
        splices.extend(replacement(old_url, url).ok_or(LeftAlone::NoBaseUrl)?);
    }
    Ok(splices)
}

/// The key and the URL of a part, if both stand in the file and are what the client uses.
pub(super) fn check_part(part: &dyn TableLike) -> Result<(&Item, &Item), LeftAlone> {
    if part.contains_key("oauth") {
        return Err(LeftAlone::OAuth);
    }
    let in_env = |name| table(part, "env").is_some_and(|env| env.contains_key(name));
    if text(part, "api_key_env").is_some() || (text(part, "api_key").is_none() && in_env("KIMI_API_KEY")) {
        return Err(LeftAlone::FromEnvironment);
    }
    let key = part.get("api_key").ok_or(LeftAlone::NoKey)?;
    let old_url = part.get("base_url").ok_or(LeftAlone::NoBaseUrl)?;
    Ok((key, old_url))
}

/// New bytes for a string that differs; one that is the same keeps its spelling. `None` when it is no string.
pub(super) fn replacement(item: &Item, new: &str) -> Option<Option<Splice>> {
    let at = item.span()?;
    Some((item.as_str()? != new).then(|| Splice { at, with: basic_string(new) }))
}

fn address(part: &dyn TableLike) -> Option<Address> {
    text(part, "base_url").or_else(|| text(table(part, "env")?, "KIMI_BASE_URL")).and_then(Address::parse)
}

fn points_at(part: &dyn TableLike, own: &OwnAddress) -> bool {
    address(part).is_some_and(|address| address.is_kmid(own))
}

/// A TOML basic string.
fn basic_string(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
