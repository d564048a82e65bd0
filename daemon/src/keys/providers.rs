//! The part of a Kimi client's config that names keys, in TOML and in JSON.

use std::fmt;

use kmid_core::say;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use zeroize::Zeroizing;

use super::{Draft, Refusal};

/// The names that the Kimi clients give their own providers, best first (kimi-cli 1.50 and kimi-code 2.1, 2026-11).
const KNOWN: [&str; 3] = ["managed:kimi-code", "kimi-for-coding", "moonshot-ai"];

/// A client's config file; everything else in it is not looked at.
#[derive(Deserialize, Default)]
pub(super) struct ClientConfig {
    #[serde(default)]
    providers: Providers,
}

/// Providers in the order of the file.
#[derive(Default)]
struct Providers(Vec<(String, Provider)>);

#[derive(Deserialize, Default)]
struct Provider {
    api_key: Option<Loose>,
    base_url: Option<Loose>,
    env: Option<LooseEnv>,
}

/// A text, or something that belongs to a provider we do not understand and need not.
#[derive(Deserialize)]
#[serde(untagged)]
enum Loose {
    Text(Zeroizing<String>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LooseEnv {
    Table {
        #[serde(rename = "KIMI_API_KEY")]
        api_key: Option<Loose>,
        #[serde(rename = "KIMI_BASE_URL")]
        base_url: Option<Loose>,
    },
    Other(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LooseProvider {
    Provider(Provider),
    Other(IgnoredAny),
}

impl Loose {
    fn text(&self) -> Option<&str> {
        match self {
            Loose::Text(text) => Some(text.trim()).filter(|text| !text.is_empty()),
            Loose::Other(IgnoredAny) => None,
        }
    }
}

impl Provider {
    fn own_or_env(&self, own: Option<&Loose>, env: fn(&LooseEnv) -> Option<&Loose>) -> Option<String> {
        let text =
            own.and_then(Loose::text).or_else(|| self.env.as_ref().and_then(env).and_then(Loose::text));
        text.map(str::to_owned)
    }

    fn api_key(&self) -> Option<String> {
        self.own_or_env(self.api_key.as_ref(), |env| match env {
            LooseEnv::Table { api_key, .. } => api_key.as_ref(),
            LooseEnv::Other(IgnoredAny) => None,
        })
    }

    fn base_url(&self) -> Option<String> {
        self.own_or_env(self.base_url.as_ref(), |env| match env {
            LooseEnv::Table { base_url, .. } => base_url.as_ref(),
            LooseEnv::Other(IgnoredAny) => None,
        })
    }
}

impl<'de> Deserialize<'de> for Providers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Providers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of providers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Providers, A::Error> {
                let mut found = Vec::new();
                while let Some((name, provider)) = map.next_entry()? {
                    if let LooseProvider::Provider(provider) = provider {
                        found.push((name, provider));
                    }
                }
                Ok(Providers(found))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl ClientConfig {
    /// The provider whose key is meant: the clients' own ones first, then the first with a key.
    pub(super) fn into_draft(self) -> Result<Draft, Refusal> {
        let with_key: Vec<_> =
            self.providers.0.iter().filter_map(|(n, p)| Some((n, p, Zeroizing::new(p.api_key()?)))).collect();
        let rank = |name: &str| KNOWN.iter().position(|known| *known == name).unwrap_or(KNOWN.len());
        let chosen = with_key.into_iter().min_by_key(|(name, ..)| rank(name));
        let (_, provider, value) = chosen.ok_or_else(|| say!(no_provider_has_key))?;
        let base_url = provider.base_url().map(with_version);
        Ok(Draft { value, base_url, ..Draft::default() })
    }
}

/// Clients on the Anthropic wire are given `.../coding` and add `/v1` themselves (kimi-upstream.md, 2026-11).
fn with_version(url: String) -> String {
    let bare = url.trim_end_matches('/');
    let ours = ["https://api.kimi.com/coding", "https://api.kimi.ai/coding"];
    if ours.contains(&bare) { format!("{bare}/v1") } else { url }
}
