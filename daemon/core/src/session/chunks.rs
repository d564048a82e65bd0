//! JSON text that lies in chunks, read byte by byte and string by string without joining them.

use std::slice::Iter;

use memchr::memchr2;

/// A place in a text that lies in chunks.
pub(super) struct Chunks<'a, C> {
    rest: Iter<'a, C>,
    here: &'a [u8],
}

impl<'a, C: AsRef<[u8]>> Chunks<'a, C> {
    pub(super) fn new(chunks: &'a [C]) -> Self {
        Self { rest: chunks.iter(), here: &[] }
    }

    /// What is left of this chunk, or the next one that holds a byte; empty at the end of the text.
    #[inline]
    fn piece(&mut self) -> &'a [u8] {
        while self.here.is_empty() {
            let Some(next) = self.rest.next() else { break };
            self.here = next.as_ref();
        }
        self.here
    }

    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        self.piece().first().copied()
    }

    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.here = &self.here[1..];
        Some(byte)
    }

    /// The next byte that is no white space, still to be read; `None` at the end.
    #[inline]
    pub(super) fn peek_token(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.here = &self.here[1..],
                token => return Some(token),
            }
        }
    }

    /// Reads the next byte that is no white space.
    #[inline]
    pub(super) fn token(&mut self) -> Option<u8> {
        let token = self.peek_token()?;
        self.here = &self.here[1..];
        Some(token)
    }

    /// Reads `word`; `None` when something else stands there.
    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        word.iter().all(|&byte| self.next() == Some(byte)).then_some(())
    }

    /// Goes behind the string whose opening quote has been read. What stands in it is not looked at.
    #[inline]
    pub(super) fn skip_string(&mut self) -> Option<()> {
        loop {
            let piece = self.piece();
            if piece.is_empty() {
                return None;
            }
            let Some(at) = memchr2(b'"', b'\\', piece) else {
                self.here = &[];
                continue;
            };
            self.here = &piece[at + 1..];
            if piece[at] == b'"' {
                return Some(());
            }
            // Of `\u0022` only the u is skipped: what follows holds neither quote nor backslash.
            self.next()?;
        }
    }

    /// Reads the string whose opening quote has been read into `text`, as UTF-8 with its escapes resolved. `None` when
    /// it is no JSON string. Behind `most` bytes it is read no further but to its end; `text` is then longer than
    /// `most`.
    pub(super) fn read_string(&mut self, text: &mut Vec<u8>, most: usize) -> Option<()> {
        text.clear();
        while text.len() <= most {
            // Mostly the whole string in one step.
            let piece = self.piece();
            let room = &piece[..piece.len().min(most + 1 - text.len())];
            let plain = room.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
            text.extend_from_slice(&piece[..plain]);
            self.here = &piece[plain..];
            if plain == room.len() && plain > 0 {
                continue;
            }
            match self.next()? {
                b'"' => return std::str::from_utf8(text).ok().map(|_| ()),
                b'\\' => self.read_escape(text)?,
                // Nothing else ends what is plain.
                _ => return None,
            }
        }
        self.skip_string()
    }

    fn read_escape(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let byte = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let char = self.read_unicode()?;
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        text.push(byte);
        Some(())
    }

    /// The character whose `\u` has been read; beyond the first plane there are two of them (RFC 8259, section 7).
    fn read_unicode(&mut self) -> Option<char> {
        let first = self.read_hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.word(b"\\u")?;
        let second = self.read_hex()?.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
    }

    fn read_hex(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.next()?).to_digit(16)?;
        }
        Some(value)
    }

    /// Goes behind a number (RFC 8259, section 6).
    pub(super) fn skip_number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.next();
        }
        match self.peek()? {
            b'0' => self.next().map(|_| ())?,
            _ => self.skip_digits()?,
        }
        if self.peek() == Some(b'.') {
            self.next();
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.next();
            if let Some(b'+' | b'-') = self.peek() {
                self.next();
            }
            self.skip_digits()?;
        }
        Some(())
    }

    /// Goes behind one digit or more.
    fn skip_digits(&mut self) -> Option<()> {
        self.next().filter(u8::is_ascii_digit)?;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.next();
        }
        Some(())
    }
}
