//! The process around us as values, so that nothing else has to look at it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use jiff::tz::TimeZone;

use crate::env;
use crate::settings::Locale;
use crate::zone_files;

/// The environment, the current folder, the user and the local zone. No `Debug`: variables may be secrets.
#[derive(Clone)]
pub struct Outside {
    /// The process environment; on Windows with names in capitals, as names have no case there.
    pub vars: BTreeMap<String, OsString>,
    /// The current folder, if there is one.
    pub cwd: Option<PathBuf>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// The user's name.
    pub user: String,
    /// What `local` means for KMI_TIMEZONE.
    pub local_zone: TimeZone,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The environment holds secrets, under any name.
        f.debug_struct("Outside").field("cwd", &self.cwd).field("home", &self.home).finish_non_exhaustive()
    }
}

impl Outside {
    /// The KMI_ variables that are settings; of secrets only their names.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<String, Option<String>> {
        let set = env::ALL.iter().filter_map(|variable| {
            let value = self.vars.get(variable.name)?.to_str().filter(|value| !value.is_empty())?;
            Some((variable.name.to_owned(), (!variable.secret).then(|| value.to_owned())))
        });
        set.collect()
    }

    /// Reads the real ones: the only place that does.
    #[must_use]
    pub fn capture() -> Self {
        let vars: BTreeMap<String, OsString> = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                Some((if cfg!(windows) { name.to_ascii_uppercase() } else { name }, value))
            })
            .collect();
        Self {
            cwd: std::env::current_dir().ok(),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            user: user_name(&vars).unwrap_or_else(user_id),
            local_zone: zone_files::local(),
            vars,
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn var(&self, names: &[&str]) -> Option<&OsStr> {
        names.iter().filter_map(|name| self.vars.get(*name)).map(OsString::as_os_str).find(|v| !v.is_empty())
    }

    /// Whether the terminal says of itself that it takes plain lines only (`TERM=dumb`, as in Emacs' shell).
    #[must_use]
    pub fn has_dumb_terminal(&self) -> bool {
        self.var(&["TERM"]).is_some_and(|term| term == "dumb")
    }

    /// The language of messages, in the order in which POSIX asks for it (XBD 8.2).
    pub(crate) fn locale(&self) -> Locale {
        locale_named(self.var(&["LC_ALL", "LC_MESSAGES", "LANG"]))
    }
}

/// A name as POSIX systems have it: `ru`, `ru_RU.UTF-8`.
fn locale_named(name: Option<&OsStr>) -> Locale {
    let language = name.and_then(OsStr::to_str).and_then(|name| name.split(['_', '.', '@']).next());
    if language == Some("ru") { Locale::Ru } else { Locale::En }
}

fn user_name(vars: &BTreeMap<String, OsString>) -> Option<String> {
    let name = |variable| vars.get(variable).and_then(|value| value.to_str()).map(str::trim);
    // Windows sets USERNAME everywhere, shells from elsewhere may add USER: the pipe's name must not depend on the shell.
    let mut known = ["USER", "LOGNAME", "USERNAME"];
    if cfg!(windows) {
        known.reverse();
    }
    let names = known.into_iter().filter_map(name);
    names.filter(|name| !name.is_empty() && !name.chars().any(char::is_control)).map(str::to_owned).next()
}

/// Services and containers often have no user name in their environment.
#[cfg(unix)]
fn user_id() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

#[cfg(not(unix))]
fn user_id() -> String {
    "unknown".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_has_a_name() {
        let vars =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
        assert_eq!(user_name(&vars(&[("USER", " "), ("LOGNAME", "me")])).as_deref(), Some("me"));
        assert_eq!(user_name(&vars(&[("USER", "a\nb")])), None);
        assert!(!Outside::capture().user.is_empty());
    }
}
