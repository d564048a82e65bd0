//! What is looked for in a response's bytes: the terminal event, an error event, the usage. Compressed bytes pass as
//! they are and are read on a copy.

use http::header::HeaderMap;
use kmid_core::kimi::error::ErrorText;
use kmid_core::kimi::sse::SseScanner;
use kmid_core::kimi::usage::{JsonTail, Tokens};
use kmid_core::kimi::wire::Wire;

use super::decode::{Readable, Reader};

/// A reader beside the stream.
#[derive(Debug)]
pub(super) enum Watch {
    /// What cannot be read, or has nothing in it to be found.
    Nothing,
    /// An event stream.
    Events(Box<Readable<SseScanner>>),
    /// A JSON document.
    Json(Box<Readable<JsonTail>>),
}

impl Watch {
    /// Reads events.
    pub(super) fn events(wire: Wire, headers: &HeaderMap) -> Self {
        Readable::of(SseScanner::new(wire), headers)
            .map_or(Self::Nothing, |copy| Self::Events(Box::new(copy)))
    }

    /// Reads JSON.
    pub(super) fn json(headers: &HeaderMap) -> Self {
        Readable::of(JsonTail::new(), headers).map_or(Self::Nothing, |copy| Self::Json(Box::new(copy)))
    }

    /// Bytes that pass.
    pub(super) fn feed(&mut self, data: &[u8]) {
        let read = match self {
            Self::Nothing => return,
            Self::Events(copy) => copy.feed(data),
            Self::Json(copy) => copy.feed(data),
        };
        if read.is_err() {
            // Not what its header says: nobody can judge it.
            *self = Self::Nothing;
        }
    }

    /// Whether events are seen as soon as their bytes have passed.
    pub(super) fn reads_at_once(&self) -> bool {
        matches!(self, Self::Events(copy) if copy.reads_at_once())
    }

    /// The events, where they can be read.
    pub(super) fn scanner(&self) -> Option<&SseScanner> {
        match self {
            Self::Events(copy) => Some(copy.reader()),
            Self::Nothing | Self::Json(_) => None,
        }
    }

    /// An error event, which is a refusal that came late.
    pub(super) fn error(&self) -> Option<&ErrorText> {
        self.scanner()?.error()
    }

    /// What the answer says about its usage.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Nothing => None,
            Self::Events(copy) => copy.reader().tokens(),
            Self::Json(copy) => copy.reader().tokens(),
        }
    }
}

impl Reader for SseScanner {
    fn read(&mut self, data: &[u8]) {
        self.feed(data);
    }
}

impl Reader for JsonTail {
    fn read(&mut self, data: &[u8]) {
        self.feed(data);
    }
}

#[cfg(test)]
mod tests {

    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use http::header::{CONTENT_ENCODING, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    const STREAM: &str =
        "data: {\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";

    fn headers(encoding: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))])
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn deflate(text: &str) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn br(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
        encoder.write_all(text.as_bytes()).unwrap();
        drop(encoder);
        out
    }

    fn zstd(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn saw_the_end(watch: &Watch) -> bool {
        watch.scanner().is_some_and(SseScanner::terminal)
    }

    #[test]
    fn an_event_is_seen_as_soon_as_its_bytes_have_passed() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut watch = Watch::events(Wire::OpenAi, &headers("gzip"));
        encoder.write_all(b"data: {}\n\n").unwrap();
        encoder.flush().unwrap();
        watch.feed(&std::mem::take(encoder.get_mut()));
        assert!(!saw_the_end(&watch));
        encoder.write_all(b"data: [DONE]\n\n").unwrap();
        encoder.flush().unwrap();
        watch.feed(&std::mem::take(encoder.get_mut()));
        assert!(saw_the_end(&watch), "the stream itself goes on");
    }

    #[test]
    fn what_cannot_be_read_is_not_judged() {
        for encoding in ["compress", "gzip, gzip", "x-unknown"] {
            assert!(matches!(Watch::events(Wire::OpenAi, &headers(encoding)), Watch::Nothing), "{encoding}");
        }
        let mut watch = Watch::events(Wire::OpenAi, &headers("gzip"));
        watch.feed(b"data: [DONE]\n\n");
        assert!(matches!(watch, Watch::Nothing));
    }

    #[test]
    fn usage_is_found_in_compressed_json() {
        let mut watch = Watch::json(&headers("gzip"));
        watch.feed(&gzip("{\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3}}"));
        assert_eq!(watch.tokens().unwrap().input, 12);
    }

    proptest! {
        #[test]
        fn cut_anywhere_it_reads_the_same(cuts in prop::collection::vec(1usize..40, 0..20)) {
            for (encoding, bytes) in [
                ("identity", STREAM.as_bytes().to_vec()),
                ("gzip", gzip(STREAM)),
                ("deflate", deflate(STREAM)),
                ("br", br(STREAM)),
                ("zstd", zstd(STREAM)),
            ] {
                let mut watch = Watch::events(Wire::OpenAi, &headers(encoding));
                let mut rest = &bytes[..];
                for cut in &cuts {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    watch.feed(piece);
                    rest = after;
                }
                watch.feed(rest);
                prop_assert!(saw_the_end(&watch), "{}", encoding);
                prop_assert_eq!(watch.tokens().map(|tokens| tokens.output), Some(3));
            }
        }

        #[test]
        fn any_bytes_are_survived(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
            for encoding in ["identity", "gzip", "deflate", "br", "zstd"] {
                let mut watch = Watch::events(Wire::Anthropic, &headers(encoding));
                for piece in &pieces {
                    watch.feed(piece);
                }
                let _ = (watch.tokens(), watch.error());
            }
        }
    }
}
