#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::header::HeaderValue;
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

impl Reader for Vec<u8> {
    fn read(&mut self, data: &[u8]) {
        self.extend_from_slice(data);
    }
}

fn decoder(encoding: &'static str) -> Readable<Vec<u8>> {
    let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(encoding))]);
    Readable::of(Vec::new(), &headers).unwrap()
}

fn pack(encoding: &str, text: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, 5, 22);
            encoder.write_all(text).unwrap();
            drop(encoder);
            out
        }
        "zstd" => compress_to_vec(text, CompressionLevel::Fastest),
        _ => text.to_vec(),
    }
}

const ALL: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

#[test]
fn brotli_is_read_as_it_comes() {
    let mut packed = Vec::new();
    let mut decoder = decoder("br");
    let mut encoder = brotli::CompressorWriter::new(&mut packed, 4096, 5, 22);
    encoder.write_all(b"data: one\n\n").unwrap();
    encoder.flush().unwrap();
    decoder.feed(encoder.get_ref()).unwrap();
    assert_eq!(decoder.reader(), b"data: one\n\n");
    let sent = encoder.get_ref().len();
    encoder.write_all(b"data: two\n\n").unwrap();
    encoder.flush().unwrap();
    decoder.feed(&encoder.get_ref()[sent..]).unwrap();
    assert_eq!(decoder.reader(), b"data: one\n\ndata: two\n\n");
}

#[test]
fn large_windows_are_refused_before_they_are_claimed() {
    // The bits 0x11 open a large-window stream; 0x1f asks for 2^31 bytes.
    let mut brotli = decoder("br");
    assert!(brotli.feed(&[0x11, 0x1f, 0, 0, 0, 0, 0, 0]).is_err());
    // A zstd window of 2^(10 + 14) bytes.
    let mut zstd = decoder("zstd");
    assert!(zstd.feed(&[0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 1, 0, 0]).is_err());
    // One of 2^(10 + 13), an empty raw block as its last.
    let mut zstd = decoder("zstd");
    zstd.feed(&[0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 1, 0, 0]).unwrap();
}

#[test]
fn zstd_frames_follow_each_other() {
    let mut decoder = decoder("zstd");
    for text in ["one ", "two"] {
        decoder.feed(&pack("zstd", text.as_bytes())).unwrap();
    }
    assert_eq!(decoder.reader(), b"one two");
}

proptest! {
    #[test]
    fn cut_anywhere_it_reads_the_same(
        text in prop::collection::vec(0u8..8, 0..5000), cuts in prop::collection::vec(1usize..200, 0..20),
    ) {
        for encoding in ALL {
            let packed = pack(encoding, &text);
            let mut decoder = decoder(encoding);
            let mut rest = &packed[..];
            for cut in &cuts {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                decoder.feed(piece).unwrap();
                rest = after;
            }
            decoder.feed(rest).unwrap();
            prop_assert_eq!(decoder.reader(), &text, "{}", encoding);
        }
    }

    #[test]
    fn any_bytes_are_survived(
        encoding in prop::sample::select(&ALL[..]), keep in 0usize..60,
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = pack(encoding, b"data: {}\n\ndata: [DONE]\n\n");
        bytes.truncate(keep);
        bytes.extend(noise);
        let mut decoder = decoder(encoding);
        for piece in bytes.chunks(7) {
            if decoder.feed(piece).is_err() {
                break;
            }
        }
    }
}
