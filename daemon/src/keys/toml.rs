//! `.toml` key files: a Kimi client's `config.toml`.

use kmid_core::say;

use super::providers::ClientConfig;
use super::{Draft, Refusal};

pub(super) fn read(text: &str) -> Result<Draft, Refusal> {
    let config: ClientConfig = toml::from_str(text).map_err(|error| {
        // The error's own text shows the line, and a key may stand in it.
        match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => say!(no_toml_from_line, line = before.matches('\n').count() + 1),
            None => say!(no_toml),
        }
    })?;
    config.into_draft()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_and_url(text: &str) -> (String, Option<String>) {
        let draft = read(text).unwrap_or_else(|why| panic!("{why}"));
        (draft.value.to_string(), draft.base_url)
    }

    #[test]
    fn the_providers_in_their_order() {
        let others = "[providers.zeta]\napi_key='k-zeta'\n[providers.alpha]\napi_key='k-alpha'\n";
        assert_eq!(key_and_url(others).0, "k-zeta", "the first of the file, not of the alphabet");
        let mut text = others.to_owned();
        for name in ["moonshot-ai", "kimi-for-coding", "managed:kimi-code"] {
            text += &format!("[providers.\"{name}\"]\napi_key='k-{name}'\nbase_url='https://x/{name}'\n");
            assert_eq!(key_and_url(&text), (format!("k-{name}"), Some(format!("https://x/{name}"))));
        }
    }

    #[test]
    fn a_provider_without_a_key_is_passed_over() {
        let text = "default_model = 'k3'\nprovider = 1\n[providers.\"managed:kimi-code\"]\noauth = { storage = 'file' }\n\
                    api_key = ''\n[providers.odd]\napi_key = 7\n[providers.mine]\ntype = 'kimi'\n\
                    [providers.mine.env]\nKIMI_API_KEY = 'k-env'\nKIMI_BASE_URL = 'https://api.kimi.ai/coding/'\n";
        assert_eq!(key_and_url(text), ("k-env".into(), Some("https://api.kimi.ai/coding/v1".into())));
        assert_eq!(key_and_url("[providers]\nx = 1\ny = 2026-11-01\nz = { api_key = 'k', env = 3 }").0, "k");
    }

    #[test]
    fn refusals_name_the_line_only() {
        for (text, part) in [
            ("", "no provider"),
            ("[providers.x]\nbase_url = 'https://x'", "no provider"),
            ("a = 1\n[providers.x]\napi_key = canary\n", "line 3"),
            ("providers = 'canary'", "line 1"),
            ("[providers.x]\napi_key = 'canary", "line 2"),
        ] {
            let why = read(text).err().unwrap();
            assert!(why.contains(part) && !why.contains("canary"), "{why}");
        }
    }
}
