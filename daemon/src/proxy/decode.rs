//! Compressed bodies, decoded piece by piece as they come.

use std::fmt;
use std::io::{self, Write};

use brotli_decompressor::{BrotliDecoderParameter, DecompressorWriter};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, HeaderMap};

use super::zstd::Zstd;

/// The piece in which brotli hands out what it decoded.
const BROTLI_PIECE: usize = 4096;

/// Takes decoded bytes as they come.
pub(super) trait Reader {
    fn read(&mut self, data: &[u8]);
}

/// A decoder writes into its reader piece by piece: nothing is kept, however well the data is compressed.
#[derive(Debug)]
pub(super) struct Sink<R>(pub(super) R);

impl<R: Reader> Write for Sink<R> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.read(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A readable copy of what passes. Clients send `Accept-Encoding: gzip, deflate` [observed 2026-11]; others may ask for
/// br or zstd. Memory is bounded by the windows: 32 KiB, 16 MiB (RFC 7932), 8 MiB (RFC 9659).
pub(super) enum Readable<R: Reader> {
    Identity(R),
    Gzip(MultiGzDecoder<Sink<R>>),
    Deflate(ZlibDecoder<Sink<R>>),
    Brotli(Box<DecompressorWriter<Sink<R>>>),
    Zstd(Box<Zstd<Sink<R>>>),
}

impl<R: Reader> Readable<R> {
    /// `None` for encodings that are not read here.
    pub(super) fn of(reader: R, headers: &HeaderMap) -> Option<Self> {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = encodings.next().map(|value| value.as_bytes().trim_ascii().to_ascii_lowercase());
        if encodings.next().is_some() {
            return None;
        }
        match encoding.as_deref() {
            None | Some(b"identity") => Some(Self::Identity(reader)),
            Some(b"gzip" | b"x-gzip") => Some(Self::Gzip(MultiGzDecoder::new(Sink(reader)))),
            Some(b"deflate") => Some(Self::Deflate(ZlibDecoder::new(Sink(reader)))),
            Some(b"br") => {
                let mut decoder = DecompressorWriter::new(Sink(reader), BROTLI_PIECE);
                // A large window is no part of the `br` coding, and could claim a gibibyte.
                decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Some(Self::Brotli(Box::new(decoder)))
            }
            Some(b"zstd") => Some(Self::Zstd(Box::new(Zstd::new(Sink(reader))))),
            Some(_) => None,
        }
    }

    /// Decodes the next bytes.
    pub(super) fn feed(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(reader) => {
                reader.read(data);
                Ok(())
            }
            // The flush brings out what the decoder holds back: events are judged as they come.
            Self::Gzip(decoder) => decoder.write_all(data).and_then(|()| decoder.flush()),
            Self::Deflate(decoder) => decoder.write_all(data).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(data),
            Self::Zstd(decoder) => decoder.feed(data),
        }
    }

    /// Whether bytes are decoded as soon as they have come: zstd's decoder keeps back its window until the end.
    pub(super) fn reads_at_once(&self) -> bool {
        !matches!(self, Self::Zstd(_))
    }

    /// What reads.
    pub(super) fn reader(&self) -> &R {
        match self {
            Self::Identity(reader) => reader,
            Self::Gzip(decoder) => &decoder.get_ref().0,
            Self::Deflate(decoder) => &decoder.get_ref().0,
            Self::Brotli(decoder) => &decoder.get_ref().0,
            Self::Zstd(decoder) => &decoder.get_ref().0,
        }
    }

    /// The same, to be changed.
    pub(super) fn reader_mut(&mut self) -> &mut R {
        match self {
            Self::Identity(reader) => reader,
            Self::Gzip(decoder) => &mut decoder.get_mut().0,
            Self::Deflate(decoder) => &mut decoder.get_mut().0,
            Self::Brotli(decoder) => &mut decoder.get_mut().0,
            Self::Zstd(decoder) => &mut decoder.get_mut().0,
        }
    }
}

impl<R: Reader> fmt::Debug for Readable<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Identity(_) => "Identity",
            Self::Gzip(_) => "Gzip",
            Self::Deflate(_) => "Deflate",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        };
        f.debug_struct(name).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
