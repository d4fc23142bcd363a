//! What a file of people came to.

use serde::Serialize;
use utoipa::ToSchema;

use crate::people_file::Survey;

/// What a file of people came to.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FileReport {
    /// People, each once.
    recipients: u64,
    /// How many rows repeat a number; they are left out.
    repeated_rows: u64,
    /// How many rows cannot be used; they are left out.
    bad: u64,
    /// How many numbers are possible, but assigned by no numbering plan.
    unassigned: u64,
    /// Rows that cannot be used, the first 1,000 of them.
    bad_rows: Vec<BadRow>,
}

/// A row that cannot be used.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct BadRow {
    /// Its line, from 1.
    line: u64,
    /// Why, and what to do.
    reason: String,
}

impl From<&Survey> for FileReport {
    fn from(survey: &Survey) -> Self {
        let bad = |row: &crate::people_file::BadRow| BadRow { line: row.line, reason: row.reason.clone() };
        Self {
            recipients: survey.recipients,
            repeated_rows: survey.repeated_rows,
            bad: survey.bad,
            unassigned: survey.unassigned,
            bad_rows: survey.bad_rows.iter().map(bad).collect(),
        }
    }
}
