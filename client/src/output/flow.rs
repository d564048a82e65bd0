//! Text that flows: spans that break between each other, and long ones between words.

use super::style::{Look, Paint, Span, width};

/// Where a word stands that is too long for its place but not for the line.
const OUTERMOST: usize = 2;

/// A lead that is no wider is a mark, which stands beside what it marks in any case.
const WIDEST_MARK: usize = 5;

/// Puts spans one after another, two columns apart, and breaks before one that would not fit.
///
/// The first line starts with `lead`, the others with as many blanks as `indent`, or with less where a long word only
/// fits so.
pub(crate) fn spans(look: Look, lead: &str, indent: usize, spans: &[Span]) -> String {
    let room = look.columns();
    let mut text = lead.to_owned();
    let mut column = width(lead);
    let mut fresh = true;
    for span in spans.iter().filter(|span| !span.text.is_empty()) {
        let gap = if fresh { 0 } else { 2 };
        let mut shown = span.text.as_str();
        if fresh && width(lead) > WIDEST_MARK && place(shown, column, room) < column {
            text.truncate(text.trim_end().len());
            // A lead of blanks is a place, and leaves no line.
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&" ".repeat(OUTERMOST));
            column = OUTERMOST;
        } else if !fresh && column + gap + width(shown) > room {
            column = place(shown, indent, room);
            newline(&mut text, column);
            // Blanks before a figure line it up with those above and below it, which a new line has none of.
            shown = shown.trim_start();
        } else {
            text.push_str(&" ".repeat(gap));
            column += gap;
        }
        for (index, line) in
            wrap(shown, room.saturating_sub(column), room.saturating_sub(indent)).into_iter().enumerate()
        {
            if index > 0 {
                column = place(&line, indent, room);
                newline(&mut text, column);
            }
            column += width(&line);
            text.push_str(&look.paint(span.paint, &line));
        }
        fresh = false;
    }
    text.push('\n');
    text
}

/// Lines of plain text, each of which goes on two columns further in than it began.
pub(crate) fn lines(look: Look, text: &str) -> String {
    let flowing = |line: &str| {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        spans(look, &line[..indent], indent + 2, &[Span::plain(words)])
    };
    text.lines().map(flowing).collect()
}

/// Where a line begins that wants to begin at `indent`: further out if its first word only fits there.
fn place(line: &str, indent: usize, room: usize) -> usize {
    let first = words(line).first().map_or(0, |word| width(word));
    let fits = |indent: usize| indent + first <= room;
    if !fits(indent) && fits(OUTERMOST) { OUTERMOST.min(indent) } else { indent }
}

fn newline(text: &mut String, indent: usize) {
    text.push('\n');
    text.push_str(&" ".repeat(indent));
}

/// Breaks a text between words into a first line of `first` columns and others of `rest`. A word that is longer
/// than a line stays whole: paths and addresses are there to be copied, and so is a command between backticks.
pub(super) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    if width(text) <= first {
        return vec![text.to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        let room = if lines.is_empty() { first } else { rest };
        if !line.is_empty() && width(&line) + 1 + width(&word) > room {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

/// What stands between blanks, but as one a text between backticks, a number with its unit, a date with its time.
pub(super) fn words(text: &str) -> Vec<String> {
    let paired = text.matches('`').count().is_multiple_of(2);
    let mut words: Vec<String> = Vec::new();
    let mut before = "";
    for piece in text.split(' ') {
        let belongs = (is_number(before) && is_unit(piece)) || (is_date(before) && is_clock(piece));
        match words.last_mut() {
            Some(word) if belongs || (paired && !word.matches('`').count().is_multiple_of(2)) => {
                word.push(' ');
                word.push_str(piece);
            }
            _ => words.push(piece.to_owned()),
        }
        before = piece;
    }
    words
}

/// `48`, `(12.3`
fn is_number(word: &str) -> bool {
    let word = word.trim_start_matches('(');
    word.starts_with(|c: char| c.is_ascii_digit()) && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// `s`, `мин`, `%)`: a short word behind a number stays with it, which harms nothing where it is no unit.
fn is_unit(word: &str) -> bool {
    let word = word.trim_end_matches(['.', ',', ';', ':', ')']);
    (1..=3).contains(&word.chars().count()) && word.chars().all(|c| c.is_alphabetic() || c == '%')
}

/// `2026-11-23`
fn is_date(word: &str) -> bool {
    let word = word.trim_start_matches('(');
    word.len() == 10
        && word.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && word.matches('-').count() == 2
}

/// `14:05)`
fn is_clock(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.contains(':')
}

/// Names on the left, values on the right, each value flowing in its own column.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    rows: Vec<(String, Vec<Span>)>,
}

impl Fields {
    /// Adds a row; one without a value is left out.
    pub(crate) fn row(&mut self, name: String, value: Vec<Span>) {
        if value.iter().any(|span| !span.text.is_empty()) {
            self.rows.push((name, value));
        }
    }

    /// The text.
    pub(crate) fn render(&self, look: Look) -> String {
        let names = self.rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in &self.rows {
            let padding = " ".repeat(names - width(name) + 2);
            // The lead is measured without its colour codes, so it is painted afterwards.
            let line = spans(look, &format!("{name}{padding}"), names + 2, value);
            match line.strip_prefix(name.as_str()) {
                Some(after) => {
                    text.push_str(&look.paint(Paint::Faint, name));
                    text.push_str(after);
                }
                None => text.push_str(&line),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(width: usize) -> Look {
        Look { color: false, boxes: true, width: Some(width) }
    }

    #[test]
    fn breaks_between_spans_first() {
        let parts = [Span::plain("one two"), Span::plain("three"), Span::plain("four")];
        assert_eq!(spans(look(14), "- ", 2, &parts), "- one two\n  three  four\n");
    }

    #[test]
    fn breaks_a_long_span_between_words() {
        let parts = [Span::plain("alpha beta gamma delta")];
        assert_eq!(spans(look(14), "", 2, &parts), "alpha beta\n  gamma delta\n");
    }

    #[test]
    fn lines_keep_their_indent() {
        let text = "error: these are wrong:\n  - the first and the second\n\nnext: correct them";
        assert_eq!(
            lines(look(18), text),
            "error: these are\n  wrong:\n  - the first and\n    the second\n\nnext: correct them\n"
        );
        assert_eq!(lines(Look { width: None, ..look(18) }, text), format!("{text}\n"));
    }

    #[test]
    fn a_command_stays_whole() {
        let parts = [Span::plain("then `kmi proxy-restart -f`, please"), Span::plain("a ` alone is text")];
        assert_eq!(
            spans(look(16), "", 2, &parts),
            "then\n  `kmi proxy-restart -f`,\n  please\n  a ` alone is\n  text\n"
        );
    }

    #[test]
    fn a_number_stays_with_its_unit() {
        let parts = [Span::plain("работает уже 48 с, прочитано (12.5 % за 3 мин) из 40 ключей")];
        for columns in 12..60 {
            let text = spans(look(columns), "", 0, &parts);
            for pair in ["48 с", "(12.5 %", "3 мин)"] {
                assert!(text.contains(pair), "{columns}: {text}");
            }
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}: {text}");
        }
        let day = [Span::plain("обновится через 2 дн (2026-11-25 12:00)")];
        assert_eq!(spans(look(34), "", 0, &day), "обновится через 2 дн\n(2026-11-25 12:00)\n");
        assert!(spans(look(15), "", 0, &[Span::plain("прочитано из 40 ключей")]).contains("40\nключей"));
    }

    #[test]
    fn a_long_word_stands_further_out_where_it_only_fits_there() {
        let url = "http://127.0.0.1:1/kmi";
        assert_eq!(spans(look(24), "proxy       ", 12, &[Span::plain(url)]), format!("proxy\n  {url}\n"));
        assert_eq!(spans(look(40), "proxy       ", 12, &[Span::plain(url)]), format!("proxy       {url}\n"));
        // In the middle of the text, too.
        let parts = [Span::plain(format!("it is at {url} now"))];
        assert_eq!(spans(look(26), "", 6, &parts), format!("it is at\n  {url}\n      now\n"));
        // It fits nowhere, or stands beside its mark.
        let long = [Span::plain("/a/path/that/fits/nowhere")];
        assert_eq!(spans(look(20), "  name  ", 8, &long), "  name  /a/path/that/fits/nowhere\n");
        assert_eq!(spans(look(24), "  !  ", 4, &[Span::plain(url)]), format!("  !  {url}\n"));
    }

    #[test]
    fn a_figure_on_a_new_line_is_not_lined_up() {
        let parts = [Span::plain("12:00:00"), Span::plain("   85 ms")];
        assert_eq!(spans(look(14), "", 2, &parts), "12:00:00\n  85 ms\n");
    }

    #[test]
    fn names_line_up_by_columns() {
        let mut fields = Fields::default();
        fields.row("ключ".into(), vec![Span::plain("a")]);
        fields.row("key-name".into(), vec![Span::plain("b")]);
        fields.row("empty".into(), vec![Span::plain("")]);
        assert_eq!(fields.render(look(40)), "ключ      a\nkey-name  b\n");
    }
}
