//! How things look: everything here is pure and takes what it needs as values.

pub(crate) mod decision;
pub(crate) mod flow;
pub(crate) mod json;
pub(crate) mod locale;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use locale::Messages;
use style::Look;

/// What rendering needs besides the data.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// The language.
    pub(crate) messages: &'a Messages,
    /// Colours, boxes, width.
    pub(crate) look: Look,
    /// The present.
    pub(crate) now: Timestamp,
    /// Where clocks are read.
    pub(crate) zone: TimeZone,
}

impl View<'_> {
    /// A sentence, broken between words where the terminal ends.
    pub(crate) fn flowing(&self, sentence: &str) -> String {
        flow::spans(self.look, "", 2, &[style::Span::plain(sentence)])
    }

    /// A stable word from the daemon in the person's language; an unknown word stays as it is.
    pub(crate) fn word(&self, family: &str, word: &str) -> String {
        self.messages
            .find(&format!("{family}-{}", word.replace('_', "-")))
            .unwrap_or_else(|| style::clean(word).into_owned())
    }
}
