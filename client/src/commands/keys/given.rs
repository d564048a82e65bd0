//! What was typed or piped as a new key: the key alone, or a key file with all that it says of the key.

use kmid_config::{boolean, dotenv, keyring};
use kmid_core::key::Secret;

use super::file::{self, KEY, NoKey, SWITCH};

/// Names of a file that are taken over, beside those of the e-mail address.
const TAKEN: [&str; 5] = [KEY, "KMI_KEY_LABEL", "KMI_UPSTREAM_BASE_URL", "KMI_KEY_PRIORITY", SWITCH];
/// The first that is there counts, as the daemon reads them.
const EMAIL: [&str; 3] = ["KMI_ACCOUNT_EMAIL", "KMI_EMAIL", "EMAIL"];

/// A key, and what else its file says; options of the command line count before that.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) secret: Secret,
    pub(super) label: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) priority: Option<i32>,
    pub(super) disabled: bool,
    pub(super) email: Option<String>,
    /// Names of the file that say nothing of a key and are not taken over.
    pub(super) left_out: Vec<String>,
}

/// Reads a key as it was typed or piped. A file that is only half understood is refused: what it says and would be
/// lost may decide where the key is sent.
pub(super) fn read(text: &str) -> Result<Given, NoKey> {
    let secret = file::checked(text)?;
    if !file::is_file(text) {
        let given = Given {
            secret,
            label: None,
            base_url: None,
            priority: None,
            disabled: false,
            email: None,
            left_out: Vec::new(),
        };
        return Ok(given);
    }
    let file = dotenv::parse(text);
    if !file.bad_lines.is_empty() {
        return Err(NoKey::Line);
    }
    let value = |name: &str| file.get(name).map(str::trim).filter(|value| !value.is_empty());
    let owned = |name: &str| value(name).map(str::to_owned);
    if value(keyring::REFERENCE).is_some() {
        return Err(NoKey::InKeyring);
    }
    let priority = value("KMI_KEY_PRIORITY").map(str::parse).transpose().map_err(|_| NoKey::Priority)?;
    let disabled = value(SWITCH).map(boolean).transpose().map_err(|_| NoKey::Switch)?.unwrap_or(false);
    let email = EMAIL.into_iter().find_map(owned);
    if email.as_deref().is_some_and(|email| !file::is_plain_text(email)) {
        return Err(NoKey::Email);
    }
    let is_taken = |name: &str| TAKEN.contains(&name) || EMAIL.contains(&name) || name == keyring::REFERENCE;
    let names = file.pairs.iter().map(|(name, _)| name.clone());
    let mut left_out: Vec<String> = names.filter(|name| !is_taken(name)).collect();
    left_out.sort();
    left_out.dedup();
    Ok(Given {
        secret,
        label: owned("KMI_KEY_LABEL"),
        base_url: owned("KMI_UPSTREAM_BASE_URL"),
        priority,
        disabled,
        email,
        left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_alone_says_nothing_else() {
        let given = read("sk-kimi-1\n").unwrap();
        assert_eq!(given.secret.expose(), "sk-kimi-1");
        assert!(given.label.is_none() && given.base_url.is_none() && given.priority.is_none());
        assert!(!given.disabled && given.email.is_none() && given.left_out.is_empty());
    }

    #[test]
    fn all_that_a_file_says_is_taken_over_or_named() {
        let given = read(
            "\u{feff}# mine\r\nexport KMI_API_KEY=\"sk-kimi-1\"\r\nKMI_KEY_LABEL='my key'\r\nKMI_KEY_PRIORITY=-3\r\n\
             KMI_UPSTREAM_BASE_URL=https://api.kimi.ai/coding/v1\r\nKMI_KEY_DISABLED=yes\r\nEMAIL=c@x\r\n\
             KMI_EMAIL=b@x\r\nOTHER=1\r\nKMI_KEY_DISABLE=1\r\nKMI_API_KEY_KEYRING=\r\n",
        )
        .unwrap();
        assert_eq!(given.secret.expose(), "sk-kimi-1");
        assert_eq!(given.label.as_deref(), Some("my key"));
        assert_eq!(given.base_url.as_deref(), Some("https://api.kimi.ai/coding/v1"));
        assert_eq!((given.priority, given.disabled, given.email.as_deref()), (Some(-3), true, Some("b@x")));
        assert_eq!(given.left_out, ["KMI_KEY_DISABLE", "OTHER"]);
    }

    #[test]
    fn empty_values_are_none() {
        let given =
            read("KMI_API_KEY=sk-kimi-1\nKMI_KEY_PRIORITY=\nKMI_KEY_DISABLED=\nKMI_KEY_LABEL=\n").unwrap();
        assert!(given.priority.is_none() && !given.disabled && given.label.is_none());
    }

    #[test]
    fn what_is_half_understood_is_refused() {
        for (line, why) in [
            ("KMI_KEY_PRIORITY=high", NoKey::Priority),
            ("KMI_KEY_DISABLED=maybe", NoKey::Switch),
            ("KMI_ACCOUNT_EMAIL=\"o'brien@example.org\"", NoKey::Email),
            ("KMI_API_KEY_KEYRING=work", NoKey::InKeyring),
            ("not a line", NoKey::Line),
        ] {
            assert_eq!(read(&format!("KMI_API_KEY=sk-kimi-1\n{line}\n")).unwrap_err(), why, "{line}");
        }
    }
}
