//! What a whole file comes to, before anything of it is written down.

use std::{fmt::Write as _, path::Path};

use anyhow::bail;
use kabar_domain::phone::{DefaultRegion, PhoneNumber};
use ring::digest;
use serde::Serialize;

use super::{BadRow, CsvFile, RecipientRow, Row};
use crate::cli::{
    output::{note, plural},
    progress::Meter,
};

/// The most lines of one kind that are shown as text.
const MOST_SHOWN: usize = 20;

/// After how many rows progress is shown.
const METER_EVERY: u64 = 10_000;

/// What a whole file comes to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Survey {
    /// Recipients, each once.
    pub(crate) recipients: u64,
    /// How many rows repeat a number.
    pub(crate) repeated_rows: u64,
    /// Rows that cannot be used.
    pub(crate) bad: u64,
    /// Numbers that are possible, but that no numbering plan says are assigned.
    pub(crate) unassigned: u64,
    /// Numbers that are repeated, each once.
    pub(crate) duplicates: Vec<Duplicate>,
    /// Rows that cannot be used, with the reasons.
    pub(crate) bad_rows: Vec<BadRow>,
    /// The first line with a number that is possible only.
    #[serde(skip)]
    first_unassigned: Option<u64>,
    /// SHA-256 of the normalised rows, in hexadecimal.
    #[serde(skip)]
    pub(crate) hash: String,
}

/// A number that is in the file more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Duplicate {
    /// The line of its first repeat.
    pub(crate) line: u64,
    /// The number.
    pub(crate) phone: PhoneNumber,
}

impl Survey {
    /// Walks through the whole file. Keeps every bad row where `all`, else those that are shown.
    pub(crate) fn of(file: &CsvFile, all: bool) -> anyhow::Result<Self> {
        let most = if all { usize::MAX } else { MOST_SHOWN };
        let mut survey = Self::default();
        let mut hash = RowHash::default();
        let mut meter = Meter::new("looking through the file, %");
        let mut rows = file.rows()?;
        while let Some(row) = rows.next() {
            if survey.recipients.is_multiple_of(METER_EVERY) {
                meter.set((rows.part_read() * 100.0) as u64, 100, "");
            }
            match row? {
                Row::Recipient(row) => {
                    survey.recipients += 1;
                    survey.unassigned += u64::from(!row.assigned);
                    if !row.assigned {
                        survey.first_unassigned.get_or_insert(row.line);
                    }
                    hash.add(&row)?;
                }
                Row::Repeated { line, phone, first } => {
                    survey.repeated_rows += 1;
                    if first && survey.duplicates.len() < most {
                        survey.duplicates.push(Duplicate { line, phone });
                    }
                }
                Row::Bad(row) => {
                    survey.bad += 1;
                    if survey.bad_rows.len() < most {
                        survey.bad_rows.push(row);
                    }
                }
            }
        }
        meter.finish();
        survey.hash = hash.finish();
        Ok(survey)
    }

    /// Refuses what must not go on: a file without recipients, and where `strict` one with bad rows.
    pub(crate) fn judge(&self, file: &CsvFile, strict: bool) -> anyhow::Result<()> {
        let path = file.path().display();
        let first = self.bad_rows.first().map(|row| format!("line {}: {}", row.line, row.reason)).unwrap_or_default();
        if strict && self.bad > 0 {
            let rows = plural(self.bad, "bad row");
            bail!("file {path} has {rows} and --strict is given; nothing was written. The first is {first}");
        }
        if self.recipients == 0 && self.bad > 0 {
            bail!("file {path} has no row that can be used. The first is {first}");
        }
        if self.recipients == 0 {
            bail!("file {path} has no rows below its header");
        }
        Ok(())
    }

    /// Says on standard error what is wrong with rows of the file.
    pub(crate) fn report(&self) {
        for row in self.bad_rows.iter().take(MOST_SHOWN) {
            note(format!("line {}: {}", row.line, row.reason));
        }
        let more = self.bad.saturating_sub(MOST_SHOWN as u64);
        if more > 0 {
            note(format!("… and {} (--json lists all)", plural(more, "more bad row")));
        }
        for duplicate in self.duplicates.iter().take(MOST_SHOWN) {
            note(format!("line {}: {} is in the file before; it counts once", duplicate.line, duplicate.phone));
        }
        if let Some(line) = self.first_unassigned {
            let numbers = plural(self.unassigned, "number");
            note(format!("note: {numbers} possible, but not assigned by any numbering plan; the first in line {line}"));
        }
    }
}

/// What a file of recipients comes to, as JSON: the counts, the repeats, and every row that cannot be used with its line
/// and reason. `region` reads numbers in national notation.
///
/// # Errors
/// When the file cannot be read, or is no CSV of recipients.
pub fn survey_file(path: &Path, region: Option<DefaultRegion>) -> anyhow::Result<serde_json::Value> {
    let file = CsvFile::open(path, region)?;
    Ok(serde_json::to_value(Survey::of(&file, true)?)?)
}

/// The SHA-256 of normalised rows: the same recipients in another notation have the same.
pub(crate) struct RowHash(digest::Context);

impl Default for RowHash {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl RowHash {
    /// Adds the next row.
    pub(crate) fn add(&mut self, row: &RecipientRow) -> anyhow::Result<()> {
        self.0.update(&serde_json::to_vec(&(&row.phone, &row.name, &row.fields))?);
        self.0.update(b"\n");
        Ok(())
    }

    /// The hash of all rows, in hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0.finish().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
