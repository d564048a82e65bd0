//! Which texts are secret on this machine: what stands in key files, settings and the environment.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::commands::doctor::key_files;

/// A larger file is none that kmid would read keys from.
const MOST_BYTES: u64 = 1024 * 1024;
/// A shorter text would be found in words that are no secret.
const SHORTEST: usize = 4;
/// Ends of the names whose values are secret or personal, in lower case.
const NAMES: [&str; 6] = ["key", "token", "secret", "password", "email", "authorization"];

/// Holds secrets with names in front of them, which are none.
const NAMED_TOKENS: &str = "KMI_PROXY_TOKENS";

/// Where to look.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Folders of key files.
    pub(super) key_folders: Vec<PathBuf>,
    /// Settings files and configs of clients.
    pub(super) files: Vec<PathBuf>,
}

/// Every secret that is found; what cannot be read holds nothing that we could have printed.
pub(super) fn known(sources: &Sources) -> Vec<String> {
    let mut files = sources.files.clone();
    files.extend(sources.key_folders.iter().flat_map(|folder| key_files(folder)));
    files.sort();
    files.dedup();
    let mut found: Vec<String> = files.iter().flat_map(|file| in_text(&read(file))).collect();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if name == NAMED_TOKENS {
            found.extend(named(&value));
        } else if is_secret(&name) {
            found.push(value.into_owned());
        }
    }
    found.retain(|secret| secret.chars().count() >= SHORTEST);
    found.sort();
    found.dedup();
    found
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    // A pipe would never end.
    if path.is_file()
        && let Ok(file) = File::open(path)
    {
        let _ = file.take(MOST_BYTES).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    NAMES.iter().any(|end| name.ends_with(end))
}

/// Values of secret names in `NAME=value`, `name = "value"` and `"name": "value"`, wherever on a line they stand: a
/// file that does not parse has secrets, too.
fn in_text(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, _) in line.match_indices(['=', ':']) {
            let name = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let start = name.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
            let name = &name[start.map_or(0, |start| start + 1).min(name.len())..];
            if name == NAMED_TOKENS {
                found.extend(named(&line[at + 1..]));
            } else if is_secret(name) {
                found.extend(values(line[at + 1..].trim_start()));
            }
        }
    }
    found
}

/// The tokens of `laptop:TOKEN,desktop:TOKEN`, quoted or not.
fn named(value: &str) -> Vec<String> {
    let tokens = value.split([',', '"', '\'', ' ', '\t']).filter_map(|entry| entry.split_once(':'));
    tokens.map(|(_, token)| token.trim().to_owned()).collect()
}

/// What a value may be: the quoted text, or the bare one with and without what could be a comment.
fn values(rest: &str) -> Vec<String> {
    let rest = rest.trim_end();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let inner = &rest[1..];
        return vec![inner.split(quote).next().unwrap_or(inner).to_owned()];
    }
    let bare = rest.split([' ', '\t', ',', '}', '#']).next().unwrap_or(rest);
    vec![rest.to_owned(), bare.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_names_in_every_format() {
        for (text, expected) in [
            ("KMI_API_KEY=one-1234", &["one-1234", "one-1234"][..]),
            ("export KMI_API_KEY='two 1234' # mine", &["two 1234"]),
            ("KMI_API_KEY=three # mine", &["three # mine", "three"]),
            ("[providers.x]\napi_key = \"four\"\nbase_url = \"https://h\"", &["four"]),
            ("env = { KIMI_API_KEY = \"five\", KIMI_BASE_URL = \"u\" }", &["five"]),
            ("{\"a\": {\"api_key\":\"six\", \"access_token\" : \"seven\"}}", &["six", "seven"]),
            ("KMI_PROXY_TOKENS=laptop:nine-1, desktop:te:n", &["nine-1", "te:n"]),
            ("export KMI_PROXY_TOKENS='laptop:nine-1,desktop:ten'", &["nine-1", "ten"]),
            ("KMI_ACCOUNT_EMAIL=eight", &["eight", "eight"]),
            ("KMI_KEY_LABEL=alpha\nKMI_KEY_PRIORITY=1\nKMI_DRY_RUN=0", &[]),
            ("ключ = 1\n=\n:\n\"", &[]),
        ] {
            assert_eq!(in_text(text), expected, "{text}");
        }
    }
}
