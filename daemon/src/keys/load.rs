//! The key directory -> keys in pool order, and everything that could not be used.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kmid_config::keyring::{self, KeyringError};
use kmid_config::settings::Settings;
use kmid_core::key::{Allowlist, BaseUrl, Fingerprint, Key, Secret};
use kmid_core::said::Said;
use kmid_core::say;

use super::label::{self, Labels};
use super::{Draft, Format, Refusal, file, permissions};
use crate::command::Issue;

/// The settings that decide about keys.
#[derive(Debug, Clone)]
pub struct Rules {
    /// For keys whose file names no base URL.
    pub default_base_url: BaseUrl,
    /// Hosts that keys may be sent to.
    pub allowlist: Allowlist,
    /// Tighten modes instead of only warning.
    pub enforce_permissions: bool,
}

impl From<&Settings> for Rules {
    fn from(settings: &Settings) -> Self {
        Self {
            default_base_url: settings.upstream_base_url.clone(),
            allowlist: settings.upstream_allowlist.clone(),
            enforce_permissions: settings.enforce_file_perms,
        }
    }
}

/// What a key directory gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Priority high to low, then label without case.
    pub keys: Vec<Key>,
    /// What a person should know; never what a file holds.
    pub issues: Vec<Issue>,
    /// Too many files are open to see what there is: this says nothing about the keys, and is to be tried again.
    pub is_shortage: bool,
    /// The sources of which this says nothing, because they could not be read just now.
    pub unread: Vec<String>,
    /// After how long it is worth another try, when something could not be read that may soon be.
    pub again: Option<Duration>,
}

impl Loaded {
    /// Takes over the keys of the sources that could not be read just now.
    pub fn keep(&mut self, known: &[Arc<Key>]) {
        for key in known.iter().filter(|key| self.unread.contains(&key.source)) {
            let is_new = |other: &Key| other.fingerprint != key.fingerprint && other.label != key.label;
            if self.keys.iter().all(is_new) {
                self.keys.push(Key::clone(key));
            }
        }
        sort(&mut self.keys);
    }

    /// Whether these are the keys that are known, as their files were then.
    #[must_use]
    pub fn is_as(&self, known: &[Arc<Key>]) -> bool {
        let same = |one: &Key, other: &Key| {
            // The fingerprint stands for the secret, the revision for the rest of the file.
            (one.fingerprint, one.revision, &one.source) == (other.fingerprint, other.revision, &other.source)
                && (&one.label, &one.base_url) == (&other.label, &other.base_url)
                && (one.priority, one.disabled) == (other.priority, other.disabled)
        };
        self.keys.len() == known.len() && self.keys.iter().zip(known).all(|(one, other)| same(one, other))
    }

    fn try_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |sooner| sooner.min(after)));
    }
}

/// A file that could not be read for a moment is tried again after this.
const FILE_AGAIN: Duration = Duration::from_secs(5);
/// A keyring may be locked until somebody logs in; each try starts a program.
const KEYRING_AGAIN: Duration = Duration::from_secs(15);

/// Pool order: priority high to low, then label without case.
fn sort(keys: &mut [Key]) {
    keys.sort_by_cached_key(|key| {
        (std::cmp::Reverse(key.priority), key.label.to_lowercase(), key.label.clone())
    });
}

/// Reads a key directory. This blocks: call it from a blocking task.
#[must_use]
pub fn load(dir: &Path, rules: &Rules) -> Loaded {
    let mut load = Load {
        dir,
        rules,
        labels: Labels::default(),
        sources: HashMap::new(),
        keyring_is_silent: false,
        found: Loaded::default(),
    };
    match file::list(dir) {
        Ok(listing) => load.files(listing),
        Err(error) => {
            load.found.is_shortage = file::is_shortage(&error);
            load.issue(Path::new(""), true, say!(key_directory_unreadable, why = &error));
        }
    }
    let mut found = load.found;
    sort(&mut found.keys);
    found
}

struct Load<'a> {
    dir: &'a Path,
    rules: &'a Rules,
    labels: Labels,
    /// By fingerprint: the file that a key came from first.
    sources: HashMap<Fingerprint, String>,
    /// It was waited for once; not for each of its keys.
    keyring_is_silent: bool,
    found: Loaded,
}

impl Load<'_> {
    fn files(&mut self, listing: file::Listing) {
        for folder in std::iter::once(PathBuf::new()).chain(listing.folders) {
            self.check_permissions(&self.dir.join(&folder), &folder, 0o700);
        }
        for (path, why) in listing.refused {
            self.issue(&path, true, why);
        }
        for path in listing.files {
            if let Err(why) = self.file(&path) {
                self.issue(&path, true, why);
            }
        }
    }

    fn file(&mut self, path: &Path) -> Result<(), Refusal> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((format, stem)) = Format::of(&name) else { return Ok(()) };
        let real = file::resolve(self.dir, path).map_err(|why| self.unreadable(path, why))?;
        // Before its content: a change in between shows as another revision at the next look.
        let revision = file::revision(&real);
        let text = file::read(&real).map_err(|why| self.unreadable(path, why));
        let draft = text.and_then(|text| format.read(&text));
        self.check_permissions(&real, path, 0o600);
        let mut draft = draft?;
        let remarks = std::mem::take(&mut draft.remarks);
        let secret = match &draft.in_keyring {
            Some(name) => self.in_keyring(path, name)?,
            None => checked_secret(&draft.value)?,
        };
        let source = path.to_string_lossy();
        if holds(&source, &secret) {
            // The path would carry the key into every log line about it.
            self.issue(Path::new(""), true, say!(key_in_file_name));
            return Ok(());
        }
        let base_url = self.base_url(draft.base_url.as_deref())?;
        for remark in remarks {
            self.issue(path, false, remark);
        }
        let fingerprint = Fingerprint::of(&secret);
        if let Some(first) = self.sources.get(&fingerprint) {
            let message = say!(key_twice, first = first.as_str());
            self.issue(path, false, message);
            return Ok(());
        }
        let folder = path.parent().and_then(Path::file_name).map(|folder| folder.to_string_lossy());
        let label = self.label(path, &draft, &secret, label::of_file(stem, folder.as_deref()));
        let source = shown(path);
        self.sources.insert(fingerprint, source.clone());
        self.found.keys.push(Key {
            label: Arc::from(label),
            fingerprint,
            secret,
            base_url,
            priority: draft.priority,
            disabled: draft.disabled,
            email: draft.email.as_deref().and_then(label::clean),
            source,
            revision,
        });
        Ok(())
    }

    fn unreadable(&mut self, path: &Path, why: file::Unreadable) -> Refusal {
        self.found.is_shortage |= why.is_shortage;
        if why.may_pass {
            self.found.unread.push(shown(path));
            self.found.try_again(FILE_AGAIN);
        }
        why.why
    }

    fn in_keyring(&mut self, path: &Path, name: &str) -> Result<Secret, Refusal> {
        let asked = if self.keyring_is_silent { Err(KeyringError::Silent) } else { keyring::look_up(name) };
        self.keyring_is_silent |= asked.as_ref().is_err_and(|error| *error == KeyringError::Silent);
        match &asked {
            Err(KeyringError::Unreachable(_) | KeyringError::Silent) => {
                self.found.unread.push(shown(path));
                self.found.try_again(KEYRING_AGAIN);
            }
            // Some tools say so of a keyring that is locked, too.
            Err(KeyringError::Missing) => self.found.try_again(KEYRING_AGAIN),
            _ => {}
        }
        let secret = asked.map_err(|error| say!(key_in_keyring, why = error.said()))?;
        checked_secret(secret.expose())
    }

    fn label(&mut self, path: &Path, draft: &Draft, secret: &Secret, of_file: String) -> String {
        let mut wanted = draft.label.as_deref().and_then(label::clean);
        if wanted.as_ref().is_some_and(|label| holds(label, secret)) {
            self.issue(path, false, say!(key_in_label));
            wanted = None;
        }
        let wanted = wanted.unwrap_or(of_file);
        let given = self.labels.give(wanted.clone());
        if given != wanted {
            let message = say!(label_taken, wanted = wanted, given = given.as_str());
            self.issue(path, false, message);
        }
        given
    }

    fn base_url(&self, own: Option<&str>) -> Result<BaseUrl, Refusal> {
        let url = match own {
            Some(own) => BaseUrl::parse(own).map_err(|why| say!(key_url_refused, why = why.said()))?,
            None => self.rules.default_base_url.clone(),
        };
        if self.rules.allowlist.permits(&url) {
            return Ok(url);
        }
        Err(if own.is_some() { say!(key_host_refused) } else { say!(default_host_refused) })
    }

    fn check_permissions(&mut self, real: &Path, path: &Path, mode: u32) {
        if let Some(message) = permissions::check(real, mode, self.rules.enforce_permissions) {
            self.issue(path, false, message);
        }
    }

    fn issue(&mut self, path: &Path, error: bool, message: Said) {
        let subject = if path.as_os_str().is_empty() { shown(self.dir) } else { shown(&self.dir.join(path)) };
        self.found.issues.push(Issue { kind: "key_file", error, subject, message });
    }
}

/// Whether a text gives the key away. A key shorter than any real one may be part of a word by chance.
fn holds(text: &str, secret: &Secret) -> bool {
    secret.expose().len() >= 12 && text.contains(secret.expose())
}

/// A path on one line, whatever its characters.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.into_owned() }
}

/// A key has to fit into a header.
fn checked_secret(value: &str) -> Result<Secret, Refusal> {
    const LONGEST: usize = 512;
    let value = value.trim();
    if value.len() > LONGEST {
        return Err(say!(key_too_long, most = LONGEST));
    }
    if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(say!(key_has_blanks));
    }
    Ok(Secret::new(value))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
