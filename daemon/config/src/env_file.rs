//! A settings file: reading it, and taking over what it says.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kmid_core::said::Said;
use kmid_core::say;
use zeroize::Zeroizing;

use crate::dotenv::{self, DotEnv};
use crate::env;
use crate::issue::Issue;
use crate::resolve::{RawValues, Source};

/// A settings file has a few kilobytes.
const LONGEST: u64 = 1 << 20;

/// Why a settings file cannot be read, as the end of a sentence that starts with its path.
#[derive(Debug)]
pub(crate) enum Unreadable {
    Missing,
    NotAFile,
    TooLarge,
    NotText,
    Io(io::Error),
}

impl Unreadable {
    pub(crate) fn said(&self) -> Said {
        match self {
            Self::Missing => say!(file_missing),
            Self::NotAFile => say!(file_is_none),
            Self::TooLarge => say!(file_too_large),
            Self::NotText => say!(file_is_no_text),
            Self::Io(error) => say!(file_unreadable, why = error),
        }
    }
}

/// Reads a settings file. A pipe or device is refused before it is opened: opening one may wait for ever.
pub(crate) fn read(path: &Path) -> Result<DotEnv, Unreadable> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unreadable::Missing,
        _ => Unreadable::Io(error),
    };
    if !std::fs::metadata(path).map_err(missing)?.is_file() {
        return Err(Unreadable::NotAFile);
    }
    let file = File::open(path).map_err(missing)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Unreadable::TooLarge);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable::NotText)?;
    Ok(dotenv::parse(text))
}

/// Takes over the `KMI_` values of a file; other names in it are somebody else's.
pub(crate) fn take(found: &DotEnv, source: &Source, raw: &mut RawValues, issues: &mut Vec<Issue>) {
    for line in &found.bad_lines {
        issues.push(Issue::error(source.to_string(), say!(bad_line, line = *line), None));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (name, _) in found.pairs.iter().filter(|(name, _)| name.starts_with("KMI_")) {
        if seen.contains(&name.as_str()) {
            continue;
        }
        seen.push(name);
        if found.pairs.iter().filter(|(other, _)| other == name).count() > 1 {
            issues.push(Issue::warning(name, say!(set_more_than_once), Some(source.clone())));
        }
        let value = found.get(name).unwrap_or_default();
        match env::find(name) {
            None => issues.push(unknown(name, source.clone())),
            Some(variable) if variable.name == env::ENV_PATH.name => {
                if !value.trim().is_empty() {
                    issues.push(Issue::warning(name, say!(env_path_in_file), Some(source.clone())));
                }
            }
            Some(variable) => raw.set(variable, value, source.clone()),
        }
    }
}

/// A warning about a name that is no setting.
pub(crate) fn unknown(name: &str, source: Source) -> Issue {
    const OF_KEY_FILES: [&str; 6] = [
        "KMI_API_KEY",
        "KMI_KEY_LABEL",
        "KMI_KEY_PRIORITY",
        "KMI_KEY_DISABLED",
        "KMI_ACCOUNT_EMAIL",
        "KMI_EMAIL",
    ];
    let message = match nearest(name, env::ALL.iter().map(|variable| variable.name)) {
        _ if OF_KEY_FILES.contains(&name) => say!(belongs_into_key_file),
        Some(known) => say!(unknown_setting_meant, known = known),
        None => say!(unknown_setting),
    };
    // A name is somebody's text too: keep it on one line and short.
    let name: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    Issue::warning(name, message, Some(source))
}

/// The known name that a mistyped one is closest to, if it is close at all.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Far longer names are no typing mistakes, and the distance costs the product of the lengths.
    let name: String = name.chars().take(80).collect::<String>().to_ascii_uppercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&name, known);
    known.map(|known| (distance(known), known)).filter(|(far, _)| *far <= 5).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let find = |name| nearest(name, env::ALL.iter().map(|variable| variable.name));
        assert_eq!(find("KMI_DRYRUN"), Some("KMI_DRY_RUN"));
        assert_eq!(find("KMI_PROXY_PORT_LISTEN"), Some("KMI_PROXY_LISTEN"));
        assert_eq!(find("KMI_SOMETHING_ELSE_ENTIRELY"), None);
    }

    #[test]
    fn key_file_names_are_explained() {
        assert!(unknown("KMI_API_KEY", Source::Environment).message.contains("key file"));
    }
}
