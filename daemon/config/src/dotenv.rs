//! `.env` text -> pairs. Used for settings files and for key files alike.
//!
//! `dotenvy` reads the format (quotes, `export `, comments, escapes), with two corrections: it would replace `$NAME`
//! by whatever the process environment holds, which could carry a secret into a value, so here a dollar sign is only
//! a dollar sign; and its errors repeat the text of the line, so here a bad line is known by its number alone.

use std::cell::Cell;
use std::io::{self, Read};

use zeroize::{Zeroize, Zeroizing};

/// What a `.env` text holds. No `Debug`: values may be secrets, and are wiped on drop.
#[derive(Default)]
pub struct DotEnv {
    /// Names and values in the order of the file; a name may come twice, then the last one counts.
    pub pairs: Vec<(String, String)>,
    /// Numbers (from 1) of lines that are not `NAME=value`.
    pub bad_lines: Vec<usize>,
}

impl Drop for DotEnv {
    fn drop(&mut self) {
        self.pairs.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

impl DotEnv {
    /// The value that counts for `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a `.env` text; a byte order mark and CRLF are fine.
#[must_use]
pub fn parse(text: &str) -> DotEnv {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let dollar = stand_in(text);
    // A last line without its newline would be an error when blanks follow the value.
    let plain = hide_dollars(text, dollar);
    let line = Cell::new(0);
    let mut found = DotEnv::default();
    for pair in dotenvy::from_read_iter(LineByLine { rest: plain.as_bytes(), line: &line }) {
        match pair {
            Ok((name, value)) => found.pairs.push((name, Zeroizing::new(value).replace(dollar, "$"))),
            Err(_) => found.bad_lines.push(line.get()),
        }
    }
    found
}

/// A private-use character that the text does not contain, to stand for the dollar sign while `dotenvy` reads.
fn stand_in(text: &str) -> char {
    ('\u{e000}'..='\u{f8ff}').find(|c| !text.contains(*c)).unwrap_or('\u{e000}')
}

/// Replaces each dollar sign that no backslash protects; `dotenvy` itself turns `\$` into `$`.
/// Adds a newline. The text has room from the beginning: while it grew it would leave copies behind.
fn hide_dollars(text: &str, dollar: char) -> Zeroizing<String> {
    let dollars = text.matches('$').count();
    let mut plain = Zeroizing::new(String::with_capacity(text.len() + dollars * dollar.len_utf8() + 1));
    let mut protected = false;
    plain.extend(text.chars().map(|c| {
        let hide = c == '$' && !protected;
        protected = c == '\\' && !protected;
        if hide { dollar } else { c }
    }));
    plain.push('\n');
    plain
}

/// Hands out one line a read, so that the number of lines read so far is the number of the line being parsed.
struct LineByLine<'a> {
    rest: &'a [u8],
    line: &'a Cell<usize>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.rest.iter().position(|byte| *byte == b'\n').map_or(self.rest.len(), |at| at + 1);
        let count = end.min(buffer.len());
        let (now, later) = self.rest.split_at(count);
        buffer[..count].copy_from_slice(now);
        self.rest = later;
        if now.ends_with(b"\n") {
            self.line.set(self.line.get() + 1);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(text: &str) -> String {
        let found = parse(text);
        assert!(found.bad_lines.is_empty(), "{text:?}: {:?}", found.bad_lines);
        found.get("A").unwrap_or_else(|| panic!("{text:?}")).to_owned()
    }

    #[test]
    fn reads_what_people_write() {
        for (text, expected) in [
            ("A=1", "1"),
            ("\u{feff}A=1\r\nB=2\r\n", "1"),
            ("# comment\n\n  export A='a b' # note\n", "a b"),
            ("A=\"x#y\"", "x#y"),
            ("A=x#y", "x#y"),
            ("A=", ""),
            ("A=1   ", "1"),
            ("A=1\nA=2", "2"),
            ("A='C:\\Users\\me'", "C:\\Users\\me"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_dollar_sign_is_only_a_dollar_sign() {
        // PATH is set in every environment that runs this test.
        for (text, expected) in [
            ("A=$PATH", "$PATH"),
            ("A=${PATH}x", "${PATH}x"),
            ("A=\"a$PATH\"", "a$PATH"),
            ("A='$PATH'", "$PATH"),
            ("A=\\$PATH", "$PATH"),
            ("A=\\\\$PATH", "\\$PATH"),
            ("B=1\nA=$B", "$B"),
            ("A=\u{e000}$", "\u{e000}$"),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }

    #[test]
    fn bad_lines_are_numbered_and_the_rest_is_read() {
        let found = parse("B=1\n\n# c\nno equals sign\nA=2\nC=a b\n9=x\nD=4");
        assert_eq!(found.bad_lines, [4, 6, 7]);
        assert_eq!((found.get("A"), found.get("B"), found.get("D")), (Some("2"), Some("1"), Some("4")));
        assert_eq!(parse("A=1\nB=\"open\nC=3\n").bad_lines, [4]);
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn env_like_text_never_panics(text in "[A\"'\\\\$ #={}\n\r\u{e000}é]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn single_quoted_values_come_back(text in "[^'\\\\\r\n\u{feff}]{0,40}") {
            prop_assert_eq!(value(&format!("A='{text}'")), text);
        }
    }
}
