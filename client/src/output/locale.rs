//! Messages in the person's language.

use std::fmt;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
pub(crate) use kmid_config::settings::Locale;
use kmid_core::said::{Arg, Said};
use unic_langid::LanguageIdentifier;

use super::style::clean;

const EN: &str = include_str!("../messages/en.ftl");
const RU: &str = include_str!("../messages/ru.ftl");
/// What kmid and the settings say; its English comes with it.
const RU_SAID: &str = include_str!("../messages/ru_said.ftl");

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
        let (language, sources): (_, &[&str]) = match locale {
            Locale::En => ("en", &[EN]),
            Locale::Ru => ("ru", &[RU, RU_SAID]),
        };
        let language = language.parse::<LanguageIdentifier>().unwrap_or_default();
        let mut bundle = FluentBundle::new(vec![language]);
        // Isolation marks around arguments would end up in pasted commands and paths.
        bundle.set_use_isolating(false);
        for source in sources {
            let resource = match FluentResource::try_new((*source).to_owned()) {
                Ok(resource) | Err((resource, _)) => resource,
            };
            let _ = bundle.add_resource(resource);
        }
        Self { bundle }
    }

    /// A message without arguments, if there is one by this id.
    pub(crate) fn find(&self, id: &str) -> Option<String> {
        self.bundle.has_message(id).then(|| self.format(id, &[]))
    }

    /// What kmid or the settings say: in English as it came, else by its code. What has no translation, because another
    /// version says it, stays as it came.
    pub(crate) fn said(&self, said: &Said) -> String {
        let id = format!("said-{}", said.code.replace('_', "-"));
        let pattern = self.bundle.get_message(&id).and_then(|message| message.value());
        let Some(pattern) = pattern else { return clean(&said.message).into_owned() };
        let mut args = FluentArgs::with_capacity(said.args.len());
        for (name, arg) in &said.args {
            args.set(name.as_ref(), self.argument(arg));
        }
        let mut errors = Vec::new();
        let text = self.bundle.format_pattern(pattern, Some(&args), &mut errors).into_owned();
        if errors.is_empty() { text } else { clean(&said.message).into_owned() }
    }

    fn argument(&self, arg: &Arg) -> FluentValue<'static> {
        match arg {
            // Plural rules need a number as one.
            Arg::Text(text) => match text.parse::<u32>() {
                Ok(number) if number.to_string() == *text => FluentValue::from(number),
                _ => FluentValue::from(clean(text).into_owned()),
            },
            Arg::Said(said) => FluentValue::from(self.said(said)),
            Arg::List(list) => {
                let texts: Vec<String> = list.iter().map(|said| self.said(said)).collect();
                FluentValue::from(texts.join("; "))
            }
        }
    }

    /// The same for several, whose English an older daemon sends alone.
    pub(crate) fn all_said(&self, said: &[Said], texts: &[String]) -> Vec<String> {
        match said {
            [] => texts.iter().map(|text| clean(text).into_owned()).collect(),
            said => said.iter().map(|one| self.said(one)).collect(),
        }
    }

    /// The same for one, if there is any.
    pub(crate) fn one_said(&self, said: Option<&Said>, text: Option<&str>) -> Option<String> {
        said.map(|said| self.said(said)).or_else(|| text.map(|text| clean(text).into_owned()))
    }

    /// The same for an error of the system.
    pub(crate) fn io(&self, error: &std::io::Error) -> String {
        self.said(&Said::of_io(error))
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
