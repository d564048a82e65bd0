//! Labels: from a file's name or from the person, made safe for headers, logs and terminals.

use std::collections::HashSet;

/// Longest label, in characters.
const LONGEST: usize = 64;

/// The text as a label: no control or invisible characters, one line, not too long; `None` if nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    let visible: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let label: String = visible.trim().chars().take(LONGEST).collect();
    Some(label.trim_end().to_owned()).filter(|label| !label.is_empty())
}

/// Control characters, and those that reorder or hide text on a terminal.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The label of a file that names none: its name without `config` at the end, else its folder's name.
pub(super) fn of_file(stem: &str, folder: Option<&str>) -> String {
    let short = stem.strip_suffix("config").unwrap_or(stem).trim_end_matches(['-', '_']);
    [Some(short), folder, Some(stem)]
        .into_iter()
        .flatten()
        .find_map(clean)
        .unwrap_or_else(|| "key".to_owned())
}

/// Gives out labels, each once; labels that differ only in case count as the same.
#[derive(Debug, Default)]
pub(super) struct Labels(HashSet<String>);

impl Labels {
    /// The label itself, or with `-2`, `-3` ... when it is taken.
    pub(super) fn give(&mut self, label: String) -> String {
        let mut given = label.clone();
        let mut number = 2;
        while !self.0.insert(given.to_lowercase()) {
            given = format!("{label}-{number}");
            number += 1;
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_of_files() {
        for (stem, folder, label) in [
            ("alpha", None, "alpha"),
            ("alpha-config", None, "alpha"),
            ("alpha_config", None, "alpha"),
            ("alphaconfig", None, "alpha"),
            ("alpha-_", None, "alpha"),
            ("my.key", None, "my.key"),
            ("config", Some("work"), "work"),
            ("config", None, "config"),
            ("", Some("work"), "work"),
            ("", None, "key"),
            ("рабочий-config", None, "рабочий"),
            ("a\u{202e}b\nc", None, "abc"),
        ] {
            assert_eq!(of_file(stem, folder), label, "{stem:?}");
        }
    }

    #[test]
    fn taken_labels_are_counted_up() {
        let mut labels = Labels::default();
        let given: Vec<String> =
            ["a", "A", "a-2", "a"].map(|label| labels.give(label.to_owned())).into_iter().collect();
        assert_eq!(given, ["a", "A-2", "a-2-2", "a-3"]);
    }

    proptest! {
        #[test]
        fn a_clean_label_fits_into_a_header_and_stays_clean(text in any::<String>()) {
            if let Some(label) = clean(&text) {
                prop_assert!(label.chars().count() <= LONGEST);
                prop_assert!(http::HeaderValue::from_str(&label).is_ok() || !label.is_ascii());
                prop_assert!(http::HeaderValue::from_bytes(label.as_bytes()).is_ok());
                prop_assert_eq!(clean(&label), Some(label));
            }
        }
    }
}
