//! The key directory: files -> keys, and what could not be used.
//!
//! Each format's reader turns a text into a draft or a reason; `load` walks the directory and makes keys of the
//! drafts; `watch` says when to load again. No reason and no issue ever repeats what a file holds.

mod env;
mod file;
mod json;
mod label;
pub mod load;
mod permissions;
mod providers;
mod toml;
pub mod watch;

use kmid_core::said::Said;
use zeroize::Zeroizing;

pub use load::{Loaded, Rules, load};
pub use watch::Watcher;

/// A key as its file describes it, not yet checked. No `Debug`: it holds the key.
#[derive(Default)]
struct Draft {
    value: Zeroizing<String>,
    /// In place of the key: its name in the keyring.
    in_keyring: Option<String>,
    label: Option<String>,
    base_url: Option<String>,
    priority: i32,
    disabled: bool,
    email: Option<String>,
    /// Things to tell the person, although the key is good.
    remarks: Vec<Said>,
}

/// Why a file gives no key, as the end of a sentence that starts with its path; never what the file holds.
type Refusal = Said;

/// The four formats, by a file's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Env,
    Toml,
    Json,
}

impl Format {
    const ENDINGS: [(&'static str, Format); 4] = [
        (".env", Format::Env),
        (".toml", Format::Toml),
        (".json", Format::Json),
        (".json.bak", Format::Json),
    ];

    /// The format of a file and its name without the ending; `None` if it is no key file.
    fn of(name: &str) -> Option<(Format, &str)> {
        // What macOS and Emacs leave beside a file under its own ending is not the file.
        if name.starts_with("._") || name.starts_with(".#") {
            return None;
        }
        Self::ENDINGS.iter().find_map(|(ending, format)| {
            let stem = name.len().checked_sub(ending.len()).filter(|at| name.is_char_boundary(*at))?;
            name[stem..].eq_ignore_ascii_case(ending).then(|| (*format, &name[..stem]))
        })
    }

    fn read(self, text: &str) -> Result<Draft, Refusal> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Format::Env => env::read(text),
            Format::Toml => toml::read(text),
            Format::Json => json::read(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn formats_by_ending() {
        for (name, expected) in [
            ("a.env", Some((Format::Env, "a"))),
            (".env", Some((Format::Env, ""))),
            ("a.b.TOML", Some((Format::Toml, "a.b"))),
            ("a.json.bak", Some((Format::Json, "a"))),
            ("a.json", Some((Format::Json, "a"))),
            ("a.bak", None),
            ("aenv", None),
            ("a.env~", None),
            ("._a.env", None),
            (".#a.env", None),
            ("é.env", Some((Format::Env, "é"))),
            ("éenv", None),
        ] {
            assert_eq!(Format::of(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>(), name in any::<String>()) {
            Format::of(&name);
            for format in [Format::Env, Format::Toml, Format::Json] {
                let _ = format.read(&text);
            }
        }

        #[test]
        fn a_refusal_never_repeats_the_file(
            before in "[ \\[\\]{}=\"':,.\n$\\\\a-c1]{0,30}",
            after in "[ \\[\\]{}=\"':,.\n$\\\\a-c1]{0,30}",
            shape in 0..6usize,
        ) {
            let canary = ["canary", "api_key = canary", "\"api_key\": \"canary\"", "KMI_API_KEY=canary", "[providers.canary]", "KMI_canary=1"];
            let text = format!("{before}{}{after}", canary[shape]);
            for format in [Format::Env, Format::Toml, Format::Json] {
                let said = match format.read(&text) {
                    Ok(draft) => draft.remarks.iter().map(ToString::to_string).collect(),
                    Err(refusal) => refusal.to_string(),
                };
                prop_assert!(!said.contains("canary"), "{said}");
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_a_crash() {
        for format in [Format::Env, Format::Toml, Format::Json] {
            for text in ["[".repeat(500_000), format!("a={}", "[".repeat(500_000)), "{\"a\":".repeat(100_000)]
            {
                assert!(format.read(&text).is_err());
            }
        }
    }
}
