//! Keys in the operating system's keyring; a key file then holds only the name under which the key lies there.
//!
//! It is asked by the system's own tool: `secret-tool` of libsecret (GNOME Keyring, KWallet, KeePassXC; Debian:
//! libsecret-tools), `security` on macOS. A library would bring a second async runtime (`keyring` 3.6 by zbus: 130 crates,
//! async-io) or libdbus, which is C; the kernel's own keyring, which needs neither, forgets everything at a restart
//! (2026-11). The key goes through pipes, never through arguments, which other programs can see.

#[cfg(unix)]
mod run;

use std::process::Command;

use kmid_core::key::Secret;
use kmid_core::said::Said;
use kmid_core::{say, show_as_said};
use zeroize::Zeroizing;

/// The line of a key file that names a key in the keyring.
pub const REFERENCE: &str = "KMI_API_KEY_KEYRING";
/// What all our keys have in common there.
#[cfg(unix)]
const SERVICE: &str = "kmid";

/// Why the keyring gave or took no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// This system has none that we know.
    Unsupported,
    /// The tool is not installed.
    NoTool(&'static str),
    /// The tool cannot reach a keyring.
    Unreachable(String),
    /// It did not answer in time.
    Silent,
    /// It has no such key.
    Missing,
    /// What it holds, or the name, is nothing that could be one.
    NoKey,
}

impl KeyringError {
    /// For people.
    #[must_use]
    pub fn said(&self) -> Said {
        match self {
            Self::Unsupported => say!(keyring_unsupported),
            Self::NoTool(tool) => say!(keyring_no_tool, tool = *tool),
            Self::Unreachable(why) => say!(keyring_unreachable, why = why.as_str()),
            Self::Silent => say!(keyring_silent),
            Self::Missing => say!(keyring_has_none),
            Self::NoKey => say!(keyring_holds_no_key),
        }
    }
}

show_as_said!(KeyringError);

/// Whether a text can name a key in the keyring: it comes from a file and goes into a command's arguments.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(fits) && !text.starts_with('-')
}

/// Reads a key. This blocks, for as long as a person needs to unlock the keyring, but not for ever.
///
/// # Errors
/// When there is none, or the keyring cannot be asked.
pub fn look_up(name: &str) -> Result<Secret, KeyringError> {
    if !is_name(name) {
        return Err(KeyringError::NoKey);
    }
    let said = tool::ask(tool::look_up(name)?, "")?;
    let key = said.trim_end_matches(['\r', '\n']);
    if key.is_empty() { Err(KeyringError::Missing) } else { Ok(Secret::new(key)) }
}

/// Stores a key, in place of one with the same name. `label` is for people who look into their keyring.
///
/// # Errors
/// When the keyring cannot be asked or refuses.
pub fn store(name: &str, label: &str, key: &Secret) -> Result<(), KeyringError> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !is_name(name) || !key.expose().bytes().all(fits) {
        return Err(KeyringError::NoKey);
    }
    let (command, input) = tool::store(name, label, key)?;
    tool::ask(command, &input).map(drop)?;
    // A tool that says nothing has not always done anything.
    if look_up(name)?.matches(key.expose().as_bytes()) { Ok(()) } else { Err(KeyringError::NoKey) }
}

/// Removes a key; one that is not there is no error.
///
/// # Errors
/// When the keyring cannot be asked.
pub fn remove(name: &str) -> Result<(), KeyringError> {
    if !is_name(name) {
        return Err(KeyringError::NoKey);
    }
    match tool::ask(tool::remove(name)?, "") {
        Ok(_) | Err(KeyringError::Missing) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
mod tool {
    use super::{Command, KeyringError, SERVICE, Secret, Zeroizing};

    const PROGRAM: &str = "secret-tool";

    fn command(verb: &str, name: &str, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(verb).args(more).args(["service", SERVICE, "key", name]);
        command
    }

    pub(super) fn look_up(name: &str) -> Result<Command, KeyringError> {
        Ok(command("lookup", name, &[]))
    }

    pub(super) fn store(
        name: &str,
        label: &str,
        key: &Secret,
    ) -> Result<(Command, Zeroizing<String>), KeyringError> {
        let label = format!("--label=kmi: {label}");
        Ok((command("store", name, &[&label]), Zeroizing::new(key.expose().to_owned())))
    }

    pub(super) fn remove(name: &str) -> Result<Command, KeyringError> {
        Ok(command("clear", name, &[]))
    }

    pub(super) fn ask(command: Command, input: &str) -> Result<Zeroizing<String>, KeyringError> {
        // It says nothing and ends with 1 when there is no such key [secret-tool(1), 2026-11].
        super::run::run(command, PROGRAM, input, |code, said| code == Some(1) && said.is_empty())
    }
}

#[cfg(target_os = "macos")]
mod tool {
    use super::{Command, KeyringError, SERVICE, Secret, Zeroizing};

    const PROGRAM: &str = "security";

    fn command(verb: &str, name: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args([verb, "-s", SERVICE, "-a", name]);
        command
    }

    pub(super) fn look_up(name: &str) -> Result<Command, KeyringError> {
        let mut command = command("find-generic-password", name);
        command.arg("-w");
        Ok(command)
    }

    /// As a command on its standard input: an argument could be seen.
    pub(super) fn store(
        name: &str,
        _label: &str,
        key: &Secret,
    ) -> Result<(Command, Zeroizing<String>), KeyringError> {
        let mut command = Command::new(PROGRAM);
        command.arg("-i");
        let line = format!("add-generic-password -U -s {SERVICE} -a {name} -w \"{}\"\n", key.expose());
        Ok((command, Zeroizing::new(line)))
    }

    pub(super) fn remove(name: &str) -> Result<Command, KeyringError> {
        Ok(command("delete-generic-password", name))
    }

    pub(super) fn ask(command: Command, input: &str) -> Result<Zeroizing<String>, KeyringError> {
        // errSecItemNotFound as an exit status [security(1), 2026-11].
        super::run::run(command, PROGRAM, input, |code, _| code == Some(44))
    }
}

#[cfg(not(unix))]
mod tool {
    use super::{Command, KeyringError, Secret, Zeroizing};

    pub(super) fn look_up(_name: &str) -> Result<Command, KeyringError> {
        Err(KeyringError::Unsupported)
    }

    pub(super) fn store(
        _name: &str,
        _label: &str,
        _key: &Secret,
    ) -> Result<(Command, Zeroizing<String>), KeyringError> {
        Err(KeyringError::Unsupported)
    }

    pub(super) fn remove(_name: &str) -> Result<Command, KeyringError> {
        Err(KeyringError::Unsupported)
    }

    pub(super) fn ask(_command: Command, _input: &str) -> Result<Zeroizing<String>, KeyringError> {
        Err(KeyringError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_stand_in_an_argument() {
        for (name, fits) in [
            ("alpha", true),
            ("alpha-2.b_C", true),
            ("", false),
            ("-alpha", false),
            ("a b", false),
            ("a\n", false),
            ("é", false),
            ("a/b", false),
        ] {
            assert_eq!(is_name(name), fits, "{name:?}");
        }
        assert!(!is_name(&"a".repeat(65)));
        assert_eq!(look_up("a b").err(), Some(KeyringError::NoKey));
        assert_eq!(store("a", "a", &Secret::new("no key\n")).err(), Some(KeyringError::NoKey));
    }
}
