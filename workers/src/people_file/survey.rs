//! What a whole file comes to, before anything of it is written down.

use std::{fmt::Write as _, path::Path};

use anyhow::bail;
use kabar_domain::phone::{DefaultRegion, PhoneNumber};
use ring::digest;
use serde::Serialize;

use super::{BadRow, PeopleFile, RecipientRow, Row};

/// After how many rows progress is told.
const TELL_EVERY: u64 = 10_000;

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
    pub(crate) first_unassigned: Option<u64>,
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
    /// Walks through the whole file. Keeps as many bad rows and repeats as `most`; `progress` hears what part is done, from
    /// 0 to 1.
    pub(crate) fn of(file: &PeopleFile, most: usize, mut progress: impl FnMut(f64)) -> anyhow::Result<Self> {
        let mut survey = Self::default();
        let mut hash = RowHash::default();
        let mut rows = file.rows()?;
        while let Some(row) = rows.next() {
            if survey.recipients.is_multiple_of(TELL_EVERY) {
                progress(rows.part_read());
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
        survey.hash = hash.finish();
        Ok(survey)
    }

    /// Refuses what must not go on: a file without recipients, and where `strict` one with bad rows.
    pub(crate) fn judge(&self, file: &PeopleFile, strict: bool) -> anyhow::Result<()> {
        let name = file.name();
        let first = self.bad_rows.first().map(|row| format!("line {}: {}", row.line, row.reason)).unwrap_or_default();
        if strict && self.bad > 0 {
            let (bad, rows) = (self.bad, if self.bad == 1 { "bad row" } else { "bad rows" });
            bail!("{name} has {bad} {rows} and --strict is given; nothing was written. The first is {first}");
        }
        if self.recipients == 0 && self.bad > 0 {
            bail!("{name} has no row that can be used. The first is {first}");
        }
        if self.recipients == 0 {
            bail!("{name} has no rows below its header");
        }
        Ok(())
    }
}

/// What a file of recipients comes to, as JSON: the counts, the repeats, and every row that cannot be used with its line
/// and reason. `region` reads numbers in national notation.
///
/// # Errors
/// When the file cannot be read, or is no CSV of recipients.
pub fn survey_file(path: &Path, region: Option<DefaultRegion>) -> anyhow::Result<serde_json::Value> {
    let file = PeopleFile::open(path, region)?;
    Ok(serde_json::to_value(Survey::of(&file, usize::MAX, |_| ())?)?)
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
