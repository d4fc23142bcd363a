//! A file's bytes as the CSV reader needs them: line breaks of one kind, and no row without end.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use super::MAX_ROW_BYTES;

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
