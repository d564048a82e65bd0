//! Key files in the `.env` format: a new one, a switch in an old one, and names that the daemon does not read.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kmid_config::{boolean, dotenv, keyring};
use kmid_core::key::{Fingerprint, Secret};
use zeroize::Zeroizing;

use crate::output::style::clean;

/// The key itself in a key file.
pub(super) const KEY: &str = "KMI_API_KEY";
/// The switch of a key file.
pub(super) const SWITCH: &str = "KMI_KEY_DISABLED";
/// Longest label and longest key, as the daemon takes them.
const LONGEST_LABEL: usize = 64;
const LONGEST_KEY: usize = 512;
/// Bounds for a look at the directory without the daemon, as the daemon has them.
const MOST_FILES: usize = 1000;
const LONGEST_FILE: u64 = 1 << 20;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    Empty,
    TooLong,
    Characters,
    /// A client's config file, in JSON or TOML.
    Config,
    /// A line `NAME=value` of a file, and none of `KMI_API_KEY`.
    Setting,
    /// A file with a line that is not `NAME=value`.
    Line,
    /// A file that names a key in the keyring beside the key.
    InKeyring,
    /// A file whose priority is no whole number.
    Priority,
    /// A file whose switch says neither yes nor no.
    Switch,
    /// A file with an e-mail address that cannot be written as it is.
    Email,
}

impl NoKey {
    /// A stable word, the end of a message's id.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too-long",
            Self::Characters => "characters",
            Self::Config => "config",
            Self::Setting => "setting",
            Self::Line => "line",
            Self::InKeyring => "in-keyring",
            Self::Priority => "priority",
            Self::Switch => "switch",
            Self::Email => "email",
        }
    }

    /// Whether the key was found, and what else its file says is the trouble.
    pub(super) fn is_of_a_file(self) -> bool {
        !matches!(self, Self::Empty | Self::TooLong | Self::Characters | Self::Config | Self::Setting)
    }
}

/// A key as it was typed or piped: one word that fits into a header, or a key file that says it. The daemon's own rules,
/// but for quotes and braces: no key has them, and they come along with what stood around one.
pub(super) fn checked(text: &str) -> Result<Secret, NoKey> {
    if !is_file(text) {
        if is_config(text) {
            return Err(NoKey::Config);
        }
        return one_word(text.strip_prefix('\u{feff}').unwrap_or(text).trim());
    }
    match dotenv::parse(text).get(KEY) {
        Some(value) => one_word(value.trim()),
        None if is_config(text) => Err(NoKey::Config),
        None => Err(NoKey::Setting),
    }
}

/// Whether a text is a key file and not a key alone.
pub(super) fn is_file(text: &str) -> bool {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim().lines().any(is_setting)
}

/// Whether a line is `NAME=value` of a settings file. A key may end with `=`, and none of its letters are all capitals
/// before one.
fn is_setting(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let Some((name, value)) = line.split_once('=') else { return false };
    let name = name.trim_end();
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name && (name == KEY || !value.trim_matches('=').trim().is_empty())
}

/// Whether a text is JSON, or TOML with a table.
fn is_config(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
    let is_table = |line: &str| line.starts_with('[') && line.ends_with(']');
    text.starts_with(['{', '[']) || text.lines().map(str::trim).any(is_table)
}

fn one_word(text: &str) -> Result<Secret, NoKey> {
    if text.is_empty() {
        Err(NoKey::Empty)
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`{}".contains(&byte)) {
        Err(NoKey::Characters)
    } else if text.len() > LONGEST_KEY {
        Err(NoKey::TooLong)
    } else {
        Ok(Secret::new(text))
    }
}

/// Whether a text is or carries an API key: `sk-` and at least 16 further characters of keys behind it.
pub(crate) fn looks_like_a_key(text: &str) -> bool {
    let of_keys = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices("sk-").any(|(at, _)| text[at + 3..].chars().take_while(of_keys).count() >= 16)
}

/// Whether a text can be a label as it is.
pub(super) fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text == text.trim()
        && text.chars().count() <= LONGEST_LABEL
        && is_plain_text(text)
        && !looks_like_a_key(text)
}

/// Whether a text can stand in a key file and on a terminal as it is.
pub(super) fn is_plain_text(text: &str) -> bool {
    clean(text) == text && !text.contains(['\'', '\\'])
}

/// The first of `key1`, `key2`, ... that nobody has.
pub(super) fn proposal<'a>(taken: impl Iterator<Item = &'a str> + Clone) -> String {
    let is_free = |label: &String| !taken.clone().any(|other| other.eq_ignore_ascii_case(label));
    (1..).map(|number| format!("key{number}")).find(is_free).unwrap_or_default()
}

/// The name of a label's file, without its ending.
fn stem(label: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = label.chars().map(|c| if fits(c) { c } else { '-' }).take(40).collect();
    match name.trim_matches(['.', '-', '_']) {
        "" => "key".to_owned(),
        name => name.to_owned(),
    }
}

/// A path for a new key file, and its stem; nothing is there yet.
pub(super) fn free_path(dir: &Path, label: &str) -> (PathBuf, String) {
    let stem = stem(label);
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let names = std::iter::once(stem.clone()).chain(numbered);
    let mut free = names.map(|name| (dir.join(format!("{name}.env")), name));
    free.find(|(path, _)| path.symlink_metadata().is_err()).unwrap_or_default()
}

/// What a new key file says.
pub(super) struct NewKey<'a> {
    pub(super) secret: &'a Secret,
    /// Its name in the keyring, where the key itself is not to be in the file.
    pub(super) in_keyring: Option<&'a str>,
    pub(super) label: &'a str,
    pub(super) base_url: Option<&'a str>,
    pub(super) priority: Option<i32>,
    pub(super) disabled: bool,
    pub(super) email: Option<&'a str>,
}

impl NewKey<'_> {
    /// The text for a file with this stem; `None` if it would not be read as it is meant.
    pub(super) fn text(&self, stem: &str) -> Option<Zeroizing<String>> {
        // The daemon makes a label of a file's name, though not of a `config` at its end.
        let named = stem == self.label && !stem.ends_with("config");
        let values: [(&str, Option<Zeroizing<String>>); 7] = [
            (KEY, self.in_keyring.is_none().then(|| self.secret.expose().to_owned().into())),
            (keyring::REFERENCE, self.in_keyring.map(|name| name.to_owned().into())),
            ("KMI_KEY_LABEL", (!named).then(|| self.label.to_owned().into())),
            ("KMI_UPSTREAM_BASE_URL", self.base_url.map(|url| url.to_owned().into())),
            ("KMI_KEY_PRIORITY", self.priority.map(|priority| priority.to_string().into())),
            (SWITCH, self.disabled.then(|| "1".to_owned().into())),
            ("KMI_ACCOUNT_EMAIL", self.email.map(|email| email.to_owned().into())),
        ];
        let mut text = Zeroizing::new(String::with_capacity(4096));
        for (name, value) in values.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+=@,".contains(c);
            let quote = if value.chars().all(is_plain) { "" } else { "'" };
            [name, "=", quote, value, quote, "\n"].iter().for_each(|part| text.push_str(part));
        }
        let read = dotenv::parse(&text);
        let as_meant =
            values.iter().all(|(name, value)| read.get(name) == value.as_ref().map(|value| value.as_str()));
        (read.bad_lines.is_empty() && as_meant).then_some(text)
    }
}

/// The name of a key in the keyring: readable for people, and no two keys have the same.
pub(super) fn keyring_name(stem: &str, secret: &Secret) -> String {
    let plain: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).collect();
    let plain = plain.trim_matches(['-', '_', '.']);
    let plain = if plain.is_empty() { "key" } else { plain };
    format!("{plain}-{}", Fingerprint::of(secret))
}

/// Takes back a new key file, and its key from the keyring.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    let name = fs::read_to_string(path)
        .ok()
        .and_then(|text| dotenv::parse(&text).get(keyring::REFERENCE).map(str::to_owned));
    if let Some(name) = name {
        // The file is what counts; a key that nobody names any more harms nobody.
        let _ = keyring::remove(&name);
    }
    fs::remove_file(path)
}

/// The text with the key switched off or on and all else as it was; `None` where only a person can do that.
pub(super) fn switched(text: &str, disabled: bool) -> Option<String> {
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut new = String::new();
    let mut found = false;
    for line in text.split_inclusive('\n') {
        if !is_switch(line) {
            new.push_str(line);
            continue;
        }
        found = true;
        let ending = &line[line.trim_end_matches(['\r', '\n']).len()..];
        if disabled {
            new.push_str(&format!("{SWITCH}=1{ending}"));
        } else if ending.is_empty() {
            // What stood before the last line becomes the last line.
            new.truncate(
                new.strip_suffix('\n')
                    .map_or(new.len(), |kept| kept.strip_suffix('\r').unwrap_or(kept).len()),
            );
        }
    }
    if disabled && !found {
        let ends = text.is_empty() || text.ends_with('\n');
        new.push_str(&if ends { format!("{SWITCH}=1{newline}") } else { format!("{newline}{SWITCH}=1") });
    }
    is_the_same_key(text, &new, disabled).then_some(new)
}

fn is_switch(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    line.strip_prefix(SWITCH).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// Whether the new text says what the old one said, but for the switch.
fn is_the_same_key(old: &str, new: &str, disabled: bool) -> bool {
    let (old, new) = (dotenv::parse(old), dotenv::parse(new));
    let others = |file: &dotenv::DotEnv| -> Vec<(String, String)> {
        file.pairs.iter().filter(|(name, _)| name != SWITCH).cloned().collect()
    };
    let state = match new.get(SWITCH).map(str::trim).filter(|value| !value.is_empty()) {
        None => Some(false),
        Some(value) => boolean(value).ok(),
    };
    old.bad_lines.is_empty()
        && new.bad_lines.is_empty()
        && others(&old) == others(&new)
        && state == Some(disabled)
}

/// Whether a file's name has the ending of the `.env` format.
pub(super) fn is_env(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().to_lowercase().ends_with(".env"))
}

/// The name that a removed key file is kept under: no ending of a key file, so the daemon does not read it.
pub(super) fn removed_path(path: &Path, stamp: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = (2..).map(|number| format!("{name}.removed-{stamp}-{number}"));
    let mut names = std::iter::once(format!("{name}.removed-{stamp}")).chain(numbered);
    let free = names.find(|name| path.with_file_name(name).symlink_metadata().is_err());
    path.with_file_name(free.unwrap_or_default())
}

/// Writes a new file whole, for its owner alone; never over one that is there.
pub(super) fn create(path: &Path, text: &str) -> io::Result<()> {
    let temporary = written(path, text)?;
    temporary.persist_noclobber(path).map_err(|error| error.error)?;
    sync_dir(path)
}

/// Puts another text in the place of a file, whole, for its owner alone. A link stays one.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let real = path.canonicalize()?;
    written(&real, text)?.persist(&real).map_err(|error| error.error)?;
    sync_dir(&real)
}

/// A file beside `path`, on the disk, with mode 600 from its creation on and a name that the daemon does not read.
fn written(path: &Path, text: &str) -> io::Result<tempfile::NamedTempFile> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(dir)?;
    let made = tempfile::Builder::new().prefix(".kmi-").suffix(".tmp").tempfile_in(dir);
    let mut file = made.map_err(without_name)?;
    // The file itself, whose errors do not name it: nobody knows that name.
    file.as_file_mut().write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// What the system says, without the name that tempfile 3 puts behind it (`PathError`, which is private).
fn without_name(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path \"") {
        Some((why, _)) => io::Error::new(error.kind(), why),
        None => error,
    }
}

/// A new name is on the disk when its directory is.
fn sync_dir(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// A key that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Its label.
    pub(crate) label: String,
    /// Its fingerprint.
    pub(crate) fingerprint: String,
    /// Its file, relative to the key directory.
    pub(crate) source: String,
}

/// The `.env` files of a directory, for when the daemon cannot be asked. What cannot be read is the daemon's to report.
pub(crate) fn scan(dir: &Path) -> Vec<Known> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().take(MOST_FILES);
    let mut known: Vec<Known> = entries.filter_map(|entry| known(&entry.path())).collect();
    known.sort_by(|one, other| one.source.cmp(&other.source));
    known
}

fn known(path: &Path) -> Option<Known> {
    let metadata = fs::metadata(path).ok()?;
    let source = path.file_name()?.to_str()?.to_owned();
    if !is_env(path)
        || source.starts_with("._")
        || source.starts_with(".#")
        || !metadata.is_file()
        || metadata.len() > LONGEST_FILE
    {
        return None;
    }
    let file = dotenv::parse(&fs::read_to_string(path).ok()?);
    let fingerprint = match file.get(keyring::REFERENCE) {
        // The keyring is not asked for this: its name for a key ends with the fingerprint.
        Some(name) => name.rsplit('-').next()?.to_owned(),
        None => Fingerprint::of(&checked(file.get("KMI_API_KEY")?).ok()?).to_string(),
    };
    let own = file.get("KMI_KEY_LABEL").map(str::trim).filter(|label| !label.is_empty());
    let label = own.unwrap_or(&source[..source.len() - ".env".len()]).to_owned();
    Some(Known { label, fingerprint, source })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
