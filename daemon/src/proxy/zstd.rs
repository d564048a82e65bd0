//! zstd, block by block: the library reads from a source that never runs dry, so whole blocks are gathered for it.

use std::io::{self, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// RFC 9659 allows no more for `Content-Encoding: zstd`.
const LARGEST_WINDOW: u64 = 8 * 1024 * 1024;
/// RFC 8878, 3.1.1.2: no block is larger.
const LARGEST_BLOCK: usize = 128 * 1024;
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BLOCK_HEADER: usize = 3;
const CHECKSUM: usize = 4;

/// A decoder that is fed. It keeps back as much as the frame's window until the frame's end.
pub(super) struct Zstd<W> {
    decoder: FrameDecoder,
    sink: W,
    /// What has come of the next header or block.
    pending: Vec<u8>,
    frame: Option<Frame>,
}

struct Frame {
    has_checksum: bool,
}

impl<W: Write> Zstd<W> {
    /// Decodes into `sink`.
    pub(super) fn new(sink: W) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { decoder, sink, pending: Vec::new(), frame: None }
    }

    /// Decodes what can be decoded.
    pub(super) fn feed(&mut self, mut data: &[u8]) -> io::Result<()> {
        loop {
            let wanted = self.wanted()?;
            let missing = wanted.saturating_sub(self.pending.len());
            let (part, rest) = data.split_at(missing.min(data.len()));
            self.pending.extend_from_slice(part);
            data = rest;
            if self.pending.len() < wanted {
                return Ok(());
            }
            // More may be wanted now that more is known.
            if self.wanted()? == self.pending.len() {
                self.decode()?;
                self.pending.clear();
            }
        }
    }

    /// How many bytes the next step takes, as far as is known yet.
    fn wanted(&self) -> io::Result<usize> {
        match &self.frame {
            None => frame_header(&self.pending),
            Some(frame) => block(&self.pending, frame),
        }
    }

    fn decode(&mut self) -> io::Result<()> {
        let mut source = &self.pending[..];
        if self.frame.is_none() {
            self.decoder.reset(&mut source).map_err(broken)?;
            self.frame = Some(Frame { has_checksum: self.pending[4] & 0b100 != 0 });
            return Ok(());
        }
        let ended =
            self.decoder.decode_blocks(&mut source, BlockDecodingStrategy::UptoBlocks(1)).map_err(broken)?;
        self.decoder.collect_to_writer(&mut self.sink)?;
        if ended {
            self.frame = None;
        }
        Ok(())
    }

    /// What it decodes into.
    pub(super) fn get_ref(&self) -> &W {
        &self.sink
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self) -> &mut W {
        &mut self.sink
    }
}

/// The length of a frame's header (RFC 8878, 3.1.1.1).
fn frame_header(start: &[u8]) -> io::Result<usize> {
    let known = start.len().min(MAGIC.len());
    if start[..known] != MAGIC[..known] {
        return Err(broken("no zstd frame"));
    }
    let Some(descriptor) = start.get(MAGIC.len()) else { return Ok(MAGIC.len() + 1) };
    let single_segment = descriptor & 0b10_0000 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let content_size = match descriptor >> 6 {
        0 => usize::from(single_segment),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Ok(MAGIC.len() + 1 + window + dictionary + content_size)
}

/// The length of a block with its header (RFC 8878, 3.1.1.2), and of the checksum after the last one.
fn block(start: &[u8], frame: &Frame) -> io::Result<usize> {
    let Some(header) = start.first_chunk::<BLOCK_HEADER>() else { return Ok(BLOCK_HEADER) };
    let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
    let is_last = header & 1 != 0;
    let is_run = header >> 1 & 0b11 == 1;
    let size = usize::try_from(header >> 3).unwrap_or(usize::MAX);
    if size > LARGEST_BLOCK {
        return Err(broken("a zstd block is too large"));
    }
    let content = if is_run { 1 } else { size };
    let checksum = if is_last && frame.has_checksum { CHECKSUM } else { 0 };
    Ok(BLOCK_HEADER + content + checksum)
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
