//! Token figures as responses carry them.

use std::sync::LazyLock;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::figure::{Details, Figure};

/// Tokens of one response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the cache.
    pub cached: u64,
    /// Completion tokens.
    pub output: u64,
}

impl Tokens {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            output: self.output.saturating_add(other.output),
        }
    }

    /// The part of the prompt tokens that came from the cache, 0 to 1; `None` without any.
    #[must_use]
    pub fn cache_share(self) -> Option<f64> {
        (self.input > 0).then(|| (self.cached as f64 / self.input as f64).min(1.0))
    }
}

/// What one `usage` object says, before the parts of a stream are put together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// OpenAI: all of the prompt. Anthropic: what neither came from the cache nor went into it.
    input: u64,
    cache_read: u64,
    /// Anthropic only.
    cache_written: u64,
    output: u64,
    /// Anthropic counts cached tokens beside the input, OpenAI within it.
    cache_beside_input: bool,
}

#[derive(Deserialize)]
struct Raw {
    prompt_tokens: Option<Figure>,
    completion_tokens: Option<Figure>,
    cached_tokens: Option<Figure>,
    prompt_tokens_details: Option<Details>,
    input_tokens: Option<Figure>,
    output_tokens: Option<Figure>,
    cache_read_input_tokens: Option<Figure>,
    cache_creation_input_tokens: Option<Figure>,
}

impl Usage {
    /// Puts two parts of one stream together. Both wires count up over a stream, and a later part may leave out or
    /// zero what an earlier one said (`message_start` has the input, `message_delta` the output).
    #[must_use]
    pub(crate) fn merge(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cache_read: self.cache_read.max(other.cache_read),
            cache_written: self.cache_written.max(other.cache_written),
            output: self.output.max(other.output),
            cache_beside_input: self.cache_beside_input || other.cache_beside_input,
        }
    }

    /// As the rest of the program counts.
    #[must_use]
    pub fn tokens(self) -> Tokens {
        let input = if self.cache_beside_input {
            self.input.saturating_add(self.cache_read).saturating_add(self.cache_written)
        } else {
            self.input.max(self.cache_read)
        };
        Tokens { input, cached: self.cache_read, output: self.output }
    }
}

/// Reads a `usage` object of either wire; bytes after the object are ignored. `None` when it names no figure.
#[must_use]
pub(crate) fn from_json(bytes: &[u8]) -> Option<Usage> {
    let raw: Raw = serde_json::Deserializer::from_slice(bytes).into_iter().next()?.ok()?;
    let count = |figure: Option<Figure>| figure.unwrap_or_default().0;
    if let (None, None) = (raw.prompt_tokens, raw.completion_tokens) {
        let figures = [
            raw.input_tokens,
            raw.output_tokens,
            raw.cache_read_input_tokens,
            raw.cache_creation_input_tokens,
        ];
        if figures.iter().all(Option::is_none) {
            return None;
        }
        let [input, output, cache_read, cache_written] = figures.map(count);
        return Some(Usage { input, cache_read, cache_written, output, cache_beside_input: true });
    }
    let details = raw.prompt_tokens_details.and_then(|details| details.cached_tokens());
    Some(Usage {
        input: count(raw.prompt_tokens),
        cache_read: count(raw.cached_tokens).max(count(details)),
        cache_written: 0,
        output: count(raw.completion_tokens),
        cache_beside_input: false,
    })
}

/// Finds the objects that follow a `"usage":` in a piece of JSON, wherever they stand in it.
///
/// Inside a JSON string the quotes are escaped, so the bytes `"usage"` are always a string of their own: what a
/// model writes about usage is never taken for it. Moonshot puts the object into `choices[0]` in streams
/// [kimi-code 2.1.0], Anthropic's `message_start` into `message`; so its place is not checked.
#[derive(Debug, Clone)]
pub(crate) struct UsageFinder(memmem::Finder<'static>);

impl UsageFinder {
    pub(crate) fn new() -> Self {
        // Making it costs more than a short search.
        static FINDER: LazyLock<memmem::Finder<'static>> =
            LazyLock::new(|| memmem::Finder::new(b"\"usage\""));
        Self(FINDER.clone())
    }

    /// All usage objects in `json`, put together.
    pub(crate) fn find(&self, json: &[u8]) -> Option<Usage> {
        let mut found: Option<Usage> = None;
        for at in self.0.find_iter(json) {
            let after = skip_spaces(&json[at + self.0.needle().len()..]);
            let Some(value) = after.strip_prefix(b":").map(skip_spaces) else { continue };
            if value.first() == Some(&b'{')
                && let Some(usage) = from_json(value)
            {
                found = Some(found.unwrap_or_default().merge(usage));
            }
        }
        found
    }
}

pub(crate) fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    &bytes[spaces..]
}

/// The end of a JSON body, kept to read its usage when the body is complete.
#[derive(Debug, Default)]
pub struct JsonTail {
    kept: Vec<u8>,
}

/// Both wires put `usage` behind the output; the object itself has a few hundred bytes.
const TAIL: usize = 16 * 1024;

impl JsonTail {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the body. Holds at most 32 KiB.
    pub fn feed(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(TAIL)..];
        if self.kept.len() + chunk.len() > 2 * TAIL {
            let keep_from = self.kept.len().saturating_sub(TAIL);
            self.kept.drain(..keep_from);
        }
        self.kept.extend_from_slice(chunk);
    }

    /// The usage that the body ends with.
    #[must_use]
    pub fn tokens(&self) -> Option<Tokens> {
        let tail = &self.kept[self.kept.len().saturating_sub(TAIL)..];
        UsageFinder::new().find(tail).map(Usage::tokens)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    fn tokens(json: &str) -> Option<(u64, u64, u64)> {
        from_json(json.as_bytes()).map(Usage::tokens).map(|t| (t.input, t.cached, t.output))
    }

    #[test]
    fn both_wires() {
        for (json, expected) in [
            (r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#, Some((10, 0, 5))),
            (r#"{"prompt_tokens":10,"completion_tokens":5,"cached_tokens":7}"#, Some((10, 7, 5))),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":8}}"#,
                Some((10, 8, 5)),
            ),
            (r#"{"prompt_tokens":10,"prompt_tokens_details":null}"#, Some((10, 0, 0))),
            (r#"{"prompt_tokens":"10","completion_tokens":5.0}"#, Some((10, 0, 5))),
            (r#"{"prompt_tokens":-3,"completion_tokens":1e300}"#, Some((0, 0, u64::MAX))),
            (
                r#"{"input_tokens":3,"cache_read_input_tokens":90,"cache_creation_input_tokens":7,"output_tokens":2}"#,
                Some((100, 90, 2)),
            ),
            (r#"{"output_tokens":2}}, "more""#, Some((0, 0, 2))),
            ("{}", None),
            (r#"{"total":1}"#, None),
            (r#"{"prompt_tokens":1"#, None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(tokens(json), expected, "{json}");
        }
    }

    #[test]
    fn an_anthropic_stream_says_it_in_two_parts() {
        let start =
            from_json(br#"{"input_tokens":3,"cache_read_input_tokens":90,"output_tokens":1}"#).unwrap();
        let delta = from_json(br#"{"output_tokens":40}"#).unwrap();
        assert_eq!(start.merge(delta).tokens(), Tokens { input: 93, cached: 90, output: 40 });
        assert_eq!(start.merge(delta), delta.merge(start));
    }

    #[test]
    fn what_a_model_writes_is_not_usage() {
        let finder = UsageFinder::new();
        let text = serde_json::json!({ "content": r#"{"usage":{"prompt_tokens":1}}"# }).to_string();
        assert_eq!(finder.find(text.as_bytes()), None);
        assert_eq!(finder.find(br#"{"usage":null,"kind":"usage"}"#), None);
    }

    #[test]
    fn the_end_of_a_long_body() {
        let body = format!(
            r#"{{"choices":[{{"message":{{"content":"{}"}}}}],"usage": {{"prompt_tokens":10,"completion_tokens":5}}}}"#,
            "x".repeat(100_000)
        );
        for size in [1, 7, 4096, 40_000, body.len()] {
            let mut tail = JsonTail::new();
            for chunk in body.as_bytes().chunks(size) {
                tail.feed(chunk);
                assert!(tail.kept.len() <= 2 * TAIL);
            }
            assert_eq!(tail.tokens(), Some(Tokens { input: 10, cached: 0, output: 5 }), "{size}");
        }
        assert_eq!(JsonTail::new().tokens(), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = from_json(&bytes);
            let mut tail = JsonTail::new();
            tail.feed(b"\"usage\":{");
            tail.feed(&bytes);
            let _ = tail.tokens();
        }
    }
}
