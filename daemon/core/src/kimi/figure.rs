//! Numbers as the API may write them: a number, a string, or something that is none. Read as they come, without a tree
//! of the document: every answer has some.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A count of tokens; what is no number counts as 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figure(pub(super) u64);

/// What stands beside the figures, of which one is of use; what is no object has none.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Details {
    Object { cached_tokens: Option<Figure> },
    Other(IgnoredAny),
}

impl Details {
    pub(super) fn cached_tokens(&self) -> Option<Figure> {
        match self {
            Self::Object { cached_tokens } => *cached_tokens,
            Self::Other(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FigureVisitor)
    }
}

struct FigureVisitor;

impl<'de> Visitor<'de> for FigureVisitor {
    type Value = Figure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_u64<E>(self, value: u64) -> Result<Figure, E> {
        Ok(Figure(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Figure, E> {
        Ok(Figure(u64::try_from(value).unwrap_or(0)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Figure, E> {
        // The cast saturates, and takes NaN and negatives to zero.
        Ok(Figure(value as u64))
    }

    fn visit_str<E>(self, text: &str) -> Result<Figure, E> {
        Ok(Figure(text.trim().parse().unwrap_or(0)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Figure, E> {
        Ok(Figure(0))
    }

    fn visit_unit<E>(self) -> Result<Figure, E> {
        Ok(Figure(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Figure, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Figure(0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Figure, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Figure(0))
    }
}
