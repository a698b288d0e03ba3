//! Bytes that are checked to be UTF-8 as they stream by, with the exact place of the first that is not.

use std::io::{self, Read};

/// The first byte of a stream that is not UTF-8.
#[derive(Debug, thiserror::Error)]
#[error(
    "not UTF-8: byte {offset} of the file (line {line}) is 0x{byte:02x}; convert it, for instance with iconv"
)]
pub(crate) struct NotUtf8 {
    /// Bytes before it in the file.
    pub(crate) offset: u64,
    /// Its line, from 1.
    pub(crate) line: u64,
    byte: u8,
}

/// More bytes than a reader was allowed.
#[derive(Debug, thiserror::Error)]
#[error("a row longer than {0} bytes: is a quotation mark left open?")]
pub(crate) struct TooLong(u64);

/// A reader that fails at the first byte that is not UTF-8, and leaves out a byte-order mark.
#[derive(Debug)]
pub(crate) struct Utf8Reader<R> {
    inner: R,
    /// The start of a character whose rest has not been read yet.
    partial: Vec<u8>,
    /// Bytes handed on so far, `partial` not included.
    offset: u64,
    line: u64,
    /// Checked bytes that wait for a caller with a larger buffer.
    ready: Vec<u8>,
    taken: usize,
    /// Bytes that may still be handed on, of those allowed; as many as there are where nothing was said.
    left: Option<(u64, u64)>,
}

impl<R: Read> Utf8Reader<R> {
    const BLOCK: usize = 64 * 1024;

    pub(crate) fn new(inner: R) -> Self {
        Self {
            inner,
            partial: Vec::new(),
            offset: 0,
            line: 1,
            ready: Vec::new(),
            taken: 0,
            left: None,
        }
    }

    /// From here on, hands on so many bytes and then fails.
    pub(crate) fn allow(&mut self, bytes: u64) {
        self.left = Some((bytes, bytes));
    }

    /// Reads and checks the next block; leaves `ready` empty at the end of the stream.
    fn fill(&mut self) -> io::Result<()> {
        self.taken = 0;
        self.ready = std::mem::take(&mut self.partial);
        loop {
            let known = self.ready.len();
            self.ready.resize(known + Self::BLOCK, 0);
            let count = loop {
                match self.inner.read(&mut self.ready[known..]) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
            self.ready.truncate(known + count);
            let (valid, broken) = match std::str::from_utf8(&self.ready) {
                Ok(_) => (self.ready.len(), false),
                // The end of a block may cut a character; the end of the file may not.
                Err(e) => (e.valid_up_to(), e.error_len().is_some() || count == 0),
            };
            // What is valid before it is handed on first: rows that end there can be answered.
            if broken && valid == 0 {
                let error = NotUtf8 { offset: self.offset, line: self.line, byte: self.ready[0] };
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            if valid == 0 && count > 0 {
                continue;
            }
            self.partial = self.ready.split_off(valid);
            let start = self.offset == 0 && self.ready.starts_with("\u{feff}".as_bytes());
            self.taken = if start { '\u{feff}'.len_utf8() } else { 0 };
            self.offset += valid as u64;
            self.line += self.ready.iter().filter(|&&b| b == b'\n').count() as u64;
            if self.taken < self.ready.len() || count == 0 {
                return Ok(());
            }
            self.ready = std::mem::take(&mut self.partial);
            self.taken = 0;
        }
    }
}

impl<R: Read> Read for Utf8Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.ready.len() {
            self.fill()?;
        }
        let mut count = buffer.len().min(self.ready.len() - self.taken);
        if let Some((left, allowed)) = &mut self.left {
            if *left == 0 && count > 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, TooLong(*allowed)));
            }
            count = count.min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= count as u64;
        }
        buffer[..count].copy_from_slice(&self.ready[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
