//! Sentences for people, with a code and arguments, so that `kmi` can say them in the person's language.
//!
//! [`sentences`] is the list: a code and its English. The Russian of `code` is the message `said-code` of kmi's
//! `messages/ru.ftl`; a test there walks the list.

pub mod sentences;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A sentence as it stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sentence {
    /// Its stable code.
    pub code: &'static str,
    /// Its English; `{name}` stands for an argument.
    pub english: &'static str,
}

impl Sentence {
    /// The names of its arguments, in the order of the English.
    #[must_use]
    pub fn arguments(&self) -> Vec<&'static str> {
        let parts = self.english.split('{').skip(1);
        parts.filter_map(|part| part.split_once('}').map(|(name, _)| name)).collect()
    }
}

/// A sentence with its arguments; reads as its English text. Never holds a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Which sentence; empty when the words are somebody else's.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub code: Cow<'static, str>,
    /// What differs from one time to the next.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<Cow<'static, str>, Arg>,
    /// The whole in English.
    pub message: String,
}

/// An argument of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Arg {
    /// A name, a number, a path.
    Text(String),
    /// A sentence, or a piece of one.
    Said(Said),
    /// Several, with commas between them.
    List(Vec<Said>),
}

/// What somebody asked for, as far as it is worth repeating to them: 200 characters.
#[must_use]
pub fn clipped(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

impl Said {
    /// A sentence of the list; see [`say!`](crate::say).
    #[must_use]
    pub fn new<const N: usize>(sentence: &Sentence, args: [(&'static str, Arg); N]) -> Self {
        let mut message = String::with_capacity(sentence.english.len() + 32 * N);
        let mut parts = sentence.english.split('{');
        message.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or(("", part));
            let arg = args.iter().find(|(known, _)| *known == name);
            debug_assert!(arg.is_some(), "{} has no {name}", sentence.code);
            message.push_str(&arg.map_or(Cow::Borrowed(""), |(_, arg)| arg.english()));
            message.push_str(rest);
        }
        let args = args.into_iter().map(|(name, arg)| (Cow::Borrowed(name), arg)).collect();
        Self { code: Cow::Borrowed(sentence.code), args, message }
    }

    /// Somebody else's words, such as a library's.
    #[must_use]
    pub fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// What the system says; in its own words, with a code for the usual ones.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        let sentence = match error.kind() {
            io::ErrorKind::NotFound => sentences::io_not_found,
            io::ErrorKind::PermissionDenied => sentences::io_denied,
            io::ErrorKind::StorageFull => sentences::io_full,
            io::ErrorKind::ReadOnlyFilesystem => sentences::io_read_only,
            io::ErrorKind::ConnectionRefused => sentences::io_refused,
            io::ErrorKind::ConnectionReset => sentences::io_reset,
            io::ErrorKind::TimedOut => sentences::io_timeout,
            io::ErrorKind::AddrInUse => sentences::io_address_taken,
            _ => return Self::plain(error.to_string()),
        };
        Self { message: error.to_string(), ..Self::new(&sentence, []) }
    }
}

impl Deref for Said {
    type Target = str;

    fn deref(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl PartialEq<&str> for Said {
    fn eq(&self, other: &&str) -> bool {
        self.message == *other
    }
}

impl PartialEq<String> for Said {
    fn eq(&self, other: &String) -> bool {
        self.message == *other
    }
}

impl Arg {
    fn english(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Said(said) => Cow::Borrowed(&said.message),
            Self::List(list) => {
                let texts: Vec<&str> = list.iter().map(|said| said.message.as_str()).collect();
                Cow::Owned(texts.join("; "))
            }
        }
    }
}

impl From<Said> for Arg {
    fn from(said: Said) -> Self {
        Self::Said(said)
    }
}

impl From<&Said> for Arg {
    fn from(said: &Said) -> Self {
        Self::Said(said.clone())
    }
}

impl From<Vec<Said>> for Arg {
    fn from(list: Vec<Said>) -> Self {
        Self::List(list)
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&io::Error> for Arg {
    fn from(error: &io::Error) -> Self {
        Self::Said(Said::of_io(error))
    }
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Arg {
            fn from(number: $number) -> Self {
                Self::Text(number.to_string())
            }
        }
    )*};
}

from_number!(u16, u32, u64, usize, i64);

/// `say!(code, name = value)`: a sentence of [`said::sentences`](crate::said::sentences) with its arguments.
#[macro_export]
macro_rules! say {
    ($code:ident $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::said::Said::new(
            &$crate::said::sentences::$code,
            [$((stringify!($name), $crate::said::Arg::from($value))),*],
        )
    };
}

/// `show_as_said!(Error)`: an error with a `said()` is displayed by it.
#[macro_export]
macro_rules! show_as_said {
    ($error:ty) => {
        impl ::std::fmt::Display for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&self.said())
            }
        }
    };
}

#[cfg(test)]
mod tests {

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_arguments_are_names() {
        let codes: BTreeSet<_> = sentences::ALL.iter().map(|sentence| sentence.code).collect();
        assert_eq!(codes.len(), sentences::ALL.len());
        for sentence in sentences::ALL {
            let is_name = |name: &&str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(sentence.arguments().iter().all(is_name), "{}", sentence.code);
            assert_eq!(
                sentence.english.matches('{').count(),
                sentence.arguments().len(),
                "{}",
                sentence.code
            );
        }
    }

    #[test]
    fn a_sentence_within_a_sentence_as_json_and_back() {
        let said =
            say!(value_not_allowed, value = "\"5\"", allowed = say!(use_whole, low = 0_u64, high = 3_u64));
        assert_eq!(said, "\"5\" is not allowed; use a whole number from 0 to 3");
        let json = serde_json::to_value(&said).unwrap();
        assert_eq!(json["args"]["allowed"]["code"], "use_whole");
        assert_eq!(json["args"]["allowed"]["args"]["high"], "3");
        assert_eq!(serde_json::from_value::<Said>(json).unwrap(), said);
    }

    #[test]
    fn what_an_older_daemon_says_is_read() {
        let said: Said = serde_json::from_str(r#"{"message":"m"}"#).unwrap();
        assert_eq!(said, Said::plain("m"));
        assert_eq!(serde_json::to_string(&said).unwrap(), r#"{"message":"m"}"#);
    }
}
