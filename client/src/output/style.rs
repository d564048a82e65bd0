//! Colours, bars and widths.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Narrowest and widest line that layouts aim at.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=200;

/// What the output may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// ANSI colours.
    pub(crate) color: bool,
    /// Lines, bars and symbols beyond text.
    pub(crate) boxes: bool,
    /// Columns to stay within; `None` = nobody sees where lines end.
    pub(crate) width: Option<usize>,
}

impl Look {
    /// From the wishes of a person and what stdout is.
    pub(crate) fn new(terminal: bool, columns: Option<u16>, plain: bool, no_color: bool) -> Self {
        let width = columns.map_or(80, usize::from).clamp(*WIDTHS.start(), *WIDTHS.end());
        Self {
            color: terminal && !plain && !no_color,
            boxes: terminal && !plain,
            width: terminal.then_some(width),
        }
    }

    /// The width to lay out for.
    pub(crate) fn columns(&self) -> usize {
        self.width.unwrap_or(usize::MAX)
    }

    /// The text in a colour, where there are colours.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        match paint.code() {
            Some(code) if self.color && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// A bar for 0 to 100 percent, empty without boxes: the number beside it says it all.
    pub(crate) fn bar(&self, percent: f64) -> Option<Span> {
        if !self.boxes {
            return None;
        }
        let cells = (self.columns() / 4).clamp(10, 24);
        let share = (percent.clamp(0.0, 100.0) / 100.0 * cells as f64).round() as usize;
        // Something left is never drawn as nothing.
        let full = if percent > 0.0 { share.max(1) } else { 0 };
        Some(Span::new(
            Paint::of_percent(percent),
            format!("{}{}", "█".repeat(full), "░".repeat(cells - full)),
        ))
    }
}

/// What a text stands for; colours follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// As it is.
    Plain,
    /// A heading or a name.
    Strong,
    /// Of little weight.
    Faint,
    /// All is well.
    Good,
    /// Look at it.
    Warn,
    /// Broken.
    Bad,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Strong => Some("1"),
            Self::Faint => Some("2"),
            Self::Good => Some("32"),
            Self::Warn => Some("33"),
            Self::Bad => Some("31"),
        }
    }

    /// For what is left of a quota; under 20 percent is the daemon's limit for *warn*.
    pub(crate) fn of_percent(percent: f64) -> Self {
        if percent <= 0.0 {
            Self::Bad
        } else if percent < 20.0 {
            Self::Warn
        } else {
            Self::Good
        }
    }

    /// For a key's state.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "ready" => Self::Good,
            "warn" | "cooling" => Self::Warn,
            "blocked" => Self::Bad,
            "disabled" => Self::Faint,
            _ => Self::Plain,
        }
    }

    /// For an HTTP status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            200..=399 => Self::Good,
            400..=499 => Self::Warn,
            _ => Self::Bad,
        }
    }
}

/// A piece of text with its paint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The colour.
    pub(crate) paint: Paint,
    /// The text, without control characters.
    pub(crate) text: String,
}

impl Span {
    /// Control characters are taken out here, so that nothing a span shows can steer a terminal.
    pub(crate) fn new(paint: Paint, text: impl AsRef<str>) -> Self {
        Self { paint, text: clean(text.as_ref()).into_owned() }
    }

    /// Without a colour.
    pub(crate) fn plain(text: impl AsRef<str>) -> Self {
        Self::new(Paint::Plain, text)
    }
}

/// Columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Whether a character steers the terminal or the direction of the text instead of showing something.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with every steering character replaced.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(steers) {
        Cow::Owned(text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// The text cut to so many columns, with an ellipsis where something is missing.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        let next = UnicodeWidthChar::width(c).unwrap_or(0);
        if used + next + 1 > columns {
            break;
        }
        used += next;
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_count_columns_and_not_characters() {
        assert_eq!(width("готов"), 5);
        assert_eq!(width("月之暗面"), 8);
    }

    #[test]
    fn cutting_never_exceeds_the_columns() {
        for text in ["月之暗面", "alpha-beta", "ключ", "e\u{301}e\u{301}e\u{301}"] {
            for columns in 0..12 {
                assert!(
                    width(&cut(text, columns)) <= columns.max(width(text).min(columns)),
                    "{text} {columns}"
                );
            }
        }
        assert_eq!(cut("月之暗面", 5), "月之…");
        assert_eq!(cut("alpha", 5), "alpha");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\r\n\u{202e}"), "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}");
        assert!(matches!(clean("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_pipe_gets_neither_colours_nor_boxes_nor_a_width() {
        let look = Look::new(false, Some(80), false, false);
        assert_eq!(look, Look { color: false, boxes: false, width: None });
        assert_eq!(look.bar(50.0), None);
        assert_eq!(look.paint(Paint::Bad, "x"), "x");
    }

    #[test]
    fn wishes_count_on_a_terminal() {
        assert_eq!(
            Look::new(true, Some(10), true, false),
            Look { color: false, boxes: false, width: Some(40) }
        );
        assert_eq!(
            Look::new(true, Some(999), false, true),
            Look { color: false, boxes: true, width: Some(200) }
        );
        assert_eq!(Look::new(true, None, false, false), Look { color: true, boxes: true, width: Some(80) });
    }

    #[test]
    fn a_bar_shows_the_last_bit() {
        let look = Look { color: false, boxes: true, width: Some(40) };
        assert_eq!(look.bar(0.4).map(|s| s.text), Some("█░░░░░░░░░".to_owned()));
        assert_eq!(look.bar(0.0).map(|s| s.text), Some("░░░░░░░░░░".to_owned()));
        assert_eq!(look.bar(250.0).map(|s| s.text), Some("██████████".to_owned()));
    }
}
