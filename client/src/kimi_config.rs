//! Which key the Kimi clients on this machine are configured with. Reading only: kmid does the writing.

use std::path::{Path, PathBuf};

use kmid_core::key::{Fingerprint, Secret};
use toml::Table;

/// A config is a few KB; nothing near this is one.
const MAX_SIZE: u64 = 1024 * 1024;

/// Providers in the order in which one is taken when the config does not say which is in use
/// (spec of the key files; kimi-cli and kimi-code configs, 2026-11).
const PREFERRED: [&str; 3] = ["managed:kimi-code", "kimi-for-coding", "moonshot-ai"];

/// The provider in use of one client's config.
#[derive(Debug)]
pub(crate) struct Configured {
    /// The config file.
    pub(crate) path: PathBuf,
    key: Option<Secret>,
    base_url: Option<String>,
}

impl Configured {
    /// The fingerprint of the key written there.
    pub(crate) fn fingerprint(&self) -> Option<String> {
        self.key.as_ref().map(|key| Fingerprint::of(key).to_string())
    }

    /// Whether the client talks to the proxy at this URL (on either wire: the Anthropic base has no `/v1`).
    pub(crate) fn points_at(&self, proxy_url: &str) -> bool {
        let Some(base) = self.base_url.as_deref() else { return false };
        let base = base.trim_end_matches('/');
        base == proxy_url || Some(base) == proxy_url.strip_suffix("/v1")
    }
}

/// The configs of both clients, as far as they exist and can be read: `~/.kimi` (`KIMI_SHARE_DIR`) of kimi-cli and
/// `~/.kimi-code` (`KIMI_CODE_HOME`) of kimi-code (2026-11).
pub(crate) fn read_all() -> Vec<Configured> {
    let home = std::env::home_dir();
    let folder = |variable: &str, default: &str| {
        std::env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .or_else(|| Some(home.as_ref()?.join(default)))
    };
    [folder("KIMI_CODE_HOME", ".kimi-code"), folder("KIMI_SHARE_DIR", ".kimi")]
        .into_iter()
        .flatten()
        .filter_map(|folder| read(&folder.join("config.toml")))
        .collect()
}

fn read(path: &Path) -> Option<Configured> {
    if std::fs::metadata(path).ok()?.len() > MAX_SIZE {
        return None;
    }
    parse(path, &std::fs::read_to_string(path).ok()?)
}

fn parse(path: &Path, text: &str) -> Option<Configured> {
    let config: Table = text.trim_start_matches('\u{feff}').parse().ok()?;
    let provider = in_use(&config)?;
    let field =
        |name: &str| provider.get(name).and_then(toml::Value::as_str).filter(|value| !value.is_empty());
    Some(Configured {
        path: path.to_owned(),
        key: field("api_key").map(Secret::new),
        base_url: field("base_url").map(str::to_owned),
    })
}

/// The provider of the default model, else a preferred one, else the first with a key.
fn in_use(config: &Table) -> Option<&Table> {
    let providers = config.get("providers")?.as_table()?;
    let of_default_model = || {
        let model = config.get("default_model")?.as_str()?;
        let name = config.get("models")?.as_table()?.get(model)?.as_table()?.get("provider")?.as_str()?;
        providers.get(name)?.as_table()
    };
    let has_key = |provider: &&Table| {
        provider.get("api_key").and_then(toml::Value::as_str).is_some_and(|k| !k.is_empty())
    };
    of_default_model()
        .or_else(|| PREFERRED.iter().find_map(|name| providers.get(*name)?.as_table()))
        .or_else(|| providers.values().filter_map(toml::Value::as_table).find(has_key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        default_model = "k3"
        [models.k3]
        provider = "second"
        [providers.kimi-for-coding]
        api_key = "sk-kimi-first"
        base_url = "https://api.kimi.com/coding/v1"
        [providers.second]
        api_key = "sk-kimi-second"
        base_url = "http://127.0.0.1:54123/kmi-rotor/v1/"
    "#;

    fn configured(text: &str) -> Option<Configured> {
        parse(Path::new("config.toml"), text)
    }

    #[test]
    fn the_provider_of_the_default_model_is_in_use() {
        let second = configured(CONFIG).unwrap();
        assert_eq!(second.fingerprint(), Some(Fingerprint::of(&Secret::new("sk-kimi-second")).to_string()));
        assert!(second.points_at("http://127.0.0.1:54123/kmi-rotor/v1"));
        assert!(!second.points_at("http://127.0.0.1:5412/kmi-rotor/v1"));
    }

    #[test]
    fn without_a_default_model_the_preferred_provider_counts() {
        let first = configured(&CONFIG.replace("default_model", "other")).unwrap();
        assert_eq!(first.fingerprint(), Some(Fingerprint::of(&Secret::new("sk-kimi-first")).to_string()));
        assert!(!first.points_at("http://127.0.0.1:54123/kmi-rotor/v1"));
    }

    #[test]
    fn what_does_not_fit_is_no_config() {
        for text in ["", "providers = 3", "[providers", "[providers.x]\napi_key = 3"] {
            assert!(configured(text).is_none_or(|config| config.fingerprint().is_none()), "{text}");
        }
    }

    #[test]
    fn debug_output_keeps_the_key_to_itself() {
        assert!(!format!("{:?}", configured(CONFIG)).contains("sk-kimi"));
    }
}
