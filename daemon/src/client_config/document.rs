//! Where things stand in a client's config file: the provider in use and the two services.
//!
//! Both generations name it the same way [kimi-cli 1.50: config.py; kimi-code 2.1.0: config sections, 2026-11]:
//! `default_model` -> `models.NAME.provider` -> `providers.NAME`. kimi-code may also say `provider_id`, and falls
//! back to `default_provider`; its models may carry a `base_url` and `api_key` of their own.

use toml_edit::{Document, Item, TableLike};

use super::edit::LeftAlone;

/// A parsed config file that remembers where each value stands.
pub(super) struct Config<'a> {
    document: Document<&'a str>,
}

/// The provider that the client uses.
pub(super) struct InUse<'a> {
    pub(super) name: &'a str,
    pub(super) provider: &'a dyn TableLike,
    pub(super) model: Option<&'a dyn TableLike>,
}

/// Without a default model: the names that the clients' own set-up gives, then any provider that stands alone.
const USUAL_NAMES: [&str; 3] = ["managed:kimi-code", "kimi-for-coding", "moonshot-ai"];

impl<'a> Config<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, LeftAlone> {
        match Document::parse(text) {
            Ok(document) => Ok(Self { document }),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start.min(text.len()));
                let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                // the error's own text quotes the file and is dropped
                Err(LeftAlone::NotToml { line })
            }
        }
    }

    /// The provider in use.
    pub(super) fn in_use(&self) -> Result<InUse<'_>, LeftAlone> {
        let root = self.document.as_table();
        let providers = root.get("providers").and_then(Item::as_table_like).ok_or(LeftAlone::NoProvider)?;
        let named = |name: &str| {
            let (name, provider) = providers.iter().find(|(known, _)| *known == name)?;
            Some((name, provider.as_table_like()?))
        };
        let default_provider = text(root, "default_provider");
        let Some(model_name) = text(root, "default_model") else {
            let mut all =
                providers.iter().filter_map(|(name, provider)| Some((name, provider.as_table_like()?)));
            let only = match (all.next(), all.next()) {
                (Some(only), None) => Some(only),
                _ => None,
            };
            let (name, provider) = match default_provider {
                Some(name) => named(name),
                None => USUAL_NAMES.into_iter().find_map(named).or(only),
            }
            .ok_or(LeftAlone::NoProvider)?;
            return Ok(InUse { name, provider, model: None });
        };
        let model = table(root, "models").and_then(|models| table(models, model_name));
        let model = model.ok_or(LeftAlone::DanglingModel)?;
        let name = text(model, "provider_id").or_else(|| text(model, "provider")).or(default_provider);
        let (name, provider) = name.and_then(named).ok_or(LeftAlone::DanglingModel)?;
        Ok(InUse { name, provider, model: Some(model) })
    }

    /// What stands at a place: names of tables, then of the value.
    pub(super) fn find(&self, place: &[String]) -> Option<&Item> {
        let (last, tables) = place.split_last()?;
        let mut at: &dyn TableLike = self.document.as_table();
        for name in tables {
            at = table(at, name)?;
        }
        at.get(last)
    }

    /// A table below `services`.
    pub(super) fn service(&self, name: &str) -> Option<&dyn TableLike> {
        table(table(self.document.as_table(), "services")?, name)
    }
}

/// A member that is a table, inline or not.
pub(super) fn table<'a>(from: &'a dyn TableLike, name: &str) -> Option<&'a dyn TableLike> {
    from.get(name)?.as_table_like()
}

/// A member that is a text and not blank.
pub(super) fn text<'a>(from: &'a dyn TableLike, name: &str) -> Option<&'a str> {
    from.get(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}
