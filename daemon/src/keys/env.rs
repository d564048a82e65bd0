//! `.env` key files.

use kmid_config::{boolean, dotenv, keyring, nearest};
use kmid_core::said::Said;
use kmid_core::say;

use super::{Draft, Refusal};

/// Names that a key file may set; of the last three the first that is there counts.
const NAMES: [&str; 8] = [
    "KMI_API_KEY",
    keyring::REFERENCE,
    "KMI_KEY_LABEL",
    "KMI_UPSTREAM_BASE_URL",
    "KMI_KEY_PRIORITY",
    "KMI_KEY_DISABLED",
    "KMI_ACCOUNT_EMAIL",
    "KMI_EMAIL",
];

pub(super) fn read(text: &str) -> Result<Draft, Refusal> {
    let file = dotenv::parse(text);
    if let [first, rest @ ..] = file.bad_lines.as_slice() {
        return Err(match rest.len() {
            0 => say!(bad_line, line = *first),
            more => say!(bad_lines, line = *first, more = more),
        });
    }
    let value = |name: &str| file.get(name).map(str::trim).filter(|value| !value.is_empty());
    let text = |name: &str| value(name).map(str::to_owned);
    let priority = match value("KMI_KEY_PRIORITY").map(str::parse) {
        None => 0,
        Some(Ok(priority)) => priority,
        Some(Err(_)) => return Err(say!(key_priority_wrong)),
    };
    // An unclear switch must not leave a key in use that its owner meant to switch off.
    let disabled = match value("KMI_KEY_DISABLED").map(boolean) {
        None => false,
        Some(Ok(disabled)) => disabled,
        Some(Err(allowed)) => return Err(say!(key_disabled_wrong, allowed = allowed)),
    };
    let (key, in_keyring) = (text("KMI_API_KEY"), text(keyring::REFERENCE));
    if key.is_some() && in_keyring.is_some() {
        return Err(say!(key_and_keyring, other = keyring::REFERENCE));
    }
    if key.is_none() && in_keyring.is_none() {
        return Err(say!(key_missing));
    }
    Ok(Draft {
        value: key.unwrap_or_default().into(),
        in_keyring,
        label: text("KMI_KEY_LABEL"),
        base_url: text("KMI_UPSTREAM_BASE_URL"),
        priority,
        disabled,
        email: ["KMI_ACCOUNT_EMAIL", "KMI_EMAIL", "EMAIL"].into_iter().find_map(text),
        remarks: file.pairs.iter().filter_map(|(name, _)| remark(name)).collect(),
    })
}

/// A mistyped name would be a silent default.
fn remark(name: &str) -> Option<Said> {
    if !name.starts_with("KMI_") || NAMES.contains(&name) {
        return None;
    }
    let hint = match kmid_config::env::find(name) {
        Some(setting) => say!(setting_in_key_file, name = setting.name),
        None => match nearest(name, NAMES.into_iter()) {
            Some(known) => say!(key_name_meant, known = known),
            None => say!(key_name_unknown, names = NAMES.join(", ")),
        },
    };
    Some(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name() {
        let draft = read(
            "# mine\r\nexport KMI_API_KEY=\"sk-kimi-1\" # note\r\n\r\nKMI_KEY_LABEL='my key'\r\nKMI_KEY_PRIORITY=-3\r\n\
             KMI_UPSTREAM_BASE_URL=https://api.kimi.ai/coding/v1\r\nKMI_KEY_DISABLED=yes\r\nEMAIL=c@x\r\nKMI_EMAIL=b@x\r\n",
        )
        .unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((draft.value.as_str(), draft.label.as_deref()), ("sk-kimi-1", Some("my key")));
        assert_eq!(draft.base_url.as_deref(), Some("https://api.kimi.ai/coding/v1"));
        assert_eq!((draft.priority, draft.disabled, draft.email.as_deref()), (-3, true, Some("b@x")));
        assert!(draft.remarks.is_empty());
    }

    #[test]
    fn refusals() {
        for (text, part) in [
            ("", "no KMI_API_KEY"),
            ("KMI_API_KEY=k\nKMI_API_KEY_KEYRING=k", "at once"),
            ("KMI_API_KEY=  ", "no KMI_API_KEY"),
            ("KMI_API_KEY=k\nKMI_KEY_PRIORITY=high", "KMI_KEY_PRIORITY"),
            ("KMI_API_KEY=k\nKMI_KEY_DISABLED=maybe", "KMI_KEY_DISABLED"),
            ("KMI_API_KEY=k\njust words\nmore words", "line 2 (and 1 more)"),
        ] {
            let why = read(text).err().unwrap();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn a_key_in_the_keyring_is_only_named() {
        let draft = read("KMI_API_KEY_KEYRING=alpha-1\n").unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((draft.value.as_str(), draft.in_keyring.as_deref()), ("", Some("alpha-1")));
        assert!(draft.remarks.is_empty());
    }

    #[test]
    fn mistyped_names_are_remarked() {
        let text = "KMI_API_KEY=k\nKMI_KEY_DISABLE=1\nKMI_DRY_RUN=0\nOTHER=1\nKMI_KEY_PRIORITY=\n";
        let draft = read(text).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(draft.remarks.len(), 2);
        assert!(draft.remarks[0].contains("KMI_KEY_DISABLED") && draft.remarks[1].contains("KMI_DRY_RUN"));
    }
}
