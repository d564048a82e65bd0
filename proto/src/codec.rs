//! Framing: one message a line, bounded each way.

use serde::Serialize;

/// The longest message, without its line end.
pub const MAX_LINE: usize = 1024 * 1024;

/// Cuts incoming bytes into lines. It holds at most one unfinished line and knows nothing of where bytes come from,
/// so that blocking and async readers share it.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
    /// The line under way was refused already; drop what is left of it.
    skipping: bool,
}

/// A line was longer than [`MAX_LINE`]. It is dropped; the next line is read as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than {MAX_LINE} bytes; it was skipped")]
pub struct LineTooLong;

impl Decoder {
    /// A decoder at the start of a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `input` up to the end of a line and returns that line without its `\n` or
    /// `\r\n`; `None` when all of `input` was taken and the line goes on.
    pub fn next_line(&mut self, input: &mut &[u8]) -> Option<Result<Vec<u8>, LineTooLong>> {
        while !input.is_empty() {
            let end = input.iter().position(|byte| *byte == b'\n');
            let (piece, rest) = input.split_at(end.unwrap_or(input.len()));
            *input = if end.is_some() { &rest[1..] } else { rest };
            if self.skipping {
                self.skipping = end.is_none();
                continue;
            }
            // One byte more than the bound may be the `\r` of the line end.
            let room = MAX_LINE + 1 - self.partial.len();
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.len() > room || (end.is_some() && too_long(&self.partial)) {
                self.partial = Vec::new();
                self.skipping = end.is_none();
                return Some(Err(LineTooLong));
            }
            if end.is_some() {
                return Some(Ok(without_cr(std::mem::take(&mut self.partial))));
            }
        }
        None
    }

    /// What stands after the last line end when the other side has closed; `None` when nothing does.
    pub fn finish(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        let last = std::mem::take(&mut self.partial);
        let skipped = std::mem::take(&mut self.skipping);
        match last {
            _ if skipped => None,
            last if last.is_empty() => None,
            last if too_long(&last) => Some(Err(LineTooLong)),
            last => Some(Ok(without_cr(last))),
        }
    }
}

fn too_long(line: &[u8]) -> bool {
    line.strip_suffix(b"\r").unwrap_or(line).len() > MAX_LINE
}

fn without_cr(mut line: Vec<u8>) -> Vec<u8> {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    line
}

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It is longer than a line may be.
    #[error("the message is {0} bytes long; at most {MAX_LINE} can be sent")]
    TooLong(usize),
    /// It has no JSON form.
    #[error("the message has no JSON form")]
    Json(#[from] serde_json::Error),
}

/// A message as one line, with its line end.
///
/// # Errors
/// When it is too long or has no JSON form.
pub fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, EncodeError> {
    let mut line = serde_json::to_vec(message)?;
    if line.len() > MAX_LINE {
        return Err(EncodeError::TooLong(line.len()));
    }
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;

    use super::*;

    /// All lines of `bytes`, fed in pieces of `step`.
    fn lines(bytes: &[u8], step: usize) -> Vec<Result<Vec<u8>, LineTooLong>> {
        let mut decoder = Decoder::new();
        let mut lines = Vec::new();
        for mut piece in bytes.chunks(step) {
            while let Some(line) = decoder.next_line(&mut piece) {
                lines.push(line);
            }
            assert!(piece.is_empty());
        }
        lines.extend(decoder.finish());
        lines
    }

    #[test]
    fn line_ends_of_every_kind() {
        let expected = ["a", "", "b\rc", "d"].map(|line| Ok(line.as_bytes().to_vec()));
        for step in 1..12 {
            assert_eq!(lines(b"a\r\n\nb\rc\nd", step), expected);
        }
    }

    #[test]
    fn the_bound_is_exact_and_the_next_line_is_read() {
        for step in [7, 4096, 3 * MAX_LINE] {
            let line = |extra: usize, end: &str| [&vec![b'x'; MAX_LINE + extra], end.as_bytes()].concat();
            let input =
                [line(0, "\n"), line(0, "\r\n"), line(1, "\n"), b"next\n".to_vec(), line(1, "")].concat();
            let got: Vec<_> =
                lines(&input, step).into_iter().map(|line| line.map(|line| line.len())).collect();
            assert_eq!(got, [Ok(MAX_LINE), Ok(MAX_LINE), Err(LineTooLong), Ok(4), Err(LineTooLong)]);
        }
    }

    #[test]
    fn an_over_long_line_is_refused_once_and_before_its_end() {
        let mut decoder = Decoder::new();
        let many = vec![b'x'; MAX_LINE];
        let mut refused = 0;
        for _ in 0..5 {
            refused += usize::from(decoder.next_line(&mut many.as_slice()).is_some());
            assert!(decoder.partial.capacity() <= 2 * MAX_LINE + 2);
        }
        assert_eq!(refused, 1);
        assert_eq!(decoder.next_line(&mut b"tail\nok\n".as_slice()), Some(Ok(b"ok".to_vec())));
    }

    #[test]
    fn encoding_adds_one_line_end_and_keeps_the_bound() {
        assert_eq!(encode("a\nb").unwrap(), b"\"a\\nb\"\n");
        assert!(
            matches!(encode(&"x".repeat(MAX_LINE - 1)), Err(EncodeError::TooLong(n)) if n == MAX_LINE + 1)
        );
        assert_eq!(encode(&"x".repeat(MAX_LINE - 2)).unwrap().len(), MAX_LINE + 1);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()],
                0..200), step in 1usize..50) {
            prop_assert_eq!(lines(&bytes, step), lines(&bytes, 1000));
        }
    }
}
