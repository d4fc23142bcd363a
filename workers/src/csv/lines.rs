//! A file's bytes as the CSV reader needs them: line breaks of one kind, no row without end, and a first look that tells
//! what is no CSV at all.

use std::{
    cell::Cell,
    io::{self, Read, Seek},
    rc::Rc,
};

use anyhow::bail;

/// The longest row, in bytes. A row that is longer has a quotation mark that is never closed, and would be read into
/// memory to the end of the file.
pub(super) const MAX_ROW_BYTES: usize = 4 << 20;

/// How much of the file is looked at to find out what it is, in bytes.
const SNIFF_BYTES: u64 = 64 << 10;

/// How many bytes the row at hand may still take.
#[derive(Debug, Clone)]
pub(super) struct RowBudget(Rc<Cell<usize>>);

impl Default for RowBudget {
    fn default() -> Self {
        Self(Rc::new(Cell::new(MAX_ROW_BYTES)))
    }
}

impl RowBudget {
    /// A new row begins.
    pub(super) fn renew(&self) {
        self.0.set(MAX_ROW_BYTES);
    }

    /// Takes bytes; whether there were enough left.
    fn take(&self, bytes: usize) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(bytes));
        bytes <= left
    }
}

/// Reads a file with `\r\n` and `\r` as `\n`, and one at the end of the last line.
#[derive(Debug)]
pub(super) struct Lines<R> {
    inner: R,
    budget: RowBudget,
    after_return: bool,
    /// The last byte that was given out.
    last: u8,
}

impl<R> Lines<R> {
    pub(super) const fn new(inner: R, budget: RowBudget) -> Self {
        Self { inner, budget, after_return: false, last: b'\n' }
    }

    /// Rewrites the line breaks of `bytes` in place; how many bytes are left of it.
    fn unify(&mut self, bytes: &mut [u8]) -> usize {
        let mut kept = 0;
        for index in 0..bytes.len() {
            let byte = bytes[index];
            let second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            if !second_half {
                bytes[kept] = if byte == b'\r' { b'\n' } else { byte };
                kept += 1;
            }
        }
        kept
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.inner.read(buffer)?;
            if read == 0 && self.last == b'\n' {
                return Ok(0);
            }
            let kept = if read == 0 {
                buffer[0] = b'\n';
                1
            } else {
                self.unify(&mut buffer[..read])
            };
            if let Some(last) = buffer[..kept].last() {
                self.last = *last;
                return if self.budget.take(kept) { Ok(kept) } else { Err(endless_row()) };
            }
        }
    }
}

fn endless_row() -> io::Error {
    let problem = format!(
        "a row is longer than {} MB: close its quotation mark (\"), or take the marks out",
        MAX_ROW_BYTES >> 20
    );
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// What separates the fields of the file; or that it is no CSV in UTF-8, and what to do.
pub(super) fn sniff(file: &mut (impl Read + Seek)) -> anyhow::Result<u8> {
    let mut head = Vec::new();
    file.by_ref().take(SNIFF_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    if head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]) {
        bail!("it is UTF-16: save it as UTF-8 (in a spreadsheet: \"CSV UTF-8\")");
    }
    if head.starts_with(b"PK\x03\x04") || head.starts_with(&[0xd0, 0xcf, 0x11, 0xe0]) {
        bail!("it is a spreadsheet, not CSV: save it as \"CSV UTF-8\"");
    }
    if head.contains(&0) {
        bail!("it is not text: save it as CSV in UTF-8");
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head);
    let lines = head.split(|byte| matches!(byte, b'\n' | b'\r'));
    let Some(header) = lines.into_iter().find(|line| !line.trim_ascii().is_empty()) else {
        bail!("it is empty: the first line must name the columns, such as phone,name");
    };
    Ok(delimiter(header))
}

/// The separator that is in the header most often, outside of quotation marks.
fn delimiter(header: &[u8]) -> u8 {
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    for byte in header {
        quoted ^= *byte == b'"';
        if let Some((_, count)) = counts.iter_mut().find(|(delimiter, _)| !quoted && delimiter == byte) {
            *count += 1;
        }
    }
    // Of equals, the first stands.
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(delimiter, _)| delimiter)
}
