//! Lines of a log as they stand in its files, oldest first, read in bounded pieces.

use std::io::{self, SeekFrom};

use kmi_proto::codec::{Decoder, LineTooLong};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

const READ_SIZE: usize = 64 * 1024;

/// The files of a tail, read from the first line to the last.
#[derive(Debug)]
pub(super) struct Backlog {
    files: Vec<(File, u64)>,
    /// The file under way.
    current: usize,
    /// Bytes of it that are still to be read.
    left: u64,
    /// Read, not yet cut into lines.
    chunk: Vec<u8>,
    cut: usize,
    decoder: Decoder,
}

impl Backlog {
    pub(super) fn new(files: Vec<(std::fs::File, u64)>) -> Self {
        let files = files.into_iter().map(|(file, length)| (File::from_std(file), length)).collect();
        let decoder = Decoder::new();
        Self { files, current: 0, left: 0, chunk: Vec::new(), cut: 0, decoder }
    }

    /// Goes to the first line; to be called before the first read of each pass.
    pub(super) async fn rewind(&mut self) -> io::Result<()> {
        (self.current, self.cut, self.decoder) = (0, 0, Decoder::new());
        self.chunk.clear();
        self.open_current().await
    }

    async fn open_current(&mut self) -> io::Result<()> {
        if let Some((file, length)) = self.files.get_mut(self.current) {
            file.seek(SeekFrom::Start(0)).await?;
            self.left = *length;
        }
        Ok(())
    }

    /// The next line; `None` after the last one. The last line of a file need not have a line end.
    pub(super) async fn next_line(&mut self) -> io::Result<Option<Result<String, LineTooLong>>> {
        while self.current < self.files.len() {
            let mut rest = &self.chunk[self.cut..];
            let line = self.decoder.next_line(&mut rest);
            self.cut = self.chunk.len() - rest.len();
            if let Some(line) = line {
                return Ok(Some(line.map(into_text)));
            }
            if self.read_chunk().await? {
                continue;
            }
            let last = self.decoder.finish();
            self.current += 1;
            self.open_current().await?;
            if let Some(line) = last {
                return Ok(Some(line.map(into_text)));
            }
        }
        Ok(None)
    }

    /// Reads on in the current file; false at its end.
    async fn read_chunk(&mut self) -> io::Result<bool> {
        let Some((file, _)) = self.files.get_mut(self.current) else { return Ok(false) };
        let wanted = READ_SIZE.min(usize::try_from(self.left).unwrap_or(READ_SIZE));
        self.chunk.resize(wanted, 0);
        self.cut = 0;
        let read = file.read(&mut self.chunk).await?;
        self.chunk.truncate(read);
        self.left -= read as u64;
        Ok(read > 0)
    }
}

fn into_text(line: Vec<u8>) -> String {
    String::from_utf8(line).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {

    use std::io::Write;

    use super::*;

    fn file(content: &[u8], length: usize) -> (std::fs::File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        (file, length as u64)
    }

    async fn all(backlog: &mut Backlog) -> Vec<String> {
        backlog.rewind().await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = backlog.next_line().await.unwrap() {
            lines.push(line.unwrap_or_else(|_| "too long".to_owned()));
        }
        lines
    }

    #[tokio::test]
    async fn files_in_order_up_to_their_lengths_as_often_as_wanted() {
        let mut backlog = Backlog::new(vec![
            file(b"1\n2\ntorn", 8),
            file(b"", 0),
            file(b"3\nafter the seam\n", 2),
            file(b"gone sho", 100),
        ]);
        for _ in 0..2 {
            assert_eq!(all(&mut backlog).await, ["1", "2", "torn", "3", "gone sho"]);
        }
        assert!(all(&mut Backlog::new(Vec::new())).await.is_empty());
    }

    #[tokio::test]
    async fn lines_longer_than_a_chunk_and_longer_than_allowed() {
        let long = "x".repeat(READ_SIZE * 2 + 5);
        let endless = "y".repeat(kmi_proto::codec::MAX_LINE + 1);
        let content = format!("a\n{long}\n{endless}\nb\u{fffd}\n");
        let mut backlog = Backlog::new(vec![file(content.as_bytes(), content.len())]);
        assert_eq!(all(&mut backlog).await, ["a", &long, "too long", "b\u{fffd}"]);
    }

    #[tokio::test]
    async fn bytes_that_are_no_text_are_replaced() {
        let mut backlog = Backlog::new(vec![file(b"a\xff\n", 3)]);
        assert_eq!(all(&mut backlog).await, ["a\u{fffd}"]);
    }
}
