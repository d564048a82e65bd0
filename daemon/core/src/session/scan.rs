//! Finding a session's name, the model's, and whether a stream is wanted, in a request body.
//!
//! The field stands behind the messages and the tools, at the end of a body that may be megabytes [kimi-upstream.md,
//! 2026-11], so the whole body is gone through: its brackets are followed, its strings are skipped unread. No tree is
//! built, nothing is copied but the names.

use super::SessionId;
use super::chunks::Chunks;
use crate::history::OTHER;
use crate::kimi::wire::Wire;

/// A longer name is none: clients use a UUID or a few of them.
const LONGEST_NAME: usize = 4096;
/// Deeper bodies have no session; serde_json stops at the same depth.
const DEEPEST: usize = 127;
/// The field with the model, on both wires.
const MODEL: &str = "model";
/// The field that asks for an event stream, on both wires.
const STREAM: &str = "stream";
/// A longer name, or one of other characters than `A-Z a-z 0-9 . _ / -`, is not told apart from others like it.
const LONGEST_MODEL: usize = 64;

/// What a request body names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The session that it belongs to.
    pub session: Option<SessionId>,
    /// Its top-level `model`; `other` for what is no name of one.
    pub model: Option<Box<str>>,
    /// Whether its top-level `stream` is true: an event stream is wanted.
    pub stream: bool,
}

/// The session that a request body, given in chunks, belongs to: its top-level `prompt_cache_key` on the OpenAI wire,
/// its `metadata.user_id` on the Anthropic one. And its model, and
/// whether it asks for an event stream. Of a field that stands there twice the last counts, as
/// JSON parsers have it.
///
/// `None` each when there is no such string, or it is empty or (a session) longer than 4 KiB, or the body is no JSON.
/// Strings beside the names are skipped unread: a body that is wrong only inside one of them may have a session all
/// the same.
#[must_use]
pub fn scan<C: AsRef<[u8]>>(wire: Wire, chunks: &[C]) -> Named {
    let path: &'static [&'static str] = match wire {
        Wire::OpenAi => &["prompt_cache_key"],
        Wire::Anthropic => &["metadata", "user_id"],
    };
    let mut scan = Scan {
        chunks: Chunks::new(chunks),
        path,
        matched: 0,
        depth: 0,
        objects: 0,
        text: Vec::new(),
        name: None,
        at: Top::Other,
        model: None,
        stream: false,
    };
    if scan.document().is_none() {
        return Named::default();
    }
    let session = scan.name.map(|name| SessionId::of(wire, &name));
    Named { session, model: scan.model, stream: scan.stream }
}

/// What may stand next.
#[derive(Clone, Copy)]
enum Next {
    Value,
    FirstItem,
    FirstKey,
    Key,
    /// A value has ended.
    CommaOrEnd,
}

/// A key of the outermost object.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Top {
    Model,
    Stream,
    Other,
}

struct Scan<'a, C> {
    chunks: Chunks<'a, C>,
    /// The names that lead to the field, from the outermost object inwards.
    path: &'static [&'static str],
    /// How many of them the keys of the objects around this place match.
    matched: usize,
    /// How many objects and arrays are open.
    depth: usize,
    /// One bit for each of them, the innermost lowest: whether it is an object.
    objects: u128,
    /// Keys and names are read into this.
    text: Vec<u8>,
    name: Option<String>,
    /// The outermost object's last key.
    at: Top,
    model: Option<Box<str>>,
    stream: bool,
}

impl<C: AsRef<[u8]>> Scan<'_, C> {
    /// Goes through the whole document; `None` when it is not one JSON object.
    fn document(&mut self) -> Option<()> {
        if self.chunks.peek_token()? != b'{' {
            return None;
        }
        let mut next = Next::Value;
        loop {
            next = match next {
                Next::Value => self.value()?,
                Next::FirstItem if self.chunks.peek_token()? == b']' => Next::CommaOrEnd,
                Next::FirstItem => Next::Value,
                Next::FirstKey if self.chunks.peek_token()? == b'}' => Next::CommaOrEnd,
                Next::FirstKey | Next::Key => self.key()?,
                Next::CommaOrEnd if self.depth == 0 => break,
                Next::CommaOrEnd => self.comma_or_end()?,
            };
        }
        self.chunks.peek_token().is_none().then_some(())
    }

    fn value(&mut self) -> Option<Next> {
        match self.chunks.peek_token()? {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => {
                self.chunks.next();
                if self.is_the_field() {
                    self.read_name()?;
                } else if self.depth == 1 && self.at == Top::Model {
                    self.read_model()?;
                } else {
                    self.chunks.skip_string()?;
                }
            }
            b't' => {
                self.chunks.word(b"true")?;
                self.stream |= self.depth == 1 && self.at == Top::Stream;
            }
            b'f' => self.chunks.word(b"false")?,
            b'n' => self.chunks.word(b"null")?,
            _ => self.chunks.skip_number()?,
        }
        Some(Next::CommaOrEnd)
    }

    fn open(&mut self, object: bool) -> Option<Next> {
        if self.depth == DEEPEST {
            return None;
        }
        self.chunks.next();
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        Some(if object { Next::FirstKey } else { Next::FirstItem })
    }

    fn comma_or_end(&mut self) -> Option<Next> {
        let in_object = self.objects & 1 == 1;
        match (self.chunks.token()?, in_object) {
            (b',', true) => Some(Next::Key),
            (b',', false) => Some(Next::Value),
            (b'}', true) | (b']', false) => {
                self.depth -= 1;
                self.objects >>= 1;
                Some(Next::CommaOrEnd)
            }
            _ => None,
        }
    }

    fn key(&mut self) -> Option<Next> {
        if self.chunks.token()? != b'"' {
            return None;
        }
        // Only the keys of objects that lie on the path are looked at.
        let outside = self.depth - 1;
        if self.matched >= outside && outside < self.path.len() {
            let wanted = self.path[outside];
            let longest = if outside == 0 { wanted.len().max(STREAM.len()) } else { wanted.len() };
            self.chunks.read_string(&mut self.text, longest)?;
            self.matched = outside;
            if outside == 0 {
                // Whatever stands here takes the place of what stood under the same key before.
                if self.text == MODEL.as_bytes() {
                    (self.at, self.model) = (Top::Model, None);
                } else if self.text == STREAM.as_bytes() {
                    (self.at, self.stream) = (Top::Stream, false);
                } else {
                    self.at = Top::Other;
                }
            }
            if self.text == wanted.as_bytes() {
                self.matched += 1;
                self.name = None;
            }
        } else {
            self.chunks.skip_string()?;
        }
        (self.chunks.token()? == b':').then_some(Next::Value)
    }

    fn is_the_field(&self) -> bool {
        self.depth == self.path.len() && self.matched == self.depth
    }

    fn read_name(&mut self) -> Option<()> {
        self.chunks.read_string(&mut self.text, LONGEST_NAME)?;
        if !self.text.is_empty() && self.text.len() <= LONGEST_NAME {
            self.name = String::from_utf8(std::mem::take(&mut self.text)).ok();
        }
        Some(())
    }

    fn read_model(&mut self) -> Option<()> {
        self.chunks.read_string(&mut self.text, LONGEST_MODEL)?;
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/-".contains(byte);
        self.model = match std::str::from_utf8(&self.text) {
            Ok("") => None,
            Ok(name) if name.len() <= LONGEST_MODEL && name.bytes().all(|byte| plain(&byte)) => {
                Some(name.into())
            }
            _ => Some(OTHER.into()),
        };
        Some(())
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
