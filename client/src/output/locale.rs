//! Messages in the person's language.

use std::fmt;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
pub(crate) use kmid_config::settings::Locale;
use unic_langid::LanguageIdentifier;

const EN: &str = include_str!("../messages/en.ftl");
const RU: &str = include_str!("../messages/ru.ftl");

/// The messages of one language.
pub(crate) struct Messages {
    bundle: FluentBundle<FluentResource>,
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("locales", &self.bundle.locales).finish_non_exhaustive()
    }
}

impl Messages {
    /// Reads the messages of a language. What a damaged file loses shows as bare ids; the tests hold the files whole.
    pub(crate) fn new(locale: Locale) -> Self {
        let (language, source) = match locale {
            Locale::En => ("en", EN),
            Locale::Ru => ("ru", RU),
        };
        let language = language.parse::<LanguageIdentifier>().unwrap_or_default();
        let resource = match FluentResource::try_new(source.to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        let mut bundle = FluentBundle::new(vec![language]);
        // Isolation marks around arguments would end up in pasted commands and paths.
        bundle.set_use_isolating(false);
        let _ = bundle.add_resource(resource);
        Self { bundle }
    }

    /// A message without arguments, if there is one by this id.
    pub(crate) fn find(&self, id: &str) -> Option<String> {
        self.bundle.has_message(id).then(|| self.format(id, &[]))
    }

    /// A message with its arguments; see [`tr!`](crate::tr).
    pub(crate) fn format(&self, id: &str, arguments: &[(&str, FluentValue<'_>)]) -> String {
        let Some(pattern) = self.bundle.get_message(id).and_then(|message| message.value()) else {
            return id.to_owned();
        };
        let mut args = FluentArgs::with_capacity(arguments.len());
        for (name, value) in arguments {
            args.set(*name, value.clone());
        }
        let mut errors = Vec::new();
        self.bundle.format_pattern(pattern, Some(&args), &mut errors).into_owned()
    }
}

/// `tr!(messages, "id", name = value)`: the message with its arguments, in the person's language.
#[macro_export]
macro_rules! tr {
    ($messages:expr, $id:literal $(, $name:ident = $value:expr)* $(,)?) => {
        $messages.format($id, &[$((stringify!($name), ::fluent_bundle::FluentValue::from($value))),*])
    };
}

#[cfg(test)]
#[path = "locale_tests.rs"]
mod tests;
