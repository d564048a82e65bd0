//! Watches an event stream go by: whether it came to its terminal event, and which tokens it counted.

use std::sync::LazyLock;

use memchr::{memchr, memmem};
use serde_json::Value;

use super::error::{self, ErrorText};
use super::usage::{Tokens, Usage, UsageFinder};
use super::wire::Wire;

/// A longer line is skipped: no terminal event, error or usage figure comes near it.
const MAX_LINE: usize = 64 * 1024;

/// What an event stream has said so far.
///
/// Fed with the body's bytes in pieces of any size; the result does not depend on where they are cut. A line that
/// lies within one piece is read where it is; at most one partial line of 64 KiB is kept. Only lines with a usage
/// object, error events, and those before the first output are parsed as JSON. Lines end with LF or CRLF (a lone
/// CR, which the format also allows, is not sent by anyone).
#[derive(Debug)]
pub struct SseScanner {
    wire: Wire,
    usage_finder: UsageFinder,
    partial: Vec<u8>,
    skipping: bool,
    /// The last `event:` line named one of the two events that matter.
    event: NamedEvent,
    terminal: bool,
    output_seen: bool,
    usage: Option<Usage>,
    error: Option<ErrorText>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NamedEvent {
    Other,
    Error,
    MessageStop,
}

impl SseScanner {
    /// A scanner for one response of this wire.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            usage_finder: UsageFinder::new(),
            partial: Vec::new(),
            skipping: false,
            event: NamedEvent::Other,
            terminal: false,
            output_seen: false,
            usage: None,
            error: None,
        }
    }

    /// Takes the next piece of the body.
    pub fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                self.line(line);
            } else if self.keep(line) {
                let whole = std::mem::take(&mut self.partial);
                self.line(&whole);
                // the buffer is used again
                self.partial = whole;
                self.partial.clear();
            } else {
                self.skipping = false;
            }
        }
        if !rest.is_empty() && !self.skipping {
            self.keep(rest);
        }
    }

    /// Whether the stream came to its end as the wire defines it: `data: [DONE]`, `message_stop`, or an error event.
    /// A terminal line counts even if its newline is still to come.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
            || data_of(trim_cr(&self.partial)).is_some_and(|data| match self.wire {
                Wire::OpenAi => data == b"[DONE]",
                Wire::Anthropic => is_message_stop(data),
            })
    }

    /// The text of the error event, if one came.
    #[must_use]
    pub fn error(&self) -> Option<&ErrorText> {
        self.error.as_ref()
    }

    /// Whether anything of the model's answer was seen: text, reasoning, a tool call or a reason to stop. The
    /// opening event with the role alone, pings and comments are none. What cannot be read counts as output,
    /// because output must not be sent twice.
    #[must_use]
    pub fn output_seen(&self) -> bool {
        self.output_seen
    }

    /// The tokens counted so far.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        self.usage.map(Usage::tokens)
    }

    /// Adds to the partial line; false, and the line will be skipped, when it grows too long.
    fn keep(&mut self, part: &[u8]) -> bool {
        if self.partial.len() + part.len() > MAX_LINE {
            self.partial = Vec::new();
            self.skipping = true;
            self.output_seen = true;
            return false;
        }
        self.partial.extend_from_slice(part);
        true
    }

    fn line(&mut self, line: &[u8]) {
        if line.len() > MAX_LINE {
            self.output_seen = true;
            return;
        }
        let line = trim_cr(line);
        match line.first() {
            // the blank line that ends an event
            None => {
                if self.event == NamedEvent::MessageStop {
                    self.terminal = true;
                }
                self.event = NamedEvent::Other;
            }
            Some(b'd') => {
                if let Some(data) = data_of(line) {
                    self.data(data);
                }
            }
            Some(b'e') => {
                if let Some(name) = field_of(line, b"event:") {
                    self.event = match name {
                        b"error" => NamedEvent::Error,
                        b"message_stop" => NamedEvent::MessageStop,
                        _ => NamedEvent::Other,
                    };
                }
            }
            Some(_) => {}
        }
    }

    fn data(&mut self, data: &[u8]) {
        if self.wire == Wire::OpenAi && data == b"[DONE]" {
            self.terminal = true;
            return;
        }
        let named = self.event == NamedEvent::Error;
        if named || looks_like_error(data) || !self.output_seen {
            let unnamed_shape = || named.then(|| error::parse(data).unwrap_or_default());
            if let Some(text) = error::error_event(data).or_else(unnamed_shape) {
                self.terminal = true;
                self.error.get_or_insert(text);
                return;
            }
        }
        if self.wire == Wire::Anthropic && (self.event == NamedEvent::MessageStop || is_message_stop(data)) {
            self.terminal = true;
            return;
        }
        if let Some(usage) = self.usage_finder.find(data) {
            self.usage = Some(self.usage.unwrap_or_default().merge(usage));
        }
        if !self.output_seen {
            self.output_seen = is_output(self.wire, data);
        }
    }
}

fn trim_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    field_of(line, b"data:")
}

fn field_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.strip_prefix(name).map(|value| value.trim_ascii())
}

/// Whether the word stands in it as a whole string, as a name or a value. Inside of another string its quotes would be
/// escaped, so that what the model writes does not look like it.
fn looks_like_error(data: &[u8]) -> bool {
    static WORD: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"error\""));
    WORD.find(data).is_some()
}

/// A complete `message_stop` event, wherever its type stands.
fn is_message_stop(data: &[u8]) -> bool {
    static WORD: LazyLock<memmem::Finder<'static>> =
        LazyLock::new(|| memmem::Finder::new(b"\"message_stop\""));
    let has_type = |event: Value| event.get("type").and_then(Value::as_str) == Some("message_stop");
    WORD.find(data).is_some() && serde_json::from_slice(data).is_ok_and(has_type)
}

fn is_output(wire: Wire, data: &[u8]) -> bool {
    if data.is_empty() {
        return false;
    }
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return true };
    match wire {
        Wire::Anthropic => {
            !matches!(event.get("type").and_then(Value::as_str), Some("message_start" | "ping"))
        }
        Wire::OpenAi => match event.get("choices") {
            Some(Value::Array(choices)) => choices.iter().any(is_openai_output),
            Some(Value::Null) | None => false,
            Some(_) => true,
        },
    }
}

fn is_openai_output(choice: &Value) -> bool {
    let Some(choice) = choice.as_object() else { return true };
    let delta = choice.get("delta").and_then(Value::as_object);
    let said =
        delta.is_some_and(|delta| delta.iter().any(|(name, value)| name != "role" && !is_empty(value)));
    said || ["finish_reason", "message", "text"]
        .iter()
        .any(|name| choice.get(*name).is_some_and(|v| !is_empty(v)))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
#[path = "sse_tests.rs"]
mod tests;
