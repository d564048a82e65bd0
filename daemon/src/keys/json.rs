//! `.json` and `.json.bak` key files: a client's config as JSON.

use kmid_core::say;

use super::providers::ClientConfig;
use super::{Draft, Refusal};

pub(super) fn read(text: &str) -> Result<Draft, Refusal> {
    // The error's own text shows values, and a key may be among them.
    let config: ClientConfig = serde_json::from_str(text)
        .map_err(|error| say!(no_json, line = error.line(), column = error.column()))?;
    config.into_draft()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_as_toml() {
        let text = r#"{"other": [1, {"x": null}], "providers": {
            "zeta": {"api_key": "k-zeta", "base_url": "https://x/v1"}, "alpha": {"api_key": "k-alpha"},
            "managed:kimi-code": {"api_key": null, "oauth": {}}, "odd": 3}}"#;
        let draft = read(text).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((draft.value.as_str(), draft.base_url.as_deref()), ("k-zeta", Some("https://x/v1")));
        let draft =
            read(r#"{"providers":{"a":{"api_key":"a"},"kimi-for-coding":{"env":{"KIMI_API_KEY":"k"}}}}"#);
        assert_eq!(draft.unwrap_or_else(|why| panic!("{why}")).value.as_str(), "k");
    }

    #[test]
    fn refusals_name_the_place_only() {
        for text in
            [r#"{"providers": "canary"}"#, r#"{"providers": {"x": {"api_key": "canary"#, "canary", "[1"]
        {
            let why = read(text).err().unwrap();
            assert!(why.contains("line 1, column") && !why.contains("canary"), "{why}");
        }
        assert!(read("{}").err().unwrap().contains("no provider"));
    }
}
