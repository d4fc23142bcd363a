//! CSV files of recipients: a header line, `phone` required, `name` optional, every other column a field by its name.
//!
//! Files come from spreadsheets of all kinds, so their separator is found out, and what cannot be read is said by line
//! number with its reason. A file is walked through twice, once to judge it and once to write it down; neither walk
//! holds more than one row and the numbers that were seen.

use std::{
    collections::HashSet,
    fs::File,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use kabar_domain::{
    content::Fields,
    phone::{DefaultRegion, PhoneNumber},
};
use serde::Serialize;

mod columns;
mod lines;
mod row;
mod survey;
#[cfg(test)]
mod tests;

use columns::Columns;
use lines::{Lines, RowBudget};
pub use survey::survey_file;
pub(crate) use survey::{RowHash, Survey};

/// A file of recipients whose header was understood.
#[derive(Debug)]
pub(crate) struct CsvFile {
    path: PathBuf,
    /// What messages call it.
    name: String,
    delimiter: u8,
    columns: Columns,
    region: Option<DefaultRegion>,
    bytes: u64,
}

/// What one line of the file came to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Row {
    /// A recipient who was not in the file before.
    Recipient(RecipientRow),
    /// A number that was in the file before.
    Repeated {
        /// The line.
        line: u64,
        /// The number.
        phone: PhoneNumber,
        /// Whether this is the first repeat of the number.
        first: bool,
    },
    /// A line that cannot be used.
    Bad(BadRow),
}

/// A recipient of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecipientRow {
    /// The line, from 1.
    pub(crate) line: u64,
    /// The number.
    pub(crate) phone: PhoneNumber,
    /// Whether numbering plans say that such a number is assigned.
    pub(crate) assigned: bool,
    /// The name, where there is one.
    pub(crate) name: Option<String>,
    /// The other columns that have a value.
    pub(crate) fields: Fields,
}

/// A line that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BadRow {
    /// The line, from 1.
    pub(crate) line: u64,
    /// Why, and what to do.
    pub(crate) reason: String,
}

impl CsvFile {
    /// Opens a file and reads its header; `region` reads numbers in national notation.
    pub(crate) fn open(path: &Path, region: Option<DefaultRegion>) -> anyhow::Result<Self> {
        Self::open_as(path, format!("file {}", path.display()), region)
    }

    /// The same; messages call it `name`.
    pub(crate) fn open_as(path: &Path, name: String, region: Option<DefaultRegion>) -> anyhow::Result<Self> {
        let named = || name.clone();
        let mut file = File::open(path).with_context(named)?;
        let metadata = file.metadata().with_context(named)?;
        if metadata.is_dir() {
            bail!("{name} is a folder: name a CSV file");
        }
        let delimiter = lines::sniff(&mut file).with_context(named)?;
        let mut reader = reader(file, delimiter, RowBudget::default());
        let header = reader.byte_headers().map_err(row::unreadable).with_context(named)?;
        let columns = Columns::read(header).with_context(named)?;
        Ok(Self { path: path.to_owned(), name, delimiter, columns, region, bytes: metadata.len() })
    }

    /// What messages call it, such as `file guests.csv`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the file has a column for this field.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.columns.has(field)
    }

    /// The columns of the file.
    pub(crate) fn columns(&self) -> String {
        self.columns.to_string()
    }

    /// Walks through the file from its first row.
    pub(crate) fn rows(&self) -> anyhow::Result<Rows<'_>> {
        let file = File::open(&self.path).with_context(|| self.name.clone())?;
        let budget = RowBudget::default();
        let mut reader = reader(file, self.delimiter, budget.clone());
        reader.byte_headers().map_err(row::unreadable)?;
        budget.renew();
        Ok(Rows {
            file: self,
            reader,
            budget,
            record: ::csv::ByteRecord::new(),
            seen: HashSet::new(),
            repeated: HashSet::new(),
        })
    }
}

fn reader(file: File, delimiter: u8, budget: RowBudget) -> ::csv::Reader<Lines<File>> {
    ::csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(Lines::new(file, budget))
}

/// The rows of a file, in order. An error ends the walk: nothing after it can be read.
pub(crate) struct Rows<'a> {
    file: &'a CsvFile,
    reader: ::csv::Reader<Lines<File>>,
    budget: RowBudget,
    record: ::csv::ByteRecord,
    /// The numbers that were seen, as numbers: E.164 has at most 15 digits.
    seen: HashSet<u64>,
    repeated: HashSet<u64>,
}

impl Rows<'_> {
    /// How much of the file was read, from 0 to 1.
    pub(crate) fn part_read(&self) -> f64 {
        self.reader.position().byte() as f64 / self.file.bytes.max(1) as f64
    }

    fn read(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.budget.renew();
            let earliest = self.reader.position().line();
            let more = self.reader.read_byte_record(&mut self.record).map_err(row::unreadable);
            if !more.with_context(|| self.file.name.clone())? {
                return Ok(None);
            }
            // The reader stands behind the row's line break, so its first line is that many lines up. The last row has none
            // where its quotation mark is never closed.
            let inside: usize = self.record.iter().map(|field| field.iter().filter(|b| **b == b'\n').count()).sum();
            let line = self.reader.position().line().saturating_sub(1 + inside as u64).max(earliest);
            let row = row::read(&self.record, line, &self.file.columns, self.file.region);
            if let Some(row) = row.with_context(|| self.file.name.clone())? {
                return Ok(Some(self.once(row)));
            }
        }
    }

    fn once(&mut self, row: Row) -> Row {
        let Row::Recipient(recipient) = row else { return row };
        let key = recipient.phone.as_str().trim_start_matches('+').parse().unwrap_or(u64::MAX);
        if self.seen.insert(key) {
            return Row::Recipient(recipient);
        }
        Row::Repeated { line: recipient.line, phone: recipient.phone, first: self.repeated.insert(key) }
    }
}

impl Iterator for Rows<'_> {
    type Item = anyhow::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
