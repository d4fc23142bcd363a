//! Files of recipients: CSV with a header line, or NDJSON, one object a line as in `audience.recipients`.
//!
//! Which of them a file is, is seen by its first line. Files come from spreadsheets and programs of all kinds, so what
//! cannot be read is said by line number with its reason. A file is walked through twice, once to judge it and once to
//! write it down; neither walk holds more than one row and the numbers that were seen.

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
mod csv;
mod details;
mod form;
mod lines;
mod ndjson;
mod row;
mod survey;
#[cfg(test)]
mod tests;

use columns::Columns;
use csv::CsvRows;
pub(crate) use details::Details;
use form::Form;
use ndjson::NdjsonRows;
pub use survey::survey_file;
pub(crate) use survey::{RowHash, Survey};

/// The longest row, in bytes. One that is longer has no end, and would be read into memory to the end of the file.
const MAX_ROW_BYTES: usize = 4 << 20;

/// A file of recipients that was understood so far as its first line goes.
#[derive(Debug)]
pub(crate) struct PeopleFile {
    path: PathBuf,
    /// What messages call it.
    name: String,
    kind: Kind,
    region: Option<DefaultRegion>,
    bytes: u64,
    /// Whether fields for time zone and consent are such.
    of_people: bool,
}

/// How a file says who is in it.
#[derive(Debug)]
enum Kind {
    Csv { delimiter: u8, columns: Columns },
    Ndjson,
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
    /// Further fields that have a value.
    pub(crate) fields: Fields,
    /// What a file of people says of them beside that.
    pub(crate) details: Details,
}

/// A line that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BadRow {
    /// The line, from 1.
    pub(crate) line: u64,
    /// Why, and what to do.
    pub(crate) reason: String,
}

impl PeopleFile {
    /// Opens a file and reads its first line; `region` reads numbers in national notation.
    pub(crate) fn open(path: &Path, region: Option<DefaultRegion>) -> anyhow::Result<Self> {
        Self::open_as(path, format!("file {}", path.display()), region)
    }

    /// The same; messages call it `name`.
    pub(crate) fn open_as(path: &Path, name: String, region: Option<DefaultRegion>) -> anyhow::Result<Self> {
        let named = || name.clone();
        let mut file = File::open(path).with_context(named)?;
        let metadata = file.metadata().with_context(named)?;
        if metadata.is_dir() {
            bail!("{name} is a folder: name a file of people, CSV or NDJSON");
        }
        let kind = match form::sniff(&mut file).with_context(named)? {
            Form::Csv { delimiter } => {
                Kind::Csv { delimiter, columns: csv::columns(file, delimiter).with_context(named)? }
            }
            Form::Ndjson => Kind::Ndjson,
        };
        Ok(Self { path: path.to_owned(), name, kind, region, bytes: metadata.len(), of_people: false })
    }

    /// The same as a file about people: what it says of time zone and consent is no field.
    pub(crate) fn of_people(self) -> Self {
        Self { of_people: true, ..self }
    }

    /// What messages call it, such as `file guests.csv`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The columns of the file, as they are listed, where none of them can have this field. A file without columns may have
    /// any field in any line.
    pub(crate) fn columns_without(&self, field: &str) -> Option<String> {
        match &self.kind {
            Kind::Csv { columns, .. } => (!columns.has(field)).then(|| columns.to_string()),
            Kind::Ndjson => None,
        }
    }

    /// Walks through the file from its first row.
    pub(crate) fn rows(&self) -> anyhow::Result<Rows<'_>> {
        let file = File::open(&self.path).with_context(|| self.name.clone())?;
        let source = match &self.kind {
            Kind::Csv { delimiter, columns } => Source::Csv(CsvRows::new(file, *delimiter, columns, self.region)?),
            Kind::Ndjson => Source::Ndjson(NdjsonRows::new(file, self.region)),
        };
        Ok(Rows { file: self, source, seen: HashSet::new(), repeated: HashSet::new() })
    }
}

/// The rows of a file, in order. An error ends the walk: nothing after it can be read.
pub(crate) struct Rows<'a> {
    file: &'a PeopleFile,
    source: Source<'a>,
    /// The numbers that were seen, as numbers: E.164 has at most 15 digits.
    seen: HashSet<u64>,
    repeated: HashSet<u64>,
}

enum Source<'a> {
    Csv(CsvRows<'a>),
    Ndjson(NdjsonRows),
}

impl Rows<'_> {
    /// How much of the file was read, from 0 to 1.
    pub(crate) fn part_read(&self) -> f64 {
        let bytes = match &self.source {
            Source::Csv(rows) => rows.bytes_read(),
            Source::Ndjson(rows) => rows.bytes_read(),
        };
        bytes as f64 / self.file.bytes.max(1) as f64
    }

    fn once(&mut self, row: Row) -> Row {
        let Row::Recipient(mut recipient) = row else { return row };
        if self.file.of_people {
            match Details::take(&mut recipient.fields) {
                Ok(details) => recipient.details = details,
                Err(reason) => return Row::Bad(BadRow { line: recipient.line, reason }),
            }
        }
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
        let read = match &mut self.source {
            Source::Csv(rows) => rows.read(),
            Source::Ndjson(rows) => rows.read(),
        };
        let row = read.with_context(|| self.file.name.clone()).transpose()?;
        Some(row.map(|row| self.once(row)))
    }
}
